//! `incent dev`: the whole product in one command. A demo shop with its real purchases is set up,
//! decided, summed up, and served.

mod data;
mod replay;
mod setup;
mod summary;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::Arc;

use http::TENANT_EVENTS;
use http::api::tenants::create::NewLimits;
use store::DbOptions;
use tokio_util::sync::CancellationToken;

use super::serve::{arm, runtime};
use crate::config::server::{DATA_DIR, LISTEN, address};
use crate::failure::{Code, Failure, Outcome};
use crate::interrupt::stop_token;
use crate::output::{Format, Ink, Output};
use crate::platform::Data;
use crate::roles::Roles;
use crate::server::{Server, Start};
use crate::telemetry::{self, LogFormat};
use data::DataDir;
use replay::Replayed;
use setup::Demo;

/// Flags of `dev`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  incent dev
  incent dev --exit
  incent dev --ephemeral --listen 127.0.0.1:0
  incent dev --reset")]
pub struct Args {
    /// Address to listen on [default: 127.0.0.1:8080, or a free port if that is taken]
    #[arg(long, env = "INCENT_LISTEN", value_name = "ADDR")]
    pub listen: Option<String>,
    /// Directory of the data; it is kept, and the next start goes on with it
    #[arg(long, env = "INCENT_DATA_DIR", value_name = "DIR", default_value = DATA_DIR)]
    pub data_dir: PathBuf,
    /// Keep the data in a temporary directory and remove it at the end
    #[arg(long, conflicts_with_all = ["data_dir", "reset"])]
    pub ephemeral: bool,
    /// Throw the data directory's contents away first
    #[arg(long)]
    pub reset: bool,
    /// End after the summary instead of serving
    #[arg(long)]
    pub exit: bool,
    /// The admin's bearer token [default: the one of the last start, or a new one]
    #[arg(long, env = "INCENT_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// What is logged: a level, or a list such as warn,engine=debug
    #[arg(long, env = "INCENT_LOG", value_name = "FILTER", default_value = "warn")]
    pub log: String,
    /// Only so many purchases, the earliest, for tests
    #[arg(long, hide = true, overrides_with = "purchases", value_name = "N")]
    pub purchases: Option<usize>,
    /// Where and when to die, for tests: POINT or POINT:COUNT
    #[arg(long, env = "INCENT_CRASH_AT", hide = true)]
    pub crash_at: Option<engine::crash::CrashPlan>,
}

/// Runs the demo.
pub fn run(args: Args, out: &Output) -> Outcome {
    arm(args.crash_at)?;
    telemetry::start(out, LogFormat::Text, &args.log)?;
    let dir = DataDir::prepare(&args, out)?;
    runtime()?.block_on(async {
        let stop = stop_token();
        let (server, demo) = start(&args, &dir, out).await?;
        let replayed = tokio::select! {
            replayed = replay::replay(&server, &demo, args.purchases, out) => replayed,
            () = stop.cancelled() => Err(Failure::interrupted()),
        };
        // In either case the server stops in order: what is decided by then is kept.
        let shown = match replayed {
            Ok(replayed) => finish(&args, (&server, &demo), &replayed, out).await,
            Err(failure) => Err(failure),
        };
        let ended = match shown {
            Ok(()) if !args.exit => serve(&server, &stop, out).await,
            shown => shown,
        };
        server.stop().await;
        if ended.is_ok() && !args.ephemeral {
            out.say(&format!(
                "the data stays in {}; incent dev goes on with it",
                dir.path().display()
            ));
        }
        ended
    })
}

async fn start(args: &Args, dir: &DataDir, out: &Output) -> Outcome<(Server, Arc<Demo>)> {
    let kept = setup::Kept::read(dir.path())?;
    let admin_token = args.admin_token.clone().filter(|token| !token.is_empty());
    let admin_token =
        admin_token.or_else(|| kept.admin_token.clone()).unwrap_or_else(setup::secret);
    // A demo shares its machine with an editor and a browser: less of the file is kept in memory.
    let options = DbOptions { mmap_bytes: 32 << 20, cache_kib: 24 * 1024, ..DbOptions::default() };
    let begin = |listen| Start {
        listen,
        data: Data::Dir(dir.path(), &options),
        roles: Roles::ALL,
        admin_token: admin_token.clone(),
        service_token: None,
        default_limits: NewLimits::default(),
        tenant_events: TENANT_EVENTS,
        dev: true,
    };
    let wanted = address(args.listen.as_deref().unwrap_or(LISTEN))?;
    let server = match Server::start(begin(wanted)).await {
        // Nobody asked for this port, so another one is as good.
        Err(failure) if failure.code == Code::Unavailable && args.listen.is_none() => {
            let mut free = wanted;
            free.set_port(0);
            let server = Server::start(begin(free)).await?;
            out.warn(&format!("port {} is taken, using {}", wanted.port(), server.url));
            server
        }
        started => started?,
    };
    let url = server.url.clone();
    let path = dir.path().to_owned();
    let set_up =
        tokio::task::spawn_blocking(move || setup::set_up(&path, &url, &admin_token, kept));
    let demo = set_up
        .await
        .map_err(|e| Failure::new(Code::Failure, "the set-up broke off").why(e.to_string()))
        .and_then(|demo| demo);
    match demo {
        Ok(demo) => Ok((server, Arc::new(demo))),
        Err(failure) => {
            server.stop().await;
            Err(failure)
        }
    }
}

/// Shows the summary and, when the platform stays up, how to talk to it.
async fn finish(
    args: &Args,
    (server, demo): (&Server, &Demo),
    replayed: &Replayed,
    out: &Output,
) -> Outcome {
    let Some(db) = server.platform.sqlite() else {
        return Err(Failure::new(Code::Failure, "the demo runs on the embedded profile only"));
    };
    let report = store::report::report(db, demo.tenant).await;
    let report = report.map_err(|e| crate::data_dir::failure("sum up", &args.data_dir, &e))?;
    if out.asked_for().is_some_and(|format| format != Format::Table) {
        return out.document(&summary::document(&report, replayed), |_| String::new());
    }
    out.data(&summary::text(&report, replayed, out))?;
    if !args.exit {
        out.data(&addresses(server, demo, &report, out))?;
    }
    Ok(())
}

fn addresses(server: &Server, demo: &Demo, report: &store::report::Report, out: &Output) -> String {
    let user = summary::best_earner(report).unwrap_or("u1");
    let bold = |text: &str| out.ink(Ink::Bold, text);
    let url = &server.url;
    let env = demo.env_file.display();
    format!(
        "\n{}  development mode, not for production\n\n\
         \x20 API        {url}/api/v1    described by {url}/openapi.json\n\
         \x20 Push       {}/ws\n\
         \x20 Metrics    {url}/metrics\n\
         \x20 Tenant     {}  {}\n\
         \x20 API key    {}\n\
         \x20 Admin      {}\n\
         \x20 All in     {env}  (the incent commands find it by themselves)\n\n\
         {}\n\
         \x20 incent trigger purchase --user {user} --set amount=42.10 --set units=2 --explain\n\
         \x20 incent listen --user {user}\n\
         \x20 incent explain --event {}\n\
         \x20 incent export incentives --user {user}\n\
         \x20 . {env}; curl -s \"$INCENT_URL/api/v1/users/{user}/incentives\" -H \"Authorization: Bearer $INCENT_API_KEY\"\n",
        bold(concat!("incent ", env!("CARGO_PKG_VERSION"))),
        url.replacen("http", "ws", 1),
        demo.tenant,
        crate::demo::TENANT,
        demo.key,
        demo.admin_token,
        bold("Try, in another terminal (target/release/incent when run by cargo)"),
        replay::SHOWN_EVENT,
    )
}

async fn serve(server: &Server, stop: &CancellationToken, out: &Output) -> Outcome {
    out.data(&format!("incent ready on {}", server.url))?;
    out.say("Ctrl-C stops it");
    stop.cancelled().await;
    Ok(())
}
