//! What is looked at when a run is over: the shown limits, the devices, the ledger, the topic, the
//! dead letters, and whether everything that was planned has really happened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use super::grounds::Grounds;
use super::nemesis::Came;
use super::schedule::{Fault, kinds};
use super::shops::Shop;
use super::traffic::{BATCH, Tally, Traffic};
use crate::distributed::aggregates;
use crate::distributed::asked::Asked;
use crate::distributed::device::Device;
use crate::distributed::invariants;
use crate::distributed::landing::{doctor_agrees, landed_row_by_row, until_landed};
use crate::distributed::ledger::{Batches, story};
use crate::distributed::rest::Rest;

/// How long the last of it may take to be decided and announced.
const PATIENCE: Duration = Duration::from_secs(240);
/// What the landing has dropped, by its metrics.
const REPEATS: &str = "incent_analytics_repeats_total";
const LOOK_EVERY: Duration = Duration::from_millis(200);

fn until(what: &str, mut is_so: impl FnMut() -> Result<(), String>) {
    let begun = Instant::now();
    while let Err(found) = is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: {found}");
        std::thread::park_timeout(LOOK_EVERY);
    }
}

/// Waits until all that was sent is decided and announced.
pub fn all_is_decided(db: &Asked, traffic: &Traffic) {
    let wanted = i64::try_from(traffic.plan.batches * BATCH).expect("a number");
    until("events decided", || match db.number("select count(*) from events") {
        n if n == wanted => Ok(()),
        n => Err(format!("{n} of {wanted}")),
    });
    let unpublished = "select count(*) from incentives i where not exists (
        select 1 from incentive_event_log l where l.incentive_id = i.incentive_id)";
    until("incentives that nobody was told about", || match db.number(unpublished) {
        0 => Ok(()),
        n => Err(n.to_string()),
    });
}

/// I-9: what Redis shows is what is granted, or nothing: a tenant whose limits are used up is not
/// touched any more.
pub fn redis_shows_what_is_granted(grounds: &Grounds, shops: &[Shop]) {
    let mut shown = 0;
    for Shop { tenant, .. } in shops {
        let today = format!(
            "select count(*) from incentives i join tenants t using (tenant_id)
             where tenant_id = '{tenant}'
             and limit_day = (now() at time zone time_zone)::date - date '1970-01-01'"
        );
        let key = format!("limit:{{{tenant}}}:daily");
        until(&key, || {
            let granted = grounds.db.number(&today).to_string();
            let said = grounds.redis.ask(&["get", &key]).concat();
            shown += usize::from(said == granted);
            match said.is_empty() || said == granted {
                true => Ok(()),
                false => Err(format!("shows {said}, {granted} are granted")),
            }
        });
    }
    assert!(shown > 0, "Redis shows nothing at all");
}

/// By tenant, campaign, user, currency and day, and who leads.
pub fn aggregates_are_what_is_granted(db: &Asked, cms: &Rest, shops: &[Shop]) {
    for Shop { tenant, .. } in shops {
        aggregates::agrees(db, cms, tenant, "USD");
    }
}

/// Row by row, as DuckDB reads the files.
pub fn files_hold_what_is_granted(db: &Asked, dir: &Path) {
    until_landed(dir, db.number("select count(*) from incentives"));
    landed_row_by_row(db, dir);
    doctor_agrees(dir);
}

/// Each device has heard of each incentive of its user once, in order.
pub fn devices_have_heard(db: &Asked, devices: Vec<Device>) {
    let mut frames = 0;
    for device in devices {
        let earned = db.rows(&format!(
            "select incentive_id::text from incentives
             where tenant_id = '{}' and user_ref = '{}' order by seq",
            device.tenant, device.user
        ));
        until(&format!("frames of {}", device.user), || match device.heard().len() {
            n if n >= earned.len() => Ok(()),
            n => Err(format!("{n} of {}", earned.len())),
        });
        assert_eq!(device.heard(), earned, "frames of {}", device.user);
        frames += earned.len();
    }
    assert!(frames > 0, "no device was told anything");
}

/// Row by row, tenant by tenant.
pub fn ledger_is_that_of_the_reference(db: &Asked, shops: &[Shop]) {
    invariants::hold(db);
    let batches = Batches::read(db);
    for shop in shops {
        let story = story(db, &batches, &shop.tenant);
        let times =
            story.log.windows(2).map(|w| (w[0].record.append_time, w[1].record.append_time));
        assert!(times.clone().all(|(one, next)| one <= next), "a tenant's time goes back");
        story.equals_reference(&shop.settings);
        for answered in &shop.answered {
            let outdated = batches.outdated(&shop.tenant, *answered);
            assert_eq!(outdated, 0, "I-18: batches under a version older than {answered:?}");
        }
    }
}

/// I-22: what is no event is kept byte by byte; a used id is not used again.
pub fn dead_letters_are_kept(db: &Asked, tally: &Tally) {
    let of = |which: &str| {
        let sql = format!("select distinct encode(raw, 'hex') from dead_letters where {which}");
        db.rows(&sql).into_iter().collect::<BTreeSet<_>>()
    };
    let hex = |bytes: &Vec<u8>| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let garbage: BTreeSet<String> = tally.garbage.iter().map(hex).collect();
    assert_eq!(of("reason <> 'ID_REUSED'"), garbage, "I-22: dead letters");
    let reused = of("reason = 'ID_REUSED'");
    assert!(reused.is_empty() == (tally.reused_ids == 0), "{} ids reused", reused.len());
}

/// A run shows nothing unless what was planned came about, and was noticed.
pub fn everything_was_met(grounds: &Grounds, came: &Came, schedule: &[Fault], tally: &Tally) {
    let Came { done, points } = came;
    let said = |words: &str| grounds.ics.iter().map(|ic| ic.said(words)).sum::<usize>();
    let counted = |name: &str| grounds.ics.iter().map(|ic| ic.counted(name)).sum::<u64>();
    let limits = |kind: &str| counted(&format!("incent_limits_events_total{{kind=\"{kind}\"}}"));
    let anew = |reason: &str| {
        let name = format!("incent_aggregates_mended_total{{reason=\"{reason}\"}}");
        as_size(grounds.aggregator.counted(&name))
    };
    let asked =
        |answer: &str| as_size(counted(&format!("incent_cms_asked_total{{answer=\"{answer}\"}}")));
    let ways = grounds.to_postgres.each_ref().map(|way| way.seen());
    println!("faults: {done:#?}");
    println!("deaths at points: {points:?}");
    println!("traffic: {tally:?}", tally = Tally { garbage: BTreeSet::new(), ..tally.clone() });
    println!(
        "ways to PostgreSQL: {ways:?}; to Redis: {:?}; Debezium's: {:?}",
        grounds.to_redis.seen(),
        grounds.capture.way.seen()
    );
    let met = [
        ("partitions taken over", said("the partition is taken over")),
        ("partitions given up to another owner", said("another process took it over")),
        ("owners that hung in a transaction", said("the old owner hung inside a transaction")),
        ("answers to commits that were lost", said("the answer to a commit was lost")),
        ("of them, commits that had landed", said("the commit had taken place")),
        ("of them, commits that had not", said("the commit had not taken place")),
        ("batches decided again after a conflict", as_size(counted("incent_batches_stale_total"))),
        ("times that Redis was lost", as_size(limits("lost"))),
        ("times that Redis had an old copy", as_size(limits("stale"))),
        ("times that Redis did not know a limit", as_size(limits("unknown"))),
        ("times that a limit in Redis was mended", as_size(limits("mended"))),
        ("times that Redis fenced an owner", as_size(limits("fenced"))),
        ("reservations given back", as_size(limits("leaked"))),
        ("aggregates made from nothing", anew("unknown")),
        ("aggregates made anew after a gap", anew("gap")),
        ("aggregates made anew after a comparison", anew("drift") + anew("behind")),
        ("failed connectors started again", connectors_started(grounds)),
        ("captured rows that had landed", as_size(grounds.landing.counted(REPEATS))),
        ("answers of the CMS that changed something", asked("changed")),
        ("times that the CMS gave no answer", asked("failed")),
    ];
    for (what, times) in met {
        println!("{times:6}  {what}");
    }
    let planned = kinds(schedule);
    let missing: Vec<_> = planned.keys().filter(|kind| !done.contains_key(*kind)).collect();
    assert!(missing.is_empty(), "planned and never met: {missing:?}");
    let alive: Vec<_> = schedule
        .iter()
        .filter_map(|f| f.point())
        .filter(|p| !points.contains_key(p.as_str()))
        .collect();
    assert!(alive.is_empty(), "nobody died at {alive:?}");
    let met: BTreeMap<&str, usize> = met.into_iter().collect();
    let must = |what: &str, because: &[&str]| {
        let is_due = because.iter().any(|kind| planned.get(kind).is_some_and(|n| *n >= 3));
        assert!(!is_due || met[what] > 0, "never seen: {what}");
    };
    must("answers to commits that were lost", &["commit cut before its answer"]);
    must("of them, commits that had landed", &["commit cut before its answer"]);
    must("of them, commits that had not", &["commit cut before it arrives"]);
    must("partitions taken over", &["calculator killed"]);
    must("times that Redis was lost", &["redis killed"]);
    must("times that Redis did not know a limit", &["redis emptied"]);
    must("aggregates made from nothing", &["redis killed", "redis emptied"]);
    must("captured rows that had landed", &["connect killed", "landing killed"]);
    must("answers of the CMS that changed something", &["calculator killed"]);
    assert!(tally.repeated > 0, "nothing was sent twice");
}

fn connectors_started(grounds: &Grounds) -> usize {
    let readers =
        [(&grounds.aggregator, "db.incentives.redis"), (&grounds.landing, "db.incentives")];
    let started = readers.map(|(reader, topic)| {
        reader.counted(&format!("incent_connector_starts_total{{connector=\"{topic}\"}}"))
    });
    as_size(started.iter().sum())
}

fn as_size(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}
