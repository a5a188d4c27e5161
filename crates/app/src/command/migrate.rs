//! `incent migrate`: brings a database to this program's schema.

use std::path::PathBuf;

use engine::ports::Clock as _;
use store::{DbOptions, SqliteDb};

use super::serve::runtime;
use crate::clock::SystemClock;
use crate::config::distributed;
use crate::config::document;
use crate::config::server::{DATA_DIR, ServerFile};
use crate::data_dir;
use crate::failure::Outcome;
use crate::output::Output;

/// Flags of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
On the distributed profile it is run once for each new version, before the processes are started; several
at once are safe, and what is done already is not done again. On the embedded profile incent serve
migrates by itself.

Examples:
  INCENT_DATABASE_URL=postgresql://ic@db/ic_db incent migrate
  incent migrate --config incent.yaml
  incent migrate --data-dir /var/lib/incent")]
pub struct Args {
    /// Configuration file (YAML or JSON), as for incent serve
    #[arg(long, env = "INCENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Directory of the data, on the embedded profile [default: incent-data]
    #[arg(long, env = "INCENT_DATA_DIR", value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The database, on the distributed profile.
    #[command(flatten)]
    pub distributed: distributed::Flags,
}

/// Migrates.
pub fn run(args: Args, out: &Output) -> Outcome {
    let file: Option<ServerFile> = args.config.as_deref().map(document::read).transpose()?;
    let flags = args.distributed.over(file.as_ref());
    let steps = match flags.database_url {
        Some(_) => server(&flags)?,
        None => {
            let named = file.as_ref().and_then(|f| f.data_dir.as_ref()).map(ToString::to_string);
            directory(args.data_dir.unwrap_or_else(|| named.unwrap_or(DATA_DIR.to_owned()).into()))?
        }
    };
    for step in &steps {
        out.data(step)?;
    }
    match steps.len() {
        0 => out.say("the schema is up to date"),
        1 => out.say("1 step applied"),
        n => out.say(&format!("{n} steps applied")),
    }
    Ok(())
}

fn directory(dir: PathBuf) -> Outcome<Vec<&'static str>> {
    let told = |error: store::StoreError| data_dir::failure("migrate", &dir, &error);
    data_dir::make(&dir)?;
    runtime()?.block_on(async {
        let db = SqliteDb::open(&dir.join(data_dir::DATABASE), &DbOptions::default());
        let db = db.map_err(told)?;
        let steps = store::migrate::migrate(&db, SystemClock.now()).await.map_err(told);
        db.close().await;
        steps
    })
}

#[cfg(not(feature = "distributed"))]
fn server(_: &distributed::Flags) -> Outcome<Vec<&'static str>> {
    Err(distributed::not_built())
}

#[cfg(feature = "distributed")]
fn server(flags: &distributed::Flags) -> Outcome<Vec<&'static str>> {
    use crate::failure::Failure;
    use crate::platform::wait_for;

    let options = store::PgOptions::new(flags.database()?);
    let db = store::PgDb::open(&options)
        .map_err(|e| Failure::usage("the database cannot be used").why(e.to_string()))?;
    runtime()?.block_on(wait_for("PostgreSQL", async || {
        Ok(store::postgres::migrate(&db, SystemClock.now()).await?)
    }))
}
