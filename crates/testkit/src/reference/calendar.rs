//! Days, periods and schedules by counting, as a child would with a wall calendar.

use domain::rule::{Schedule, Weekday};
use domain::time::{Day, Period, Timestamp, Zone};

/// Year, month 1–12, day 1–31.
pub type Date = (i32, i32, i32);

fn is_leap(year: i32) -> bool {
    (year % 4 == 0 && year % 100 != 0) || year % 400 == 0
}

fn month_length(year: i32, month: i32) -> i32 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

fn year_length(year: i32) -> i32 {
    if is_leap(year) { 366 } else { 365 }
}

/// Days since 1970-01-01: all the years, all the months, all the days before it.
pub fn day_of((year, month, day): Date) -> Day {
    let years: i32 = (1970..year).map(year_length).sum();
    let months: i32 = (1..month).map(|m| month_length(year, m)).sum();
    Day(years + months + day - 1)
}

/// The date of a day from 1970 on.
pub fn date_of(day: Day) -> Date {
    let (mut year, mut month, mut left) = (1970, 1, day.0);
    while left >= year_length(year) {
        left -= year_length(year);
        year += 1;
    }
    while left >= month_length(year, month) {
        left -= month_length(year, month);
        month += 1;
    }
    (year, month, left + 1)
}

/// Monday is 0. The first of January 1970 was a Thursday.
pub fn weekday(day: Day) -> i32 {
    (day.0 + 3).rem_euclid(7)
}

/// The calendar day of a moment in a zone.
pub fn local_day(zone: &Zone, at: Timestamp) -> Day {
    let local = zone.civil(at);
    day_of((local.year().into(), local.month().into(), local.day().into()))
}

/// Whether two days lie in one period.
pub fn same_period(period: Period, a: Day, b: Day) -> bool {
    let ((a_year, a_month, _), (b_year, b_month, _)) = (date_of(a), date_of(b));
    match period {
        Period::Day => a == b,
        Period::Week => a.0 - weekday(a) == b.0 - weekday(b),
        Period::Month => (a_year, a_month) == (b_year, b_month),
        Period::Quarter => (a_year, (a_month - 1) / 3) == (b_year, (b_month - 1) / 3),
        Period::Year => a_year == b_year,
    }
}

/// The first day of the period that holds a day.
pub fn first_day(period: Period, day: Day) -> Day {
    let (year, month, _) = date_of(day);
    match period {
        Period::Day => day,
        Period::Week => Day(day.0 - weekday(day)),
        Period::Month => day_of((year, month, 1)),
        Period::Quarter => day_of((year, (month - 1) / 3 * 3 + 1, 1)),
        Period::Year => day_of((year, 1, 1)),
    }
}

/// Whether an event at a moment lies in a schedule. Hours over midnight belong to the day on which
/// they begin, and so do weekday and season.
pub fn in_schedule(schedule: &Schedule, tenant_zone: &Zone, at: Timestamp) -> bool {
    let zone = schedule.zone.as_ref().unwrap_or(tenant_zone);
    let local = zone.civil(at);
    let mut day = local_day(zone, at);
    if let Some(hours) = &schedule.time_of_day {
        // Two digits each, so their texts have the order of the times.
        let now = format!("{:02}:{:02}", local.hour(), local.minute());
        let (from, to) = (hours.from.to_string(), hours.to.to_string());
        let before_midnight = now >= from && (from >= to || now < to);
        let after_midnight = from >= to && now < to;
        if !before_midnight && !after_midnight {
            return false;
        }
        if after_midnight && !before_midnight {
            day = Day(day.0 - 1);
        }
    }
    if let Some(days) = &schedule.weekdays {
        let today = usize::try_from(weekday(day)).ok().and_then(|i| Weekday::ALL.get(i));
        if !days.iter().any(|d| Some(d) == today) {
            return false;
        }
    }
    if let Some(season) = &schedule.season {
        let (_, month, day) = date_of(day);
        let today = format!("{month:02}-{day:02}");
        let (from, to) = (season.from.to_string(), season.to.to_string());
        return if from <= to {
            from <= today && today <= to
        } else {
            from <= today || today <= to
        };
    }
    true
}
