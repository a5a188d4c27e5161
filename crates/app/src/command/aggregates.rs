//! `incent aggregates`: the aggregates in Redis, made anew from the ledger.

use std::path::PathBuf;

use domain::id::TenantId;

use crate::config::distributed;
use crate::failure::Outcome;
use crate::output::Output;

/// Flags of `aggregates`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  incent aggregates rebuild --config incent.yaml
  incent aggregates rebuild --tenant 0199a1b2-0000-7000-8000-000000000001")]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub action: Action,
}

/// What can be done with aggregates.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Make the aggregates in Redis anew from the ledger
    Rebuild(Rebuild),
}

/// Flags of `aggregates rebuild`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The aggregates in use stay so until the new ones are complete; processes go on counting meanwhile.
Aggregators do the same by themselves when they find aggregates missing or wrong.

Examples:
  incent aggregates rebuild --config incent.yaml
  incent aggregates rebuild --tenant 0199a1b2-0000-7000-8000-000000000001")]
pub struct Rebuild {
    /// Configuration file (YAML or JSON), as for incent serve
    #[arg(long, env = "INCENT_CONFIG", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Of this tenant only
    #[arg(long, value_name = "ID")]
    pub tenant: Option<TenantId>,
    /// Where PostgreSQL and Redis are.
    #[command(flatten)]
    pub distributed: distributed::Flags,
}

/// Does it.
pub fn run(args: Args, out: &Output) -> Outcome {
    let Action::Rebuild(rebuild) = args.action;
    rebuilt(rebuild, out)
}

#[cfg(not(feature = "distributed"))]
fn rebuilt(_: Rebuild, _: &Output) -> Outcome {
    Err(distributed::not_built())
}

#[cfg(feature = "distributed")]
fn rebuilt(rebuild: Rebuild, out: &Output) -> Outcome {
    use aggregates_redis::Keeper;
    use store::{PgDb, PgOptions};

    use super::serve::runtime;
    use crate::config::document;
    use crate::config::server::ServerFile;
    use crate::failure::Failure;
    use crate::platform::{keeper, wait_for};

    let Rebuild { config, tenant, distributed } = rebuild;
    let file: Option<ServerFile> = config.as_deref().map(document::read).transpose()?;
    let flags = distributed.over(file.as_ref());
    let db = PgDb::open(&PgOptions::new(flags.database()?))
        .map_err(|e| Failure::usage("the database cannot be used").why(e.to_string()))?;
    let Some(url) = &flags.redis_url else {
        return Err(Failure::usage("aggregates are kept in Redis, and none is named")
            .mend("set INCENT_REDIS_URL to redis://host:6379"));
    };
    runtime()?.block_on(async {
        let keeper: Keeper = keeper(url, &db)?;
        let mut after = None;
        loop {
            let tenants = match tenant {
                Some(tenant) => vec![tenant],
                None => wait_for("PostgreSQL", async || keeper.tenants(after).await).await?,
            };
            let Some(last) = tenants.last() else { return Ok(()) };
            after = Some(*last);
            for id in tenants {
                wait_for("Redis", async || keeper.rebuild(id).await).await?;
                out.data(&id.to_string())?;
            }
            if tenant.is_some() {
                return Ok(());
            }
        }
    })
}
