//! What is granted and how much of it.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;
use serde_json::Value;

use super::ExprText;
use crate::id::CohortId;
use crate::incentive::RewardType;
use crate::shape::{
    Described, FaultCode, Many, Reader, Schemas, Shape, Text, Whole, read_word, schema, shown,
};

/// Largest amount of one reward. What works out at more is a `RULE_ERROR`, so that no sum of
/// amounts can overflow.
pub const AMOUNT_MAX: i64 = 1_000_000_000_000_000;

crate::shape! {
    /// One reward.
    pub struct Reward {
        /// CASHBACK, POINTS or COUPON.
        "type" kind: RewardType,
        /// What the amount is in: the ISO 4217 code of a CASHBACK, which must be given; otherwise
        /// any unit, by default POINTS for POINTS and COUPON (so many coupons) for a COUPON.
        "currency" currency: Option<Text<1, 12>>,
        /// How much: a number, or a rule that works it out from the event.
        "amount" amount: Amount,
        /// Least that is granted.
        "min" min: Option<Decimal>,
        /// Most that is granted.
        "max" max: Option<Decimal>,
        /// Rounding; by default money to 2 places and points to 4, half up.
        "round" round: Option<Rounding>,
        /// The code of a COUPON.
        "code" code: Option<CouponCode>,
    } check check_reward;
}

fn check_reward(reward: &Reward, at: &mut Reader<'_>) {
    let coupon = reward.kind == RewardType::Coupon;
    if coupon != reward.code.is_some() {
        at.field("code", |at| {
            let (code, detail) = if coupon {
                (FaultCode::Required, "is missing: a COUPON has a code")
            } else {
                (FaultCode::Conflict, "only a COUPON has a code")
            };
            at.refuse_with::<()>(
                code,
                detail,
                r#"write it as {"generated": {"prefix": "SPRING-", "length": 8}}"#,
            )
        });
    }
    if reward.kind == RewardType::Cashback {
        check_money(reward.currency.as_deref(), at);
    }
    let constant = match reward.amount {
        Amount::Constant(amount) => Some(amount),
        Amount::Rule(_) => None,
    };
    for (name, value) in [("amount", constant), ("min", reward.min), ("max", reward.max)] {
        if let Some(value) = value {
            at.field(name, |at| check_value(reward, value, at));
        }
    }
    if let (Some(min), Some(max)) = (reward.min, reward.max)
        && min > max
    {
        at.refuse_field("min", FaultCode::Conflict, "is above max");
    }
}

fn check_money(currency: Option<&str>, at: &mut Reader<'_>) {
    const HINT: &str = "write it as EUR or USD";
    at.field("currency", |at| match currency {
        None => at.refuse_with(FaultCode::Required, "is missing: a CASHBACK is money", HINT),
        Some(code) if code.len() == 3 && code.bytes().all(|b| b.is_ascii_uppercase()) => Some(()),
        Some(code) => {
            let detail = format!("{} is not an ISO 4217 code", shown(code));
            at.refuse_with(FaultCode::Syntax, detail, HINT)
        }
    });
}

/// A value that an amount may be made to be, so one that its rounding would keep.
fn check_value(reward: &Reward, value: Decimal, at: &mut Reader<'_>) {
    let places = reward.rounding().0;
    let scale = value.normalize().scale();
    if value <= Decimal::ZERO {
        at.refuse::<()>(FaultCode::OutOfRange, "must be above zero");
    } else if value > Decimal::from(AMOUNT_MAX) {
        at.refuse::<()>(FaultCode::OutOfRange, format!("must be at most {AMOUNT_MAX}"));
    } else if scale > places {
        let detail = format!("has {scale} decimal places, but the amount is rounded to {places}");
        at.refuse_with::<()>(FaultCode::Conflict, detail, "write fewer, or say more in round");
    }
}

impl Reward {
    /// The currency granted.
    pub fn currency(&self) -> &str {
        self.currency.as_ref().map_or(self.kind.as_str(), |c| c.as_str())
    }
    fn rounding(&self) -> (u32, RoundingMode) {
        match (&self.round, self.kind) {
            (Some(round), _) => (round.places.as_u32(), round.mode),
            (None, RewardType::Cashback) => (2, RoundingMode::HalfUp),
            (None, _) => (4, RoundingMode::HalfUp),
        }
    }
    /// Rounds and bounds an amount that was worked out. The bounds come last, so that rounding
    /// never passes them.
    pub fn shape_amount(&self, raw: Decimal) -> Decimal {
        let (places, mode) = self.rounding();
        let rounded = raw.round_dp_with_strategy(places, mode.strategy());
        let lifted = self.min.map_or(rounded, |min| rounded.max(min));
        self.max.map_or(lifted, |max| lifted.min(max)).normalize()
    }
    /// As much of what is left of a budget as has the decimal places of this reward.
    pub fn cut(&self, left: Decimal) -> Decimal {
        left.round_dp_with_strategy(self.rounding().0, RoundingStrategy::ToZero).normalize()
    }
}

impl Described for RewardType {
    fn schema(_: &mut Schemas) -> Value {
        schema::words(&["CASHBACK", "POINTS", "COUPON"])
    }
}
impl std::str::FromStr for RewardType {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::from_name(text).ok_or(())
    }
}
impl Shape for RewardType {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        read_word(value, at, &["CASHBACK", "POINTS", "COUPON"])
    }
}

/// How much is granted.
#[derive(Clone, Debug, PartialEq)]
pub enum Amount {
    /// Always the same.
    Constant(Decimal),
    /// Worked out from the event.
    Rule(AmountRule),
}

impl Serialize for Amount {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Constant(amount) => Serialize::serialize(amount, to),
            Self::Rule(rule) => rule.serialize(to),
        }
    }
}
impl Described for Amount {
    fn schema(defs: &mut Schemas) -> Value {
        schema::one_of([Decimal::schema(defs), AmountRule::schema(defs)])
    }
}
impl Shape for Amount {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        if value.is_object() {
            at.read(value).map(Self::Rule)
        } else {
            at.read(value).map(Self::Constant)
        }
    }
}

crate::variant! {
    /// An amount worked out from the event.
    pub enum AmountRule {
        /// A share of a value.
        "percent" Percent(Percent),
        /// So much for each full step of a value.
        "perStep" PerStep(PerStep),
        /// Any expression that gives a number.
        "formula" Formula(ExprText),
    }
}

crate::shape! {
    /// `rate` percent of a value.
    pub struct Percent {
        /// Percent: `2.5` is 2.5 %.
        "rate" rate: Decimal,
        /// The value, an expression.
        "of" of: ExprText,
    } check check_percent;
}

fn check_percent(percent: &Percent, at: &mut Reader<'_>) {
    if percent.rate <= Decimal::ZERO || percent.rate > Decimal::from(10_000) {
        at.field("rate", |at| {
            at.refuse::<()>(FaultCode::OutOfRange, "must be above 0 and at most 10000")
        });
    }
}

crate::shape! {
    /// `give` for each full `each` of a value: 2 points for each full 10.
    pub struct PerStep {
        /// What one step gives.
        "give" give: Decimal,
        /// The size of a step.
        "each" each: Decimal,
        /// The value, an expression.
        "of" of: ExprText,
    } check check_per_step;
}

fn check_per_step(step: &PerStep, at: &mut Reader<'_>) {
    for (name, value) in [("give", step.give), ("each", step.each)] {
        if value <= Decimal::ZERO {
            at.field(name, |at| at.refuse::<()>(FaultCode::OutOfRange, "must be above zero"));
        }
    }
}

crate::choice! {
    /// How to round.
    pub enum RoundingMode {
        /// To the nearest, halves away from zero.
        HalfUp = "HALF_UP",
        /// To the nearest, halves to the even neighbour.
        HalfEven = "HALF_EVEN",
        /// Towards zero.
        Down = "DOWN",
        /// Away from zero.
        Up = "UP",
    }
}

impl RoundingMode {
    fn strategy(self) -> RoundingStrategy {
        match self {
            Self::HalfUp => RoundingStrategy::MidpointAwayFromZero,
            Self::HalfEven => RoundingStrategy::MidpointNearestEven,
            Self::Down => RoundingStrategy::ToZero,
            Self::Up => RoundingStrategy::AwayFromZero,
        }
    }
}

crate::shape! {
    /// Rounding of an amount.
    pub struct Rounding {
        /// Decimal places.
        "places" places: Whole<0, 8>,
        /// The way.
        "mode" mode: RoundingMode = RoundingMode::HalfUp,
    }
}

crate::variant! {
    /// Where the code of a COUPON comes from.
    pub enum CouponCode {
        /// Made for the incentive, unique with its id.
        "generated" Generated(GeneratedCode),
    }
}

crate::shape! {
    /// A code made for the incentive.
    pub struct GeneratedCode {
        /// In front of it.
        "prefix" prefix: Option<Text<1, 24>>,
        /// Characters after the prefix, from an alphabet without look-alikes.
        "length" length: Whole<8, 20> = Whole::LEAST,
    }
}

crate::shape! {
    /// A line of a ladder.
    pub struct LadderLine {
        /// Its condition; a line without one always matches.
        "when" when: Option<ExprText>,
        /// The user must be in this cohort.
        "cohort" cohort: Option<CohortId>,
        /// What it grants.
        "rewards" rewards: Many<Reward, 1, 5>,
    }
}
