//! Identifiers.

use serde_json::{Value, json};
use uuid::Uuid;

use super::suggest::shown;
use super::{Described, FaultCode, Reader, Schemas, Shape, schema};
use crate::id::{
    ACTION_BYTES_MAX, ActionCode, CampaignId, CohortId, EventId, IdError, IncentiveId, JobId,
    KeyId, LimitId, REF_BYTES_MAX, TenantId, UserId, UserRef,
};

impl Described for Uuid {
    fn schema(_: &mut Schemas) -> Value {
        schema::formatted("uuid", "0199f3a8-5b1e-7c3d-9a42-6f1b2c3d4e5f")
    }
}
impl Shape for Uuid {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        let text = at.text(value)?;
        // The library also takes braces, "urn:uuid:" and no hyphens; one form is enough.
        match Self::parse_str(text) {
            Ok(id) if text.len() == 36 => Some(id),
            _ => at.refuse_with(
                FaultCode::Syntax,
                format!("{} is not a UUID", shown(text)),
                "write it as 0199f3a8-5b1e-7c3d-9a42-6f1b2c3d4e5f",
            ),
        }
    }
}

macro_rules! uuid_shapes {
    ($($id:ident),+) => {$(
        impl Described for $id {
            fn schema(defs: &mut Schemas) -> Value {
                Uuid::schema(defs)
            }
        }
        impl Shape for $id {
            fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
                Uuid::read(value, at).map(Self)
            }
        }
    )+};
}
uuid_shapes!(TenantId, UserId, CampaignId, CohortId, LimitId, IncentiveId, KeyId, JobId);

macro_rules! text_id_shapes {
    ($($id:ident: $schema:expr;)+) => {$(
        impl Described for $id {
            fn schema(_: &mut Schemas) -> Value {
                $schema
            }
        }
        impl Shape for $id {
            fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
                let text = at.text(value)?;
                Self::new(text).or_else(|why| refuse(&why, at).ok_or(())).ok()
            }
        }
    )+};
}
text_id_shapes! {
    UserRef: schema::text(1, REF_BYTES_MAX);
    EventId: schema::text(1, REF_BYTES_MAX);
    ActionCode: json!({
        "type": "string",
        "minLength": 1,
        "maxLength": ACTION_BYTES_MAX,
        "pattern": r"^[A-Za-z0-9._:$-]+$",
        "examples": ["order.paid"],
    });
}

fn refuse<T>(why: &IdError, at: &mut Reader<'_>) -> Option<T> {
    let code = match why {
        IdError::Empty => FaultCode::TooShort,
        IdError::TooLong { .. } => FaultCode::TooLong,
        IdError::Control(_) | IdError::Charset(_) => FaultCode::Syntax,
    };
    let text = why.to_string();
    match text.split_once("; ") {
        Some((detail, hint)) => at.refuse_with(code, detail, hint),
        None => at.refuse(code, text),
    }
}
