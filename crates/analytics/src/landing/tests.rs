//! Rows land once, whatever fails and however often they come.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

use domain::id::{IncentiveId, TenantId};
use domain::incentive::RewardType;
use domain::time::{Day, SECOND_US, Timestamp};
use engine::ports::Place;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::RowAccessor as _;
use testkit::dir::TempDir;
use testkit::random::Random;
use uuid::Uuid;

use super::*;
use crate::error::LandingError;
use crate::merge::FILES;

const TOPIC: &str = "db.incentives";

fn at(seconds: i64) -> Timestamp {
    "2025-06-27T12:00:00Z".parse::<Timestamp>().unwrap().plus_micros(seconds * SECOND_US)
}

/// A row of a tenant at a place, on one of three days.
pub(crate) fn row(whose: u8, source: i32, place: (i64, i32)) -> CapturedIncentive {
    let tenant = TenantId(Uuid::from_u128(u128::from(whose) + 1));
    let granted = testkit::incentive::incentive(tenant, &format!("u{}", place.1), 1);
    let parts = [i64::from(whose), i64::from(source), place.0, i64::from(place.1)];
    let id = parts.iter().fold(0_u128, |id, part| id << 32 | *part as u128);
    CapturedIncentive {
        id: IncentiveId(Uuid::from_u128(id)),
        tenant,
        user: granted.user,
        user_ref: granted.user_ref,
        campaign: granted.campaign,
        campaign_version: 1,
        event_id: granted.event_id,
        kind: RewardType::Coupon,
        currency: "EUR".to_owned(),
        amount: "2.11".parse().unwrap(),
        coupon_code: (place.1 % 2 == 0).then(|| format!("C-{}", place.1)),
        issued_at: at(place.0),
        seq: 1,
        day: Day(20_266 + (place.0 % 3) as i32),
        source_partition: source,
        place: Place { batch_seq: place.0, ordinal: place.1 },
    }
}

fn open(dir: &Path) -> Landing {
    Landing::open(dir, TOPIC, Cut::default(), at(0)).unwrap()
}

/// The ids in all files that the manifest names, with how often each is there.
fn landed(dir: &Path) -> BTreeMap<String, u32> {
    let manifest = Manifest::read(dir).unwrap().unwrap();
    let mut ids = BTreeMap::new();
    for file in &manifest.files {
        let reader = SerializedFileReader::new(File::open(dir.join(&file.path)).unwrap()).unwrap();
        let mut rows = 0;
        for row in reader.get_row_iter(None).unwrap() {
            *ids.entry(row.unwrap().get_string(0).unwrap().clone()).or_default() += 1;
            rows += 1;
        }
        assert_eq!(rows, file.rows, "{}", file.path);
    }
    ids
}

fn files_on_disk(dir: &Path) -> usize {
    let days = fs::read_dir(dir.join("incentives")).unwrap();
    days.map(|day| fs::read_dir(day.unwrap().path()).unwrap().count()).sum()
}

#[test]
fn what_came_lands_once_and_stays_landed() {
    let dir = TempDir::new();
    let mut landing = open(dir.path());
    for ordinal in 0..10 {
        assert!(landing.take(row(1, 0, (1, ordinal)), at(0)));
    }
    assert!(!landing.take(row(1, 0, (1, 9)), at(0)), "it is in hand already");
    assert!(landing.take(row(2, 0, (1, 0)), at(0)), "places are of a tenant");
    assert!(landing.take(row(1, 3, (1, 0)), at(0)), "and of a source partition");
    landing.reached(0, 12);
    assert_eq!(landed(dir.path()).len(), 0, "nothing has landed yet");
    assert_eq!(landing.land(at(1)).unwrap().rows, 12);
    assert_eq!(landing.land(at(1)).unwrap(), Landed::default(), "nothing is in hand");
    drop(landing);

    let mut landing = open(dir.path());
    assert_eq!(landing.offsets(), &BTreeMap::from([(0, 12)]));
    assert!(!landing.take(row(1, 0, (1, 9)), at(2)), "it has landed");
    assert!(landing.take(row(1, 0, (2, 0)), at(2)));
    landing.land(at(3)).unwrap();
    let ids = landed(dir.path());
    assert_eq!(ids.len(), 13);
    assert!(ids.values().all(|times| *times == 1), "{ids:?}");
    assert_eq!(landing.manifest().rows_by_day().values().sum::<u64>(), 13);
    assert!(dir.path().join("incentives/day=2025-06-28").is_dir(), "1 modulo 3 is the next day");
}

#[test]
fn what_is_in_hand_is_bounded() {
    let dir = TempDir::new();
    let open = |cut| Landing::open(dir.path(), TOPIC, cut, at(0)).unwrap();
    let mut landing = open(Cut { rows: 2, ..Cut::default() });
    landing.take(row(1, 0, (1, 0)), at(0));
    assert!(!landing.is_due(at(299)) && landing.is_due(at(300)), "after five minutes");
    landing.take(row(1, 0, (1, 1)), at(1));
    assert!(landing.is_full() && landing.is_due(at(1)), "after two rows");
    drop(landing);
    let mut landing = open(Cut { bytes: 1, ..Cut::default() });
    landing.take(row(1, 0, (1, 0)), at(0));
    assert!(landing.is_full(), "after a byte");
}

#[test]
fn a_directory_has_one_landing_and_keeps_its_manifest() {
    let dir = TempDir::new();
    let open = |topic| Landing::open(dir.path(), topic, Cut::default(), at(0));
    let refused = |topic, says: &str| {
        let refused = open(topic).err().expect("refused").to_string();
        assert!(refused.contains(says), "{refused}");
    };
    let mut landing = open(TOPIC).unwrap();
    refused(TOPIC, "another process with the role analytics lands there");
    landing.take(row(1, 0, (1, 0)), at(0));
    landing.land(at(0)).unwrap();
    drop(landing);
    refused("other", "the topic db.incentives lands here, not other");

    let path = dir.path().join(NAME);
    let manifest = fs::read_to_string(&path).unwrap();
    fs::write(&path, manifest.replace("\"format\":1", "\"format\":2")).unwrap();
    refused(TOPIC, "its format is 2, and this version of incent knows 1");
    fs::write(&path, &manifest[..manifest.len() / 2]).unwrap();
    refused(TOPIC, "it is damaged");
    fs::remove_file(&path).unwrap();
    refused(TOPIC, "it is missing, and 1 files lie here");
    fs::write(&path, manifest).unwrap();

    let file = open(TOPIC).unwrap().manifest().files[0].clone();
    let full = dir.path().join(&file.path);
    File::options().append(true).open(&full).unwrap().set_len(1).unwrap();
    refused(TOPIC, "is 1 bytes long; restore the file");
    fs::remove_dir_all(full.parent().unwrap()).unwrap();
    let landing = open(TOPIC).unwrap();
    assert!(landing.manifest().files.is_empty(), "a day may be dropped as a whole");
}

#[test]
fn small_files_of_a_day_become_one() {
    let dir = TempDir::new();
    let mut landing = open(dir.path());
    let lands = FILES as i64 * FILES as i64;
    for n in 1..=lands {
        landing.take(row(1, 0, (n * 3, 0)), at(n));
        landing.land(at(n)).unwrap();
        while landing.merge(at(n)).unwrap() {}
        let files = landing.manifest().files.len();
        assert!(files <= 2 * (FILES - 1), "{files} files after {n} rows");
    }
    assert_eq!(landing.manifest().files.len(), 1);
    let ids = landed(dir.path());
    assert!(ids.len() == lands as usize && ids.values().all(|times| *times == 1), "{ids:?}");

    let old = landing.manifest().replaced.len();
    assert_eq!(files_on_disk(dir.path()), old + 1, "what was replaced can be read a while longer");
    landing.sweep(at(lands + 599)).unwrap();
    assert!(files_on_disk(dir.path()) < old + 1, "the first of them are old enough");
    landing.sweep(at(lands + 600)).unwrap();
    assert_eq!(files_on_disk(dir.path()), 1);
    drop(landing);
    assert_eq!(open(dir.path()).manifest().files.len(), 1);
    assert_eq!(landed(dir.path()), ids);
}

/// A run with a loss of power after so many steps, then one without, in which everything comes
/// again. Returns the steps that the first one made.
fn with_a_loss_of_power_after(steps: u32, is_restarted: bool) -> u32 {
    let dir = TempDir::new();
    // All of one day.
    let rows = |batch: i64| (0..4).map(move |n| row(n as u8 % 2, 0, (batch * 3, n)));
    let land = |landing: &mut Landing, batch: i64| -> Result<(), LandingError> {
        rows(batch).for_each(|row| {
            landing.take(row, at(batch));
        });
        landing.land(at(batch))?;
        while landing.merge(at(batch))? {}
        landing.sweep(at(batch + 599))
    };
    let batches = 1..=FILES as i64 + 2;
    let mut landing = open(dir.path());
    landing.folder.power.fails_after(steps);
    let failed = batches.clone().find_map(|batch| land(&mut landing, batch).err());
    let made = landing.folder.power.made();
    assert!(failed.is_none_or(|error| error.may_pass()));
    if is_restarted {
        landing.folder.power.lost();
        drop(landing);
        landing = open(dir.path());
    } else {
        landing.folder.power.returns();
    }
    let before = landed(dir.path());
    for batch in batches.clone() {
        land(&mut landing, batch).unwrap();
    }
    let after = landed(dir.path());
    assert!(before.keys().all(|id| after.contains_key(id)), "nothing that landed is gone");
    let all = batches.flat_map(rows).map(|row| (row.id.to_string(), 1));
    assert_eq!(after, all.collect(), "after {steps} steps");
    landing.sweep(at(100_000)).unwrap();
    assert_eq!(files_on_disk(dir.path()), landing.manifest().files.len(), "after {steps} steps");
    made
}

#[test]
fn power_may_go_after_any_step() {
    let all = with_a_loss_of_power_after(u32::MAX, true);
    assert!(all > 80, "{all} steps are all there are");
    for steps in 0..all {
        with_a_loss_of_power_after(steps, true);
    }
}

#[test]
fn a_disk_may_be_full_after_any_step_and_landing_goes_on_by_itself() {
    let all = with_a_loss_of_power_after(u32::MAX, false);
    for steps in 0..all {
        with_a_loss_of_power_after(steps, false);
    }
}

/// However a topic repeats what it said, and however often the process starts anew, each row lands
/// once.
#[test]
fn repeats_are_dropped() {
    for seed in 0..40 {
        let mut random = Random(seed);
        let log = a_topic(&mut random);
        let dir = TempDir::new();
        let mut landing = open(dir.path());
        let (mut from, mut done) = (0, 0);
        while done < log.len() {
            let to = (from + random.size(20) + 1).min(log.len());
            for row in &log[from..to] {
                landing.take(row.clone(), at(0));
            }
            (from, done) = (to, to.max(done));
            match random.below(4) {
                // What was in hand is lost, and everything comes again.
                0 => {
                    drop(landing);
                    landing = open(dir.path());
                    (from, done) = (0, 0);
                }
                1 => from = to.saturating_sub(random.size(30)),
                2 => {
                    landing.land(at(0)).unwrap();
                    landing.merge(at(0)).unwrap();
                }
                _ => {}
            }
        }
        landing.land(at(0)).unwrap();
        let expected = log.iter().map(|row| (row.id.to_string(), 1)).collect();
        assert_eq!(landed(dir.path()), expected, "seed {seed}");
    }
}

/// Rows of some tenants and sources, each of them in the order of places.
fn a_topic(random: &mut Random) -> Vec<CapturedIncentive> {
    let mut last: BTreeMap<(u8, i32), i64> = BTreeMap::new();
    let mut log = Vec::new();
    for _ in 0..random.below(80) {
        let (whose, source) = (random.below(3) as u8, random.below(2) as i32);
        let batch = last.entry((whose, source)).or_insert(0);
        *batch += random.between(1, 2);
        log.extend((0..=random.below(2) as i32).map(|n| row(whose, source, (*batch, n))));
    }
    log
}
