//! When events count: weekdays, hours and season, by event time in a zone.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;
use serde_json::{Value, json};

use crate::shape::{Described, FaultCode, Many, Reader, Schemas, Shape, shown};
use crate::time::{Timestamp, Zone};

crate::choice! {
    /// A day of the week.
    pub enum Weekday {
        /// Monday.
        Mon = "MON",
        /// Tuesday.
        Tue = "TUE",
        /// Wednesday.
        Wed = "WED",
        /// Thursday.
        Thu = "THU",
        /// Friday.
        Fri = "FRI",
        /// Saturday.
        Sat = "SAT",
        /// Sunday.
        Sun = "SUN",
    }
}

/// A time of day to the minute: `22:00`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(u16);

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}
impl FromStr for TimeOfDay {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (h, m) = two_by_two(text, ':').ok_or(())?;
        if h < 24 && m < 60 { Ok(Self(h * 60 + m)) } else { Err(()) }
    }
}
impl Serialize for TimeOfDay {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// A day of the year: `12-24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MonthDay {
    month: u16,
    day: u16,
}

impl fmt::Display for MonthDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}-{:02}", self.month, self.day)
    }
}
impl FromStr for MonthDay {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let (month, day) = two_by_two(text, '-').ok_or(())?;
        // 2024 is a leap year, so 02-29 is a day of the year.
        let real = i8::try_from(month).ok().zip(i8::try_from(day).ok());
        match real.map(|(m, d)| jiff::civil::Date::new(2024, m, d)) {
            Some(Ok(_)) => Ok(Self { month, day }),
            _ => Err(()),
        }
    }
}
impl Serialize for MonthDay {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

fn two_by_two(text: &str, between: char) -> Option<(u16, u16)> {
    let (a, b) = text.split_once(between)?;
    let digits = |t: &str| {
        (t.len() == 2 && t.bytes().all(|c| c.is_ascii_digit())).then(|| t.parse().ok())?
    };
    Some((digits(a)?, digits(b)?))
}

crate::shape! {
    /// Hours of the day; over midnight when `to` is not after `from`.
    pub struct TimeSpan {
        /// First minute, such as `22:00`.
        "from" from: TimeOfDay,
        /// End, exclusive, such as `02:00`.
        "to" to: TimeOfDay,
    }
}

crate::shape! {
    /// Days of every year; over new year when `to` is before `from`.
    pub struct Season {
        /// First day, such as `12-01`.
        "from" from: MonthDay,
        /// Last day, inclusive.
        "to" to: MonthDay,
    }
}

crate::shape! {
    /// When events count. All that is given must hold.
    pub struct Schedule {
        /// IANA zone of the days and hours; the tenant's own without it.
        "zone" zone: Option<Zone>,
        /// Days of the week. Hours over midnight belong to the day on which they begin.
        "weekdays" weekdays: Option<Many<Weekday, 1, 7>>,
        /// Hours of the day.
        "timeOfDay" time_of_day: Option<TimeSpan>,
        /// Days of the year.
        "season" season: Option<Season>,
    }
}

impl Schedule {
    /// True when an event at this moment counts.
    pub fn holds(&self, at: Timestamp, tenant_zone: &Zone) -> bool {
        let local = self.zone.as_ref().unwrap_or(tenant_zone).civil(at);
        let mut date = local.date();
        if let Some(span) = &self.time_of_day {
            let (hour, minute) = (local.hour().unsigned_abs(), local.minute().unsigned_abs());
            let now = TimeOfDay(u16::from(hour) * 60 + u16::from(minute));
            let inside = if span.from < span.to {
                span.from <= now && now < span.to
            } else {
                span.from <= now || now < span.to
            };
            if !inside {
                return false;
            }
            if span.from >= span.to && now < span.to {
                // After midnight: the hours belong to the day before.
                date = date.yesterday().unwrap_or(date);
            }
        }
        self.weekday_holds(date) && self.season_holds(date)
    }

    fn weekday_holds(&self, date: jiff::civil::Date) -> bool {
        let index = usize::from(date.weekday().to_monday_zero_offset().unsigned_abs());
        self.weekdays.as_ref().is_none_or(|days| days.contains(&Weekday::ALL[index]))
    }

    fn season_holds(&self, date: jiff::civil::Date) -> bool {
        let Some(season) = &self.season else { return true };
        let today = MonthDay {
            month: date.month().unsigned_abs().into(),
            day: date.day().unsigned_abs().into(),
        };
        if season.from <= season.to {
            season.from <= today && today <= season.to
        } else {
            season.from <= today || today <= season.to
        }
    }
}

macro_rules! written_text {
    ($($type:ident: $what:literal, $pattern:literal, $example:literal;)+) => {$(
        impl Described for $type {
            fn schema(_: &mut Schemas) -> Value {
                json!({ "type": "string", "pattern": $pattern, "examples": [$example] })
            }
        }
        impl Shape for $type {
            fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
                let text = at.text(value)?;
                text.parse().ok().or_else(|| {
                    let detail = format!(concat!("{} is not ", $what), shown(text));
                    at.refuse_with(FaultCode::Syntax, detail, concat!("write it as ", $example))
                })
            }
        }
    )+};
}
written_text! {
    TimeOfDay: "a time of day", "^[0-2][0-9]:[0-5][0-9]$", "22:00";
    MonthDay: "a day of the year", "^[01][0-9]-[0-3][0-9]$", "12-24";
}
