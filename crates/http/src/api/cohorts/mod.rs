//! Cohorts: named sets of users.

pub mod create;
pub mod list;
pub mod members;
pub mod read;
pub mod recompute;
pub mod update;

use domain::cohort::{Criteria, CriteriaProgram};
use domain::id::{CohortId, TenantId, UserRef};
use domain::shape::{Described, FaultCode, Faults, Many, Reader, Schemas, Shape};
use domain::time::Timestamp;
use serde::Serialize;
use serde_json::Value;
use store::control::cohorts::{self, CohortRow, CohortStatus, CohortType, Refresh};

use crate::call::Call;
use crate::problem::Problem;

/// Most users listed in one request.
pub const USERS_MAX: usize = 100_000;
/// Largest body that lists users, bytes.
pub const BODY_BYTES_MAX: usize = 16 << 20;

/// Users by the tenant's own ids.
pub type UserIds = Many<UserRef, 0, USERS_MAX>;

domain::shape! {
    /// Which cohort.
    pub struct OneCohort {
        /// Its id.
        "cohortId" cohort_id: CohortId,
    }
}

/// Criteria as they came or as they are stored.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct CriteriaDocument(pub Value);

impl Described for CriteriaDocument {
    fn schema(defs: &mut Schemas) -> Value {
        Criteria::schema(defs)
    }
}
impl Shape for CriteriaDocument {
    fn read(value: &Value, at: &mut Reader<'_>) -> Option<Self> {
        // Read here only for what is wrong with them; they are stored as they came.
        let criteria = Criteria::read(value, at)?;
        match CriteriaProgram::compile(&criteria) {
            Ok(_) => Some(Self(value.clone())),
            Err(faults) => {
                at.refuse_all(faults);
                None
            }
        }
    }
}

domain::view! {
    /// A cohort.
    pub struct Cohort {
        /// Its id.
        "cohortId" cohort_id: CohortId,
        /// Whose.
        "tenantId" tenant_id: TenantId,
        /// The operator's own name for it in files.
        "key" key: Option<String>,
        /// Its name.
        "name" name: String,
        /// STATIC or DYNAMIC.
        "type" kind: CohortType,
        /// The criteria of a DYNAMIC one.
        "criteria" criteria: Option<CriteriaDocument>,
        /// How often it is recomputed as the tenant's log passes.
        "refresh" refresh: Refresh,
        /// Where its membership stands.
        "status" status: CohortStatus,
        /// Members in force.
        "size" size: i64,
        /// Membership is as of this moment of the tenant's log; `null` when it was never computed.
        "computedAt" computed_at: Option<Timestamp>,
        /// Why the last recompute failed.
        "lastError" last_error: Option<String>,
        /// Rises with each new membership.
        "membershipVersion" membership_version: i64,
        /// Rises with each change of name, criteria or refresh, from 1.
        "version" version: u32,
        /// When it was made.
        "createdAt" created_at: Timestamp,
        /// When its definition was last changed.
        "updatedAt" updated_at: Timestamp,
    }
}

impl From<CohortRow> for Cohort {
    fn from(row: CohortRow) -> Self {
        let criteria = row.criteria_json.as_deref();
        Self {
            cohort_id: row.cohort_id,
            tenant_id: row.tenant_id,
            key: row.key,
            name: row.name,
            kind: row.kind,
            criteria: criteria
                .and_then(|text| serde_json::from_str(text).ok())
                .map(CriteriaDocument),
            refresh: row.refresh,
            status: row.status,
            size: row.size,
            // Computed before the tenant had any event: as of the beginning of time.
            computed_at: row.computed_at.filter(|at| *at != Timestamp::default()),
            last_error: row.last_error,
            membership_version: row.membership_version,
            version: row.version,
            created_at: row.created_at,
            updated_at: row.updated_at,
        }
    }
}

/// Members or criteria, whichever the type asks for.
enum Definition {
    /// Of a STATIC cohort; `None` = they stay as they are.
    Members(Option<Vec<UserRef>>),
    /// Of a DYNAMIC one.
    Criteria(cohorts::Criteria),
}

impl Definition {
    /// Refuses what does not belong to the type. Errors: every fault.
    fn of(
        kind: CohortType,
        user_ids: Option<UserIds>,
        criteria: Option<CriteriaDocument>,
        refresh: Option<Refresh>,
    ) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let mut at = Reader::new(&mut faults);
        let mut forbid = |name: &str, given: bool| {
            if given {
                let detail = format!("does not belong to a {kind} cohort");
                at.field(name, |at| at.refuse::<()>(FaultCode::NotAllowed, detail));
            }
        };
        match kind {
            CohortType::Static => {
                forbid("criteria", criteria.is_some());
                forbid("refresh", refresh.is_some_and(|refresh| refresh != Refresh::None));
                faults.or_ok(Self::Members(user_ids.map(Many::into_vec)))
            }
            CohortType::Dynamic => {
                forbid("userIds", user_ids.is_some());
                if criteria.is_none() {
                    at.field("criteria", |at| at.refuse::<()>(FaultCode::Required, "is required"));
                }
                let json = criteria.map(|criteria| criteria.0.to_string()).unwrap_or_default();
                let refresh = refresh.unwrap_or(Refresh::None);
                faults.or_ok(Self::Criteria(cohorts::Criteria { json, refresh }))
            }
        }
    }
}

impl Call {
    /// The tenant whose cohort it is. Errors: 404 when the caller cannot see it.
    async fn tenant_of_cohort(&self, id: CohortId) -> Result<TenantId, Problem> {
        match self.caller.tenant() {
            Some(own) => Ok(own),
            None => {
                let owner = self.read(move |sql| cohorts::tenant_of(sql, id)).await?;
                owner.ok_or_else(|| Problem::not_found("cohort"))
            }
        }
    }
}
