use domain::id::{CampaignId, UserRef};
use domain::time::{Day, Timestamp};
use uuid::Uuid;

use super::{Cell, Leader, Sum, by_rank};

fn sum(incentives: u64, amount: &str, last_at: i64) -> Sum {
    let amount = amount.parse().expect("a decimal");
    Sum { incentives, amount, last_at: Timestamp::from_stored(last_at) }
}

#[test]
fn a_row_counts_once_for_each_way_to_look_at_it() {
    let ada = UserRef::new("ada").expect("a reference");
    let campaign = CampaignId(Uuid::from_u128(7));
    let cells: Vec<Cell> = Cell::of(&ada, campaign, Day(20_000), "EUR").collect();
    let mut different = cells.clone();
    different.sort();
    different.dedup();
    assert_eq!(different.len(), 8);
    assert!(cells.iter().all(|cell| cell.currency == "EUR"));
    assert_eq!(cells.iter().filter(|cell| cell.user.is_some()).count(), 4);
    assert_eq!(cells.iter().filter_map(Cell::leaderboard).count(), 4);
}

#[test]
fn a_sum_is_read_as_it_is_written() {
    for (sum, text) in [
        (Sum::default(), "0 0 0"),
        (sum(3, "42.10", 1_750_000_000_000_001), "3 42.1 1750000000000001"),
        (sum(1, "12345678901234567890.12345678", 5), "1 12345678901234567890.12345678 5"),
        (sum(2, "-7", 1), "2 -7 1"),
    ] {
        assert_eq!(sum.to_string(), text);
        assert_eq!(text.parse(), Ok(sum));
    }
    for text in ["", "1", "1 2", "1 2 3 4", "x 2 3", "1 1e3x 3", "-1 2 3"] {
        assert!(text.parse::<Sum>().is_err(), "{text}");
    }
}

#[test]
fn amounts_are_added_exactly() {
    let tenth = sum(1, "0.1", 3);
    let total = (0..10).fold(Sum::default(), |total, _| total.with(tenth));
    assert_eq!(total, sum(10, "1", 3));
    assert_eq!(total.to_string(), "10 1 3");
}

#[test]
fn of_equal_amounts_the_first_there_leads() {
    let leader = |name: &str, amount: &str, at| Leader {
        user: UserRef::new(name).expect("a reference"),
        sum: sum(1, amount, at),
    };
    let mut leaders = [
        leader("late", "10", 9),
        leader("little", "9.99", 1),
        leader("b", "10.0", 5),
        leader("a", "10.00", 5),
        leader("most", "10.01", 99),
    ];
    leaders.sort_by(by_rank);
    let names: Vec<&str> = leaders.iter().map(|leader| leader.user.as_str()).collect();
    assert_eq!(names, ["most", "a", "b", "late", "little"]);
}
