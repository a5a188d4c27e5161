//! What an error of PostgreSQL calls for.

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::error::StoreError;

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        let Some(db) = error.as_db_error() else {
            return unreachable(&error);
        };
        let (code, detail) = (db.code(), format!("{} ({})", db.message(), db.code().code()));
        if *code == SqlState::UNIQUE_VIOLATION {
            return Self::Conflict { what: format!("a row with the same key ({detail})") };
        }
        if *code == SqlState::DISK_FULL {
            return Self::Full { detail };
        }
        // The row was on its way into the default partition while its own was being made. A check
        // of the schema has a name; that of a partition has none.
        if *code == SqlState::CHECK_VIOLATION && db.constraint().is_none() {
            return Self::Raced { detail };
        }
        match &code.code()[..2] {
            // Integrity constraints.
            "23" => Self::invalid(format!("the change breaks a rule of the schema: {detail}")),
            // Serialisation and deadlock.
            "40" => Self::Raced { detail },
            // Locks; resources; the operator; connection; transactions ended for their silence.
            "55" | "53" | "57" | "08" | "25" => Self::Unavailable { detail },
            // Damaged files.
            "XX" => Self::Damaged { detail },
            _ => Self::Sql { detail },
        }
    }
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Closed => Self::Closed,
            PoolError::Timeout(_) => {
                Self::Unavailable { detail: "no connection came free in time".to_owned() }
            }
            other => Self::Unavailable { detail: other.to_string() },
        }
    }
}

fn unreachable(error: &tokio_postgres::Error) -> StoreError {
    let mut detail = error.to_string();
    if let Some(cause) = std::error::Error::source(error) {
        detail = format!("{detail}: {cause}");
    }
    StoreError::Unavailable { detail }
}
