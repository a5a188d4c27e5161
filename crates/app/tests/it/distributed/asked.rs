//! PostgreSQL as a test asks it, past all ways that fail.

use std::time::Duration;

use store::{PgDb, PgOptions};
use tokio::runtime::Runtime;

/// How often PostgreSQL is asked while it comes back.
const TRIES: u32 = 100;

/// A database.
pub struct Asked {
    runtime: Runtime,
    pub pool: PgDb,
}

impl Asked {
    /// The database at this URL.
    pub fn new(url: &str) -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let options = PgOptions { statement: Duration::from_secs(300), ..PgOptions::new(url) };
        Self { runtime, pool: PgDb::open(&options).expect("a URL") }
    }

    /// Waits for a future.
    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// The rows of a query, each as one text. Asked again while PostgreSQL comes back.
    #[track_caller]
    pub fn rows(&self, sql: &str) -> Vec<String> {
        self.wait(async {
            let mut tries = 0;
            loop {
                let asked = async {
                    let client = self.pool.client().await.map_err(|e| format!("{e:?}"))?;
                    client.query(sql, &[]).await.map_err(|e| format!("{e:?}"))
                };
                match asked.await {
                    Ok(rows) => {
                        let text = rows.iter().map(|row| row.get::<_, Option<String>>(0));
                        return text.map(Option::unwrap_or_default).collect();
                    }
                    Err(why) => {
                        tries += 1;
                        assert!(tries < TRIES, "{sql}: {why}");
                        std::thread::park_timeout(Duration::from_millis(50));
                    }
                }
            }
        })
    }

    /// The one value of a query, a number.
    #[track_caller]
    pub fn number(&self, sql: &str) -> i64 {
        self.rows(&format!("select ({sql})::text"))[0].parse().expect("a number")
    }
}
