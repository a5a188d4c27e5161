//! Instants, zones, lengths of time, dates and periods.

use std::fmt;
use std::str::FromStr;

use jiff::tz::TimeZoneDatabase;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::suggest::shown;
use super::{Described, FaultCode, Reader, Schemas, Shape, schema};
use crate::time::{Day, Length, Period, TimeError, Timestamp, Zone};

impl Described for Timestamp {
    fn schema(_: &mut Schemas) -> Value {
        schema::formatted("date-time", "2026-11-22T10:00:00Z")
    }
}
impl Shape for Timestamp {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let text = at.text(value)?;
        match text.parse::<Self>() {
            Ok(time) => Some(time),
            Err(why @ TimeError::Range) => at.refuse(FaultCode::OutOfRange, why.to_string()),
            Err(_) => at.refuse_with(
                FaultCode::Syntax,
                format!("{} is not a time", shown(text)),
                "write it as 2026-11-22T10:00:00Z",
            ),
        }
    }
}

impl Described for Zone {
    fn schema(_: &mut Schemas) -> Value {
        json!({ "type": "string", "maxLength": 64, "examples": ["Europe/Paris"] })
    }
}
impl Shape for Zone {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let text = at.text(value)?;
        if let Ok(zone) = Self::named(text) {
            return Some(zone);
        }
        let known: Vec<String> =
            TimeZoneDatabase::bundled().available().map(|name| name.to_string()).collect();
        let hint = at
            .did_you_mean(text, known.iter().map(String::as_str))
            .unwrap_or_else(|| "write it as Europe/Paris".to_owned());
        let detail = format!("{} is not an IANA time zone", shown(text));
        at.refuse_with(FaultCode::NotInSet, detail, hint)
    }
}

impl Described for Length {
    fn schema(_: &mut Schemas) -> Value {
        schema::formatted("duration", "P7D")
    }
}
impl Shape for Length {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let text = at.text(value)?;
        text.parse()
            .or_else(|why: &str| {
                let (detail, hint) =
                    why.split_once("; ").unwrap_or((why, "write it as PT3H or P7D"));
                at.refuse_with(FaultCode::Syntax, format!("{} {detail}", shown(text)), hint)
                    .ok_or(())
            })
            .ok()
    }
}

/// A calendar day as a document has it: `2026-11-22`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date(pub Day);

impl Serialize for Date {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.date().fmt(f)
    }
}
impl FromStr for Date {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        // The library also takes 20261122 and times behind the date; one form is enough.
        let date = text.parse().ok().filter(|_| text.len() == 10);
        date.map(|date| Self(Day::of_date(date))).ok_or(TimeError::Syntax)
    }
}
impl Described for Date {
    fn schema(_: &mut Schemas) -> Value {
        schema::formatted("date", "2026-11-22")
    }
}
impl Shape for Date {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        at.parsed(value, "a date", "2026-11-22")
    }
}

const PERIODS: [(&str, Period); 5] = [
    ("DAY", Period::Day),
    ("WEEK", Period::Week),
    ("MONTH", Period::Month),
    ("QUARTER", Period::Quarter),
    ("YEAR", Period::Year),
];

impl Described for Period {
    fn schema(defs: &mut Schemas) -> Value {
        defs.define::<Self>("Period", |_| {
            let words = schema::words(&PERIODS.map(|(word, _)| word));
            schema::described(words, "A calendar period. Weeks begin on Monday.")
        })
    }
}
impl Shape for Period {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let text = at.text(value)?;
        match PERIODS.iter().find(|(word, _)| *word == text) {
            Some((_, period)) => Some(*period),
            None => at.not_in_set(text, &PERIODS.map(|(word, _)| word)),
        }
    }
}
