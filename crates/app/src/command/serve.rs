//! `incent serve`: runs the platform until it is told to stop.

use engine::crash::{self, CrashPlan};
use engine::guard::{self, Guard};
use store::DbOptions;

use crate::config::distributed::Profile;
use crate::config::server::{self, Settings};
use crate::failure::{Code, Failure, Outcome};
use crate::interrupt::stop_token;
use crate::output::Output;
use crate::platform::Data;
use crate::roles::Roles;
use crate::server::{Server, Start};
use crate::telemetry;

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line on standard output says when it is ready and where. Ctrl-C or SIGTERM stops it in order; a second
one at once.

Examples:
  INCENT_ADMIN_TOKEN=$(openssl rand -hex 32) incent serve
  incent serve --listen 0.0.0.0:8080 --data-dir /var/lib/incent
  incent serve --config incent.yaml --log warn,engine=debug
  incent serve --database-url postgresql://db/ic_db --kafka kafka:9092 --roles ic")]
pub struct Args {
    /// What to run with.
    #[command(flatten)]
    pub server: server::Flags,
}

/// Serves.
pub fn run(args: Args, out: &Output) -> Outcome {
    arm(args.server.crash_at)?;
    switch_off(args.server.without)?;
    let settings = Settings::resolve(args.server)?;
    let roles = Roles::parse(&settings.roles)?;
    let Some(admin_token) = settings.admin_token.clone() else {
        return Err(Failure::new(Code::Auth, "the platform needs an admin token")
            .why("without one nobody could make a tenant, and there is no open door")
            .mend(
                "set INCENT_ADMIN_TOKEN to a long random text, such as that of openssl rand -hex 32\n\
                 to try things out, incent dev makes one",
            ));
    };
    let service_token = match &settings.profile {
        Profile::Embedded => None,
        #[cfg(feature = "distributed")]
        Profile::Distributed(services) => services.service_token.clone(),
    };
    if service_token.as_ref() == Some(&admin_token) {
        return Err(Failure::usage("the service token is the admin token")
            .why("whoever read it from a process that only decides could do everything")
            .mend("make another one: openssl rand -hex 32"));
    }
    telemetry::start(out, settings.log_format, &settings.log)?;
    let options = DbOptions::default();
    let data = match &settings.profile {
        Profile::Embedded if roles.analytics && roles != Roles::ALL => {
            return Err(Failure::usage("the role analytics belongs to the distributed profile")
                .why("it lands what Debezium captures, and this is the embedded profile")
                .mend("leave it out, or set INCENT_DATABASE_URL to the PostgreSQL database"));
        }
        Profile::Embedded => Data::Dir(&settings.data_dir, &options),
        #[cfg(feature = "distributed")]
        Profile::Distributed(services) => Data::Services(services),
    };
    let start = Start {
        listen: settings.listen,
        data,
        roles,
        admin_token,
        service_token,
        default_limits: settings.default_limits,
        tenant_events: settings.tenant_events,
        dev: false,
    };
    runtime()?.block_on(async {
        let stop = stop_token();
        let server = tokio::select! {
            server = Server::start(start) => server?,
            () = stop.cancelled() => return Err(Failure::interrupted()),
        };
        out.data(&format!("incent ready on {}", server.url))?;
        stop.cancelled().await;
        server.stop().await;
        Ok(())
    })
}

/// The runtime of a server.
pub fn runtime() -> Outcome<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(Code::Failure, "cannot start a runtime").why(e.to_string()))
}

/// Switches a protection off, for tests.
fn switch_off(without: Option<Guard>) -> Outcome {
    match without {
        Some(guard) if !guard::switch_off(guard) => {
            Err(Failure::usage(format!("this build does not do without {}", guard.as_str()))
                .mend("leave INCENT_WITHOUT unset: it is for tests only"))
        }
        _ => Ok(()),
    }
}

/// Arms a crash point, for tests.
pub fn arm(plan: Option<CrashPlan>) -> Outcome {
    if let Some(plan) = plan
        && !crash::arm(plan)
    {
        return Err(Failure::usage("a crash point is armed already"));
    }
    Ok(())
}
