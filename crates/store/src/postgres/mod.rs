//! The PostgreSQL client of the distributed profile: a pool of connections, how long each may wait
//! for what, and what an error calls for.

mod capture;
mod days;
mod error;
mod migrate;
mod partitions;
pub(crate) mod values;

use std::str::FromStr as _;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime, Timeouts};
use tokio_postgres::{Config, NoTls};

pub use self::capture::{Capture, PUBLICATION, Slot, capture};
pub use self::days::incentives_by_day;
pub use self::migrate::{POSTGRES, check_current, migrate};
pub use self::partitions::{Kept, Retention, keep_partitions};
use crate::error::{Result, StoreError};

/// How to reach a database and how much of it to use.
#[derive(Clone, Debug)]
pub struct PgOptions {
    /// `postgresql://user:password@host:port/database`.
    pub url: String,
    /// Most connections of this process.
    pub connections_max: usize,
    /// A transaction whose client falls silent for longer is ended by the server: a process that
    /// hangs must not hold up whoever takes its work over.
    pub idle_in_transaction: Duration,
    /// No statement runs for longer.
    pub statement: Duration,
    /// No statement waits for longer for a lock.
    pub lock: Duration,
}

impl PgOptions {
    /// The usual bounds.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            connections_max: 16,
            idle_in_transaction: Duration::from_secs(2),
            statement: Duration::from_secs(30),
            lock: Duration::from_secs(5),
        }
    }
}

/// How long a caller waits for a connection.
const CONNECTION_WITHIN: Duration = Duration::from_secs(10);
/// How long the server may be silent before a connection counts as gone.
const SILENT_MAX: Duration = Duration::from_secs(10);

/// A PostgreSQL database; clones share its connections.
#[derive(Clone, Debug)]
pub struct PgDb {
    pool: Pool,
}

impl PgDb {
    /// Prepares a pool; connections are made when they are needed. Errors: the URL is none.
    pub fn open(options: &PgOptions) -> Result<Self> {
        let mut config = Config::from_str(&options.url)
            .map_err(|e| StoreError::invalid(format!("the database's URL cannot be used: {e}")))?;
        let millis = |bound: Duration| bound.as_millis();
        // Short statements on many keys look expensive to the planner, which would compile each.
        config
            .application_name("incent")
            .connect_timeout(CONNECTION_WITHIN)
            .keepalives_idle(SILENT_MAX)
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(3)
            .tcp_user_timeout(SILENT_MAX)
            .options(format!(
                "-c idle_in_transaction_session_timeout={} -c statement_timeout={} \
                 -c lock_timeout={} -c timezone=UTC -c jit=off",
                millis(options.idle_in_transaction),
                millis(options.statement),
                millis(options.lock),
            ));
        let manager = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let manager = Manager::from_config(config, NoTls, manager);
        let pool = Pool::builder(manager)
            .max_size(options.connections_max.max(2))
            .runtime(Runtime::Tokio1)
            .timeouts(Timeouts {
                wait: Some(CONNECTION_WITHIN),
                create: Some(CONNECTION_WITHIN),
                recycle: Some(CONNECTION_WITHIN),
            })
            .build()
            .map_err(|e| StoreError::invalid(format!("no pool of connections: {e}")))?;
        Ok(Self { pool })
    }

    /// A connection, given back when it is dropped. Errors: the database cannot be reached, or all
    /// connections are busy for too long.
    pub async fn client(&self) -> Result<Object> {
        Ok(self.pool.get().await?)
    }

    /// Asks whether the database answers. Errors: why not.
    pub async fn ping(&self) -> Result<()> {
        Ok(self.client().await?.batch_execute("select 1").await?)
    }

    /// The server's version as `server_version_num` says it: 150004 is 15.4. Errors: it does not
    /// answer.
    pub async fn version(&self) -> Result<i64> {
        let asked = "select current_setting('server_version_num')::bigint";
        Ok(self.client().await?.query_one(asked, &[]).await?.try_get(0)?)
    }

    /// Closes all connections.
    pub fn close(&self) {
        self.pool.close();
    }
}
