//! Documents, the faults they have, and the schemas they match.

mod checker;
mod faults;
mod json_text;
mod properties;
mod schemas;

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::Value;

use super::*;
use crate::id::{ActionCode, TenantId, UserRef};
use crate::payload::Payload;
use crate::time::{Length, Period, Timestamp, Zone};

crate::choice! {
    /// What kind of campaign it is.
    pub enum Kind {
        /// One event, one reward.
        Simple = "SIMPLE",
        /// Several steps.
        Quest = "QUEST",
    }
}

crate::variant! {
    /// What a step wants.
    pub enum Goal {
        /// So many events.
        "count" Count(Whole<1, 1000>),
        /// So much in total.
        "sum" Sum(Decimal),
    }
}

crate::shape! {
    /// A document with nearly everything,
    /// in two lines.
    ///
    /// See [`Goal`].
    pub struct Sample {
        /// Its name.
        "name" name: Text<1, 20>,
        /// Several lines about it.
        "about" about: Option<Lines<1, 40>>,
        /// The zone of its days.
        "timeZone" time_zone: Zone = Zone::utc(),
        "kind" kind: Option<Kind>,
        "startAt" start_at: Timestamp,
        "endAt" end_at: Option<Timestamp>,
        "price" price: Option<Decimal>,
        "cooldown" cooldown: Option<Length>,
        "per" per: Period = Period::Month,
        "from" from: Option<Date>,
        "goals" goals: Many<Goal, 0, 3> = Many::default(),
        "tenantId" tenant_id: Option<TenantId>,
        "userId" user_id: Option<UserRef>,
        "on" on: Vec<ActionCode> = vec![],
        "active" active: bool = true,
        "weight" weight: Option<u64>,
        "labels" labels: BTreeMap<String, Text<1, 10>> = BTreeMap::new(),
        "extra" extra: Option<Value>,
        "payload" payload: Option<Payload<'static>>,
        "a/b~c" odd: Option<Whole<-5, 5>>,
        /// The same again.
        "inner" inner: Option<Box<Sample>>,
    }
    check Sample::ordered;
}

impl Sample {
    fn ordered(&self, at: &mut Reader<'_>) {
        if self.end_at.is_some_and(|end| end <= self.start_at) {
            at.refuse_field("endAt", FaultCode::Conflict, "must be later than startAt");
        }
    }
}

/// A hand-written reader: an amount with what belongs to its kind.
#[derive(Debug, PartialEq)]
enum Amount {
    Fixed(Decimal),
    Percent { of: String, max: Option<Decimal> },
}

impl Described for Amount {
    fn schema(defs: &mut Schemas) -> Value {
        let amount = Decimal::schema(defs);
        schema::one_of([
            schema::ObjectSchema::new("").required("amount", "", amount.clone()).finish(),
            schema::ObjectSchema::new("")
                .required("percent", "", amount.clone())
                .required("of", "What it is a part of.", schema::text(1, 100))
                .optional("max", "", schema::nullable(amount))
                .finish(),
        ])
    }
}

impl Shape for Amount {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let mut object = at.object(value, &["amount", "percent", "of", "max"])?;
        match object.exactly_one_of(&["amount", "percent"])? {
            "amount" => {
                object.forbid(&["of", "max"], "belongs to percent");
                object.required("amount").map(Self::Fixed)
            }
            _ => {
                let percent: Option<Whole<1, 100>> = object.required("percent");
                let of = object.required("of");
                let max = object.optional("max");
                percent?;
                Some(Self::Percent { of: of?, max: max? })
            }
        }
    }
}

/// What is wrong with a JSON text: `pointer CODE detail (hint)` for each fault.
fn faults_of<T: Shape>(text: &str) -> Vec<String> {
    match read_json::<T>(text.as_bytes()) {
        Ok(_) => vec![],
        Err(ReadError::Json(error)) => vec![error.to_string()],
        Err(ReadError::Faults(faults)) => faults.list().iter().map(line).collect(),
    }
}

fn line(fault: &Fault) -> String {
    let Fault { pointer, code, detail, hint } = fault;
    match hint {
        Some(hint) => format!("{pointer} {code} {detail} ({hint})"),
        None => format!("{pointer} {code} {detail}"),
    }
}
