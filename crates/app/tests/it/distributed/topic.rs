//! The topic of announcements, as a reader in Python finds it.

use std::collections::BTreeMap;
use std::process::Command;

use super::asked::Asked;
use super::foreign;

/// I-12 to I-14 in the topic itself: a reader that keeps the last place by partition and source
/// partition, and drops what is not beyond it, has each incentive once, at its place.
pub fn has_each_once(db: &Asked, brokers: &str, topic: &str) -> usize {
    let read = Command::new(testkit::services::python())
        .arg(foreign::script("announcements.py"))
        .arg(foreign::schemas())
        .args([brokers, topic])
        .output()
        .expect("python runs");
    assert!(read.status.success(), "{}", String::from_utf8_lossy(&read.stderr));
    let text = String::from_utf8(read.stdout).expect("UTF-8");
    let mut last: BTreeMap<(String, String), (i64, i64)> = BTreeMap::new();
    let (mut kept, mut repeated) = (Vec::new(), 0);
    for line in text.lines() {
        let mut cells = line.splitn(5, '|');
        let mut cell = || cells.next().unwrap_or_else(|| panic!("{line}"));
        let [partition, source, batch, ordinal, told] = std::array::from_fn(|_| cell());
        let number = |text: &str| text.parse::<i64>().expect("a number");
        let place = (number(batch), number(ordinal));
        let before = last.entry((partition.to_owned(), source.to_owned())).or_insert((0, -1));
        if place <= *before {
            repeated += 1;
            continue;
        }
        *before = place;
        kept.push(format!("{source}|{batch}|{ordinal}|{told}"));
    }
    let mut wanted = db.rows(
        "select concat_ws('|', source_partition, batch_seq, ordinal, incentive_id, seq, tenant_id,
             user_ref, campaign_id, event_id, type, reward_currency, trim_scale(reward_amount),
             (extract(epoch from issued_at) * 1000000)::bigint)
         from incentives",
    );
    kept.sort_unstable();
    wanted.sort_unstable();
    let differ = kept.iter().zip(&wanted).find(|(heard, stored)| heard != stored);
    assert!(differ.is_none() && kept.len() == wanted.len(), "{differ:?}");
    repeated
}
