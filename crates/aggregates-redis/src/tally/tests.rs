use domain::id::{CampaignId, EventId, IncentiveId, TenantId, user_id};
use domain::incentive::RewardType;
use domain::time::{Day, Timestamp};
use uuid::Uuid;

use super::*;

const TENANT: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));

/// A row: its place (partition, batch, ordinal), whose and which number, how much, in which minute.
fn row(place: (i32, i64, i32), user: &str, seq: u64, amount: &str) -> CapturedIncentive {
    let user_ref = UserRef::new(user).expect("a reference");
    let at = 1_000_000 * place.1 + i64::from(place.2);
    CapturedIncentive {
        id: IncentiveId(Uuid::from_u128(at.unsigned_abs().into())),
        tenant: TENANT,
        user: user_id(TENANT, &user_ref),
        user_ref,
        campaign: CampaignId(Uuid::from_u128(0xca)),
        campaign_version: 1,
        event_id: EventId::new("e").expect("an id"),
        kind: RewardType::Cashback,
        currency: "EUR".to_owned(),
        amount: amount.parse().expect("a decimal"),
        coupon_code: None,
        issued_at: Timestamp::from_stored(at),
        seq,
        day: Day(20_000),
        source_partition: place.0,
        place: Place { batch_seq: place.1, ordinal: place.2 },
    }
}

fn change(tally: Tally) -> Change {
    match tally {
        Tally::Change(change) => change,
        other => panic!("{other:?}"),
    }
}

/// What is there after a change.
fn after(change: &Change) -> Found {
    Found {
        sums: change.sums.iter().map(|(cell, (_, sum))| (cell.clone(), *sum)).collect(),
        seqs: change.seqs.clone(),
        places: change.places.iter().map(|(partition, (_, to))| (*partition, *to)).collect(),
    }
}

fn all_time(found: &Found) -> String {
    let cell = Cell { user: None, campaign: None, day: None, currency: "EUR".to_owned() };
    found.sums[&cell].to_string()
}

#[test]
fn rows_count_once() {
    let rows = [row((0, 1, 0), "ada", 1, "1.10"), row((0, 1, 2), "bob", 1, "2")];
    let first = change(tally(&rows, &Found::default(), Trust::Gapless));
    assert_eq!(first.rows, 2);
    assert_eq!(first.sums.len(), 4 + 2 * 4);
    let found = after(&first);
    assert_eq!(all_time(&found), "2 3.1 1000002");

    assert_eq!(tally(&rows, &found, Trust::Gapless), Tally::Nothing, "the same once more");
    let more =
        [rows[1].clone(), row((0, 2, 0), "ada", 2, "0.90"), row((0, 2, 0), "ada", 2, "0.90")];
    let second = change(tally(&more, &found, Trust::Gapless));
    assert_eq!((second.rows, all_time(&after(&second))), (1, "3 4 2000000".to_owned()));
    assert_eq!(second.places[&0].0, Some(rows[1].place));
}

#[test]
fn places_are_those_of_each_source_partition() {
    let found =
        Found { places: [(0, Place { batch_seq: 9, ordinal: 0 })].into(), ..Found::default() };
    let rows = [row((0, 9, 0), "ada", 1, "1"), row((1, 2, 5), "ada", 1, "1")];
    let change = change(tally(&rows, &found, Trust::Gapless));
    assert_eq!(change.rows, 1);
    assert_eq!(change.places, [(1, (None, rows[1].place))].into());
}

#[test]
fn a_number_that_is_missing_tells_that_rows_are() {
    let found =
        Found { seqs: [(UserRef::new("ada").expect("a reference"), 3)].into(), ..Found::default() };
    for (seq, is_gap) in [(4, false), (5, true), (3, true), (1, true)] {
        let rows = [row((0, 1, 0), "ada", seq, "1")];
        let told = tally(&rows, &found, Trust::Gapless);
        assert_eq!(matches!(told, Tally::Gap(_)), is_gap, "{seq}: {told:?}");
        assert!(matches!(tally(&rows, &found, Trust::Ledger), Tally::Change(_)), "{seq}");
    }
    let new = [row((0, 1, 0), "bob", 2, "1")];
    assert!(matches!(tally(&new, &Found::default(), Trust::Gapless), Tally::Gap(_)));
    let in_turn = [row((0, 1, 0), "ada", 4, "1"), row((0, 1, 1), "ada", 5, "1")];
    assert_eq!(change(tally(&in_turn, &found, Trust::Gapless)).seqs.values().max(), Some(&5));
}

#[test]
fn a_member_that_moves_leaves_its_old_place() {
    let generation = Generation::new(TENANT, "1");
    let first = change(tally(&[row((0, 1, 0), "ada", 1, "1")], &Found::default(), Trust::Gapless));
    let moves = |change: &Change| -> Vec<Moves> {
        let writes = change.writes(&generation).into_iter();
        writes
            .filter_map(|w| if let Write::Board { moves, .. } = w { Some(moves) } else { None })
            .collect()
    };
    let came = "00000000000f4240|ada".to_owned();
    let expected = Moves { gone: vec![], come: vec![(-1.0, came.clone())] };
    assert_eq!(moves(&first), vec![expected; 4]);

    let second = change(tally(&[row((0, 2, 0), "ada", 2, "1")], &after(&first), Trust::Gapless));
    let expected =
        Moves { gone: vec![came], come: vec![(-2.0, "00000000001e8480|ada".to_owned())] };
    assert_eq!(moves(&second), vec![expected; 4]);
}

/// Counted row by row or read from the ledger as a whole: the same is written.
#[test]
fn the_ledgers_sums_come_to_the_same_as_its_rows() {
    let rows = [
        row((0, 1, 0), "ada", 1, "1.5"),
        row((0, 1, 1), "bob", 1, "2"),
        row((0, 2, 0), "ada", 2, "0.25"),
    ];
    let counted = change(tally(&rows, &Found::default(), Trust::Gapless));
    let of = |name: &str| {
        let user = UserRef::new(name).expect("a reference");
        let mine = || rows.iter().filter(|row| row.user_ref == user);
        let sum = mine().fold(Sum::default(), |sum, row| sum.with(Sum::from(row)));
        let sums = vec![(rows[0].campaign, "EUR".to_owned(), rows[0].day, sum)];
        UserSums { user: user.clone(), last_seq: mine().count() as u64, sums }
    };
    let mut all = BTreeMap::new();
    let users = [Change::of_user(of("ada"), &mut all), Change::of_user(of("bob"), &mut all)];
    let generation = Generation::new(TENANT, "1");
    let mut told: Vec<Write> =
        users.iter().chain([&of_all(all)]).flat_map(|c| c.writes(&generation)).collect();
    let mut expected = counted.writes(&generation);
    // Boards are written for one user at a time, or for all.
    told = joined(told);
    expected = joined(expected);
    assert_eq!(told, expected);
}

fn joined(writes: Vec<Write>) -> Vec<Write> {
    let mut all: BTreeMap<String, Write> = BTreeMap::new();
    for write in writes {
        match (all.get_mut(write.key()), write) {
            (Some(Write::Hash { fields, .. }), Write::Hash { fields: more, .. }) => {
                fields.extend(more);
                fields.sort();
            }
            (Some(Write::Board { moves, .. }), Write::Board { moves: more, .. }) => {
                moves.come.extend(more.come);
                moves.come.sort_by(|a, b| a.1.cmp(&b.1));
            }
            (_, mut write) => {
                match &mut write {
                    Write::Hash { fields, .. } => fields.sort(),
                    Write::Board { moves, .. } => moves.come.sort_by(|a, b| a.1.cmp(&b.1)),
                }
                all.insert(write.key().to_owned(), write);
            }
        }
    }
    all.into_values().collect()
}
