//! The columns of a file: those of the table `incentives` under the same names, but for the use of
//! limits. This list is the only place that knows them; the load statements of `deploy/analytics` are compared with it.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use engine::captured::CapturedIncentive;
use parquet::errors::ParquetError;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::Type;
use rust_decimal::Decimal;

/// Decimal places of an amount as a number. Rewards are rounded to eight at most, so all that the
/// platform grants fit.
pub(crate) const AMOUNT_PLACES: u32 = 9;

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8. Ids too: every reader knows texts, and few agree on UUIDs.
    Text,
    /// 32 bits.
    Int,
    /// 64 bits.
    Long,
    /// An exact decimal of 38 digits, nine of them after the point.
    Amount,
    /// Microseconds in UTC.
    Instant,
    /// A calendar day.
    Day,
}

impl Kind {
    /// Its types in a Parquet schema: of the bytes, and of their meaning.
    fn parquet(self) -> (&'static str, &'static str) {
        match self {
            Self::Text => ("byte_array", "(STRING)"),
            Self::Int => ("int32", ""),
            Self::Long => ("int64", ""),
            Self::Amount => ("fixed_len_byte_array (16)", "(DECIMAL(38,9))"),
            Self::Instant => ("int64", "(TIMESTAMP(MICROS,true))"),
            Self::Day => ("int32", "(DATE)"),
        }
    }
}

/// A column.
#[derive(Debug)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// Whether it may be null.
    pub optional: bool,
    pub(crate) cell: fn(&CapturedIncentive) -> Cell<'_>,
}

/// One value of a row.
pub(crate) enum Cell<'a> {
    Null,
    Text(Cow<'a, str>),
    Int(i32),
    Long(i64),
    /// Scaled by [`AMOUNT_PLACES`].
    Amount(i128),
}

const fn required(
    name: &'static str,
    kind: Kind,
    cell: fn(&CapturedIncentive) -> Cell<'_>,
) -> Column {
    Column { name, kind, optional: false, cell }
}

const fn optional(
    name: &'static str,
    kind: Kind,
    cell: fn(&CapturedIncentive) -> Cell<'_>,
) -> Column {
    Column { name, kind, optional: true, cell }
}

/// All columns, in the order of a file.
pub const COLUMNS: &[Column] = &[
    required("incentive_id", Kind::Text, |r| id(&r.id)),
    required("tenant_id", Kind::Text, |r| id(&r.tenant)),
    required("user_id", Kind::Text, |r| id(&r.user)),
    required("user_ref", Kind::Text, |r| text(r.user_ref.as_str())),
    required("campaign_id", Kind::Text, |r| id(&r.campaign)),
    required("campaign_version", Kind::Long, |r| Cell::Long(r.campaign_version.into())),
    required("event_id", Kind::Text, |r| text(r.event_id.as_str())),
    required("type", Kind::Text, |r| text(r.kind.as_str())),
    required("reward_currency", Kind::Text, |r| text(&r.currency)),
    // Null only where the text is not.
    optional("reward_amount", Kind::Amount, |r| scaled(r.amount).map_or(Cell::Null, Cell::Amount)),
    optional("reward_amount_text", Kind::Text, |r| match scaled(r.amount) {
        Some(_) => Cell::Null,
        None => Cell::Text(r.amount.normalize().to_string().into()),
    }),
    optional("coupon_code", Kind::Text, |r| r.coupon_code.as_deref().map_or(Cell::Null, text)),
    required("issued_at", Kind::Instant, |r| Cell::Long(r.issued_at.micros())),
    required("seq", Kind::Long, |r| Cell::Long(i64::try_from(r.seq).unwrap_or(i64::MAX))),
    required("source_partition", Kind::Int, |r| Cell::Int(r.source_partition)),
    required("batch_seq", Kind::Long, |r| Cell::Long(r.place.batch_seq)),
    required("ordinal", Kind::Int, |r| Cell::Int(r.place.ordinal)),
    required("limit_day", Kind::Day, |r| Cell::Int(r.day.0)),
];

fn id(id: &impl ToString) -> Cell<'static> {
    Cell::Text(id.to_string().into())
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.into())
}

/// An amount in units of its ninth decimal place; `None` when it has more of them.
pub(crate) fn scaled(amount: Decimal) -> Option<i128> {
    let amount = amount.normalize();
    let more = AMOUNT_PLACES.checked_sub(amount.scale())?;
    // 96 bits and nine digits more are below 10^38.
    amount.mantissa().checked_mul(10_i128.pow(more))
}

/// The schema of a file.
pub(crate) fn schema() -> Result<Type, ParquetError> {
    let line = |column: &Column| {
        let (bytes, meaning) = column.kind.parquet();
        let repetition = if column.optional { "optional" } else { "required" };
        format!("{repetition} {bytes} {} {meaning};", column.name)
    };
    let lines: Vec<String> = COLUMNS.iter().map(line).collect();
    parse_message_type(&format!("message incentives {{ {} }}", lines.join(" ")))
}
