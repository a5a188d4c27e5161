//! Time: instants as microseconds, calendar days and periods in any time zone.
//!
//! A day is the calendar day of a zone, so it has 23, 24 or 25 hours. The zone data is compiled in:
//! the same log gives the same windows on every machine.

use std::fmt;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use serde::{Deserialize, Serialize};

/// Microseconds in a second.
pub const SECOND_US: i64 = 1_000_000;
/// Microseconds in 24 hours; a calendar day may be longer or shorter.
pub const DAY_US: i64 = 86_400 * SECOND_US;

/// An instant: microseconds since 1970-01-01T00:00:00Z. On the wire RFC 3339 in UTC with `Z`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

/// Why a text is not an instant. Completes "the value …".
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TimeError {
    /// Not RFC 3339.
    #[error("is not a time; write it as 2026-11-22T10:00:00Z")]
    Syntax,
    /// Before 1970, or so late that it has no date everywhere on Earth.
    #[error("lies outside 1970-01-01 to 9999-12-30")]
    Range,
    /// No such zone.
    #[error("{0:?} is not an IANA time zone; write it as Europe/Paris")]
    Zone(String),
}

/// 9999-12-30T00:00:00Z, the last instant accepted: it lies in the year 9999 in every zone, so it
/// can be written, and read again, with any of them.
const MAX_US: i64 = 253_402_128_000 * SECOND_US;

impl Timestamp {
    /// The last instant accepted.
    pub const MAX: Self = Self(MAX_US);

    /// From microseconds since 1970. Errors: [`TimeError::Range`] outside 1970-01-01 to 9999-12-30T00:00:00Z.
    pub fn from_micros(us: i64) -> Result<Self, TimeError> {
        if (0..=MAX_US).contains(&us) { Ok(Self(us)) } else { Err(TimeError::Range) }
    }
    /// From a stored value that was checked when it was written; clamped into the range.
    pub fn from_stored(us: i64) -> Self {
        Self(us.clamp(0, MAX_US))
    }
    /// Microseconds since 1970.
    pub fn micros(self) -> i64 {
        self.0
    }
    /// Later (or earlier) by so many microseconds, clamped into the range.
    #[must_use]
    pub fn plus_micros(self, us: i64) -> Self {
        Self(self.0.saturating_add(us).clamp(0, MAX_US))
    }
    fn jiff(self) -> jiff::Timestamp {
        // Invariant: the range of Timestamp lies inside jiff's.
        jiff::Timestamp::from_microsecond(self.0).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.jiff().fmt(f)
    }
}
impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
impl FromStr for Timestamp {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let at: jiff::Timestamp = text.parse().map_err(|_| TimeError::Syntax)?;
        Self::from_micros(at.as_microsecond())
    }
}
impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A time zone with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated universal time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }
    /// The zone of an IANA name. Errors: [`TimeError::Zone`].
    pub fn named(name: &str) -> Result<Self, TimeError> {
        if name == "UTC" {
            return Ok(Self::utc());
        }
        TimeZoneDatabase::bundled()
            .get(name)
            .map(Self)
            .map_err(|_| TimeError::Zone(name.to_owned()))
    }
    /// Its IANA name.
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }
    /// Local date and time of an instant.
    pub fn civil(&self, at: Timestamp) -> jiff::civil::DateTime {
        self.0.to_datetime(at.jiff())
    }
    /// The calendar day of an instant.
    pub fn day(&self, at: Timestamp) -> Day {
        Day::of_date(self.civil(at).date())
    }
    /// The first instant of a day. Where midnight does not exist (a DST gap) it is the instant
    /// after the gap; where it exists twice it is the first.
    pub fn start_of(&self, day: Day) -> Timestamp {
        let zoned = self.0.to_ambiguous_zoned(day.date().at(0, 0, 0, 0)).compatible();
        zoned.map_or(Timestamp(0), |z| Timestamp::from_stored(z.timestamp().as_microsecond()))
    }
}
impl Serialize for Zone {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}
impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let name = std::borrow::Cow::<str>::deserialize(from)?;
        Self::named(&name).map_err(serde::de::Error::custom)
    }
}

/// A calendar day without a zone: days since 1970-01-01.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Day(pub i32);

impl Day {
    /// The day of a date.
    pub fn of_date(date: Date) -> Self {
        Self(epoch_days(date))
    }
    /// Its date.
    pub fn date(self) -> Date {
        EPOCH.checked_add(jiff::Span::new().days(i64::from(self.0))).unwrap_or(EPOCH)
    }
}

const EPOCH: Date = Date::constant(1970, 1, 1);

fn epoch_days(date: Date) -> i32 {
    // Howard Hinnant, "chrono-compatible low-level date algorithms", days_from_civil.
    let (y, m, d) = (i32::from(date.year()), i32::from(date.month()), i32::from(date.day()));
    let y = if m <= 2 { y - 1 } else { y };
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400);
    let doy = (153 * (m + if m > 2 { -3 } else { 9 }) + 2) / 5 + d - 1;
    era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
}

/// A calendar period. Weeks begin on Monday (ISO 8601).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Period {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Period {
    /// The first day of the period that holds the day. It names the period.
    pub fn first_day(self, day: Day) -> Day {
        let date = day.date();
        let first = |month: i8| Date::new(date.year(), month, 1).unwrap_or(date);
        match self {
            Self::Day => day,
            Self::Week => Day(day.0 - i32::from(date.weekday().to_monday_zero_offset())),
            Self::Month => Day::of_date(first(date.month())),
            Self::Quarter => Day::of_date(first((date.month() - 1) / 3 * 3 + 1)),
            Self::Year => Day::of_date(first(1)),
        }
    }
    /// The first day of the period after the one that begins on `first`.
    pub fn next_first_day(self, first: Day) -> Day {
        // The longest period has 366 days; from its 32nd / 93rd / 367th day we fall into the next.
        let inside_next = match self {
            Self::Day => return Day(first.0 + 1),
            Self::Week => return Day(first.0 + 7),
            Self::Month => 31,
            Self::Quarter => 92,
            Self::Year => 366,
        };
        self.first_day(Day(first.0 + inside_next))
    }
}

/// A length of time in whole seconds, ISO 8601 on the wire: `PT3H`, `P7D`. A day is 24 hours.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Length(i64);

impl Length {
    /// Longest accepted: ten years.
    pub const MAX_SECONDS: i64 = 3650 * 86_400;
    /// From whole seconds, 1 to [`Self::MAX_SECONDS`].
    pub fn from_seconds(seconds: i64) -> Option<Self> {
        (1..=Self::MAX_SECONDS).contains(&seconds).then_some(Self(seconds))
    }
    /// Microseconds.
    pub fn micros(self) -> i64 {
        self.0 * SECOND_US
    }
    /// Seconds.
    pub fn seconds(self) -> i64 {
        self.0
    }
}
impl FromStr for Length {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HELP: &str = "is not a duration from PT1S to P3650D; write it as PT3H or P7D";
        // The library also reads "3 hours"; one form is enough.
        let span: jiff::Span =
            text.starts_with('P').then(|| text.parse().ok()).flatten().ok_or(HELP)?;
        if span.get_months() != 0 || span.get_years() != 0 {
            return Err("has months or years, whose length varies; use days or a calendar window");
        }
        let length =
            span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| HELP)?;
        let whole = length.subsec_nanos() == 0;
        Self::from_seconds(length.as_secs()).filter(|_| whole).ok_or(HELP)
    }
}
impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, rest) = (self.0 / 86_400, self.0 % 86_400);
        f.write_str("P")?;
        if days > 0 {
            write!(f, "{days}D")?;
        }
        if rest > 0 {
            f.write_str("T")?;
            for (n, unit) in [(rest / 3600, 'H'), (rest / 60 % 60, 'M'), (rest % 60, 'S')] {
                if n > 0 {
                    write!(f, "{n}{unit}")?;
                }
            }
        }
        Ok(())
    }
}
impl Serialize for Length {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}
impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
