//! Documents and the faults they have.

use rust_decimal::Decimal;

use super::*;
use crate::time::{Length, Timestamp, Zone};

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
    /// A document with one of everything.
    pub struct Sample {
        /// Its name.
        "name" name: Text<1, 20>,
        /// The zone of its days.
        "timeZone" time_zone: Zone = Zone::utc(),
        "kind" kind: Kind = Kind::Simple,
        "startAt" start_at: Timestamp,
        "endAt" end_at: Option<Timestamp>,
        "price" price: Option<Decimal>,
        "cooldown" cooldown: Option<Length>,
        "goals" goals: Many<Goal, 0, 3> = Many::default(),
        "inner" inner: Option<Box<Sample>>,
    }
    check Sample::ordered;
}

impl Sample {
    fn ordered(&self, at: &mut Reader<'_>) {
        if self.end_at.is_some_and(|end| end <= self.start_at) {
            at.field("endAt", |at| {
                at.refuse::<()>(FaultCode::Conflict, "must be later than startAt")
            });
        }
    }
}

#[test]
fn all_faults_are_reported_in_one_go() {
    let text = r#"{"name": 3, "timezone": "UTC", "kind": "quest", "startAt": "soon",
        "goals": [{"count": 0}, {"count": 1, "sum": 2}, {}, {"cuont": 3}], "name": ""}"#;
    let Err(ReadError::Faults(faults)) = read_json::<Sample>(text.as_bytes()) else {
        panic!("must be refused");
    };
    let expected = [
        ("/name", FaultCode::Duplicate),
        ("/timezone", FaultCode::UnknownField),
        ("/name", FaultCode::TooShort),
        ("/kind", FaultCode::NotInSet),
        ("/startAt", FaultCode::Syntax),
        ("/goals", FaultCode::TooLong),
    ];
    let found: Vec<_> = faults.list().iter().map(|f| (f.pointer.as_str(), f.code)).collect();
    assert_eq!(found, expected, "{faults}");
}
