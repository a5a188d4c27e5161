//! Times as files write them.

use domain::time::{Timestamp, Zone};
use jiff::civil::{Date, DateTime};
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;

/// How the time column is written.
#[derive(Clone, Debug, PartialEq)]
pub enum TimeFormat {
    /// RFC 3339, or a date with or without a time of day in the mapping's zone.
    Auto,
    /// Seconds since 1970, with or without a fraction.
    Unix,
    /// Milliseconds since 1970.
    UnixMillis,
    /// A pattern such as `%d/%m/%Y %H:%M`.
    Pattern(String),
}

impl TimeFormat {
    /// From its text: `auto`, `unix`, `unix-ms`, or a pattern with `%`. Errors: none of these.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "unix" => Ok(Self::Unix),
            "unix-ms" => Ok(Self::UnixMillis),
            pattern if pattern.contains('%') => Ok(Self::Pattern(pattern.to_owned())),
            other => Err(format!(
                "{other:?} is no time format: give auto, unix, unix-ms, or a pattern such as %d/%m/%Y"
            )),
        }
    }

    /// Reads a time. Errors: why it is none, completing "the time …".
    pub fn read(&self, text: &str, zone: &Zone) -> Result<Timestamp, String> {
        match self {
            Self::Auto => auto(text, zone),
            Self::Unix => number(text, 1_000_000),
            Self::UnixMillis => number(text, 1_000),
            Self::Pattern(pattern) => by_pattern(text, pattern, zone),
        }
    }
}

fn auto(text: &str, zone: &Zone) -> Result<Timestamp, String> {
    if let Ok(date) = text.parse::<Date>()
        && text.len() == 10
    {
        return civil(date.at(0, 0, 0, 0), zone);
    }
    match text.parse::<Timestamp>() {
        Ok(at) => Ok(at),
        Err(why) => match text.parse::<DateTime>() {
            Ok(local) => civil(local, zone),
            Err(_) => Err(format!("{text:?} {why}")),
        },
    }
}

fn civil(local: DateTime, zone: &Zone) -> Result<Timestamp, String> {
    // The zone was read by the domain from the compiled-in data; so is this one.
    let tz = TimeZone::get(zone.name()).unwrap_or(TimeZone::UTC);
    let zoned = tz.to_ambiguous_zoned(local).compatible().map_err(|e| format!("{local} {e}"))?;
    instant(zoned.timestamp().as_microsecond())
}

fn instant(micros: i64) -> Result<Timestamp, String> {
    Timestamp::from_micros(micros).map_err(|e| e.to_string())
}

fn number(text: &str, micros: i64) -> Result<Timestamp, String> {
    use rust_decimal::prelude::ToPrimitive;
    let value: rust_decimal::Decimal =
        text.parse().map_err(|_| format!("{text:?} is not a number since 1970"))?;
    let exact = value.checked_mul(micros.into()).and_then(|v| v.trunc().to_i64());
    instant(exact.ok_or_else(|| format!("{text:?} is out of range"))?)
}

fn by_pattern(text: &str, pattern: &str, zone: &Zone) -> Result<Timestamp, String> {
    let wrong = |e: jiff::Error| format!("{text:?} does not fit {pattern:?}: {e}");
    let parsed = BrokenDownTime::parse(pattern, text).map_err(wrong)?;
    if let Ok(at) = parsed.to_timestamp() {
        return instant(at.as_microsecond());
    }
    let local = match parsed.to_datetime() {
        Ok(local) => local,
        Err(_) => parsed.to_date().map_err(wrong)?.at(0, 0, 0, 0),
    };
    civil(local, zone)
}
