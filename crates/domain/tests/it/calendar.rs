//! Days and periods against a calendar that counts.

use domain::time::{Day, Period, Timestamp, Zone};
use proptest::prelude::*;
use testkit::reference::calendar::{date_of, day_of, first_day, local_day, same_period, weekday};

const PERIODS: [Period; 5] =
    [Period::Day, Period::Week, Period::Month, Period::Quarter, Period::Year];

proptest! {
    /// What is accepted can be printed, and what is printed is the same instant again: at both ends
    /// and in between.
    #[test]
    fn every_accepted_instant_reads_back(
        near in 0..1_000_000_000_000_i64,
        any in 0..=Timestamp::MAX.micros(),
    ) {
        for us in [0, near, any, Timestamp::MAX.micros() - near, Timestamp::MAX.micros()] {
            let at = Timestamp::from_micros(us).expect("it is accepted");
            let text = at.to_string();
            prop_assert_eq!(text.parse::<Timestamp>(), Ok(at), "{}", text);
            // Its day has a date in every zone, the furthest east and west among them.
            for zone in ["Pacific/Kiritimati", "Pacific/Niue"] {
                let zone = Zone::named(zone).expect("a zone");
                let day = zone.day(at);
                prop_assert_eq!(Day::of_date(day.date()), day, "{}", text);
            }
        }
    }
}

#[test]
fn instants_beyond_both_ends_are_refused() {
    let last = Timestamp::MAX.micros();
    assert_eq!(Timestamp::MAX.to_string(), "9999-12-30T00:00:00Z");
    for us in [i64::MIN, -1, last + 1, i64::MAX] {
        assert!(Timestamp::from_micros(us).is_err(), "{us}");
    }
    for text in ["1969-12-31T23:59:59.999999Z", "9999-12-30T00:00:00.000001Z"] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
}

/// Every day of 1970 to 2110: 2000 is a leap year, 2100 is none.
#[test]
fn every_day_has_its_date_and_its_periods() {
    for number in 0..day_of((2111, 1, 1)).0 {
        let day = Day(number);
        let date = day.date();
        let (year, month, in_month) = (date.year().into(), date.month().into(), date.day().into());
        assert_eq!((year, month, in_month), date_of(day));
        assert_eq!(Day::of_date(date), day);
        assert_eq!(i32::from(date.weekday().to_monday_zero_offset()), weekday(day), "{date}");
        for period in PERIODS {
            let first = period.first_day(day);
            assert_eq!(first, first_day(period, day), "{period:?} of {date}");
            let next = period.next_first_day(first);
            assert!(first <= day && day < next, "{period:?} of {date}");
            assert!(same_period(period, first, Day(next.0 - 1)), "{period:?} of {date}");
            assert!(!same_period(period, first, next), "{period:?} of {date}");
        }
    }
}

const ZONES: [&str; 10] = [
    "UTC",
    "Europe/Paris",
    "America/New_York",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "Pacific/Kiritimati",
    "America/St_Johns",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A day's first instant lies in it, and the instant before does not.
    #[test]
    fn a_day_begins_where_the_one_before_ends(
        name in proptest::sample::select(&ZONES),
        us in 0_i64..4_000_000_000_000_000,
    ) {
        let zone = Zone::named(name).unwrap();
        let at = Timestamp::from_micros(us).unwrap();
        let day = zone.day(at);
        prop_assert_eq!(day, local_day(&zone, at));
        let start = zone.start_of(day);
        // A day that its zone skipped begins with the one after it.
        prop_assert!(start <= at);
        prop_assert!(zone.day(start) == day, "{name}: {day:?} begins at {start}");
        if start.micros() > 0 {
            prop_assert!(zone.day(start.plus_micros(-1)) < day, "{name}: {day:?} begins at {start}");
        }
    }
}
