//! What became of an event, with a reason for each campaign considered, and its stored form.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::id::CampaignId;

macro_rules! names {
    ($(#[$doc:meta])* $enum:ident { $($(#[$variant_doc:meta])* $variant:ident = $name:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $enum { $($(#[$variant_doc])* #[serde(rename = $name)] $variant,)+ }

        impl $enum {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// Its name on every wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
            /// From its name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|r| r.as_str() == name)
            }
        }

        impl $crate::shape::Described for $enum {
            fn schema(defs: &mut $crate::shape::Schemas) -> serde_json::Value {
                defs.define::<Self>(concat!("Decision", stringify!($enum)), |_| {
                    $crate::shape::schema::words(&[$($name,)+])
                })
            }
        }
    };
}

names! {
    /// What became of an event as a whole.
    Status {
        /// Campaigns were considered.
        Decided = "DECIDED",
        /// Stored as history; grants nothing.
        History = "HISTORY",
        /// A user's attributes were set.
        UserUpdated = "USER_UPDATED",
        /// Older than the tenant's allowed lateness.
        TooLate = "TOO_LATE",
        /// The same event was decided before.
        Duplicate = "DUPLICATE",
        /// The event or its payload cannot be read; kept as a dead letter.
        Unreadable = "UNREADABLE",
        /// Its id stands for other content; kept as a dead letter.
        IdReused = "ID_REUSED",
        /// The tenant did not take events of this kind; kept as a dead letter.
        WrongMode = "WRONG_MODE",
        /// There is no such tenant; kept as a dead letter.
        NoTenant = "NO_TENANT",
    }
}

impl Status {
    /// True when the event is kept as one that happened. What was not admitted to the log is not:
    /// it was there before, or only its bytes are kept.
    pub fn has_row(self) -> bool {
        !matches!(self, Self::Duplicate | Self::IdReused | Self::WrongMode | Self::NoTenant)
    }
}

names! {
    /// Why a campaign granted or did not. One public list: API, CLI, console and metrics.
    Reason {
        /// Rewards were granted.
        Granted = "GRANTED",
        /// The event counted for a quest that is not complete yet.
        Progress = "PROGRESS",
        /// The quest was completed, but a limit or budget refused its rewards.
        CompletedUnpaid = "COMPLETED_UNPAID",
        /// The event lies before the campaign's start or after its end.
        NotActive = "NOT_ACTIVE",
        /// Outside the campaign's weekdays, hours or season.
        OutsideSchedule = "OUTSIDE_SCHEDULE",
        /// The user is not in the campaign's cohort.
        CohortMiss = "COHORT_MISS",
        /// The condition is false.
        RuleFalse = "RULE_FALSE",
        /// The condition or formula asks for a field that the event does not have.
        FieldMissing = "FIELD_MISSING",
        /// A field has another type than the condition or formula needs.
        TypeMismatch = "TYPE_MISMATCH",
        /// The condition or formula divides by zero or overflows.
        RuleError = "RULE_ERROR",
        /// No line of the ladder matches.
        NoLadderLine = "NO_LADDER_LINE",
        /// The reward works out at zero or less.
        AmountZero = "AMOUNT_ZERO",
        /// Granted (completed) as often as the repetition allows.
        RepeatLimit = "REPEAT_LIMIT",
        /// Too soon after the last grant or completion.
        Cooldown = "COOLDOWN",
        /// This value of the field has been rewarded before.
        OncePerValue = "ONCE_PER_VALUE",
        /// Not the user's first event of this action.
        NotFirst = "NOT_FIRST",
        /// The tenant's daily limit.
        LimitTenantDay = "LIMIT_TENANT_DAY",
        /// The tenant's total limit.
        LimitTenantTotal = "LIMIT_TENANT_TOTAL",
        /// The user's daily limit.
        LimitUserDay = "LIMIT_USER_DAY",
        /// The user's total limit.
        LimitUserTotal = "LIMIT_USER_TOTAL",
        /// A budget of the campaign.
        BudgetExhausted = "BUDGET_EXHAUSTED",
        /// No open step of the quest counts this event, or only a later one in the sequence.
        StepNotOpen = "STEP_NOT_OPEN",
        /// Outside the quest's window.
        OutsideWindow = "OUTSIDE_WINDOW",
        /// The user's stored progress is full.
        UserStateFull = "USER_STATE_FULL",
    }
}

/// One campaign considered for an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Considered {
    /// Which campaign.
    pub campaign: CampaignId,
    /// The tenant's dense number of it.
    pub number: u32,
    /// Under which version.
    pub version: u32,
    /// What came of it.
    pub reason: Reason,
    /// The numbers compared: use and cap (limits, budgets), value and target (quests).
    pub numbers: Option<(Decimal, Decimal)>,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct EventOutcome {
    /// As a whole.
    pub status: Status,
    /// How many incentives it granted.
    pub grants: u32,
    /// Each campaign considered, in the order in which they competed.
    pub considered: Vec<Considered>,
}

impl EventOutcome {
    /// An outcome without campaigns.
    pub fn plain(status: Status) -> Self {
        Self { status, grants: 0, considered: Vec::new() }
    }

    /// The stored form, a JSON object:
    /// `{"s":"DECIDED","g":1,"c":[[3,1,"GRANTED"],[5,2,"LIMIT_USER_DAY","10","10"]]}`, where a line
    /// is campaign number, version, reason and the numbers compared.
    pub fn to_stored(&self) -> String {
        let mut out = String::with_capacity(40 + self.considered.len() * 24);
        // Writing to a String cannot fail.
        let _ = write!(out, r#"{{"s":"{}","g":{},"c":["#, self.status.as_str(), self.grants);
        for (i, c) in self.considered.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            let _ = write!(out, r#"{comma}[{},{},"{}""#, c.number, c.version, c.reason.as_str());
            if let Some((used, cap)) = c.numbers {
                let _ = write!(out, r#","{used}","{cap}""#);
            }
            out.push(']');
        }
        out.push_str("]}");
        out
    }
}

/// A line of a stored outcome: campaign number, version, reason, numbers compared.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredLine {
    /// The tenant's number of the campaign.
    pub number: u32,
    /// Under which version.
    pub version: u32,
    /// What came of it.
    pub reason: Reason,
    /// The numbers compared.
    pub numbers: Option<(Decimal, Decimal)>,
}

/// A stored outcome, read back.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredOutcome {
    /// As a whole.
    pub status: Status,
    /// How many incentives.
    pub grants: u32,
    /// The campaigns considered.
    pub lines: Vec<StoredLine>,
}

#[derive(Deserialize)]
struct Wire {
    s: Status,
    g: u32,
    c: Vec<serde_json::Value>,
}

impl StoredOutcome {
    /// Reads the stored form; `None` when it is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let wire: Wire = serde_json::from_str(text).ok()?;
        let line = |value: &serde_json::Value| {
            let cells = value.as_array()?;
            let whole = |i: usize| u32::try_from(cells.get(i)?.as_u64()?).ok();
            let decimal = |i: usize| cells.get(i)?.as_str()?.parse::<Decimal>().ok();
            Some(StoredLine {
                number: whole(0)?,
                version: whole(1)?,
                reason: Reason::from_name(cells.get(2)?.as_str()?)?,
                numbers: decimal(3).zip(decimal(4)),
            })
        };
        let lines = wire.c.iter().map(line).collect::<Option<Vec<_>>>()?;
        Some(Self { status: wire.s, grants: wire.g, lines })
    }
}
