//! What is granted and how much of it.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;
use serde_json::Value;

use super::ExprText;
use crate::id::CohortId;
use crate::incentive::RewardType;
use crate::shape::{
    Described, FaultCode, Many, Reader, Schemas, Shape, Text, Whole, read_word, schema,
};

crate::shape! {
    /// One reward.
    pub struct Reward {
        /// CASHBACK, POINTS or COUPON.
        "type" kind: RewardType,
        /// ISO 4217 code of a CASHBACK; POINTS unless said otherwise.
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
    if reward.kind == RewardType::Cashback && reward.currency.is_none() {
        at.field("currency", |at| {
            at.refuse_with::<()>(
                FaultCode::Required,
                "is missing: a CASHBACK is money",
                "write it as EUR or USD",
            )
        });
    }
    for (name, value) in [("min", reward.min), ("max", reward.max)] {
        if value.is_some_and(|v| v <= Decimal::ZERO) {
            at.field(name, |at| at.refuse::<()>(FaultCode::OutOfRange, "must be above zero"));
        }
    }
    if let (Some(min), Some(max)) = (reward.min, reward.max)
        && min > max
    {
        at.field("min", |at| at.refuse::<()>(FaultCode::Conflict, "is above max"));
    }
    if let Amount::Constant(amount) = reward.amount
        && amount <= Decimal::ZERO
    {
        at.field("amount", |at| at.refuse::<()>(FaultCode::OutOfRange, "must be above zero"));
    }
}

impl Reward {
    /// The currency granted.
    pub fn currency(&self) -> &str {
        self.currency.as_ref().map_or("POINTS", |c| c.as_str())
    }
    /// Rounds and bounds an amount that was worked out.
    pub fn shape_amount(&self, raw: Decimal) -> Decimal {
        let places = if self.kind == RewardType::Cashback { 2 } else { 4 };
        let (places, mode) = match &self.round {
            Some(round) => (round.places.as_u32(), round.mode),
            None => (places, RoundingMode::HalfUp),
        };
        let mut amount = raw;
        if let Some(min) = self.min {
            amount = amount.max(min);
        }
        if let Some(max) = self.max {
            amount = amount.min(max);
        }
        amount.round_dp_with_strategy(places, mode.strategy()).normalize()
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
