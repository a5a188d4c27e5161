//! The decision: `decide(rules, record, working copy) → outcome`. Pure: no clock, no IO, no
//! randomness. The live path, dry runs, explain, backtest and the tests all call this function;
//! there is no second evaluator.

mod batch;
mod outcome;

pub use batch::{ChangedUser, Changes, Loaded, MarkWrite, Needs, StoredUser, UsageWrite, Working};
pub use outcome::{Considered, EventOutcome, Reason, Status, StoredLine, StoredOutcome};
