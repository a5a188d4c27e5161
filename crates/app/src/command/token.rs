//! `incent token`: an end user's token for the push connection, signed with the tenant's secret.

use std::time::Duration;

use domain::id::UserRef;
use engine::ports::Clock;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use serde_json::json;

use crate::clock::SystemClock;
use crate::config::connection::{self, Connection};
use crate::failure::{Code, Failure, Outcome};
use crate::output::{Format, Output};

/// Flags of `token`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  incent token --user u1
  incent token --user u1 --ttl 15m --tenant 0199… --secret \"$SECRET\"
  incent token --user u1 -o json")]
pub struct Args {
    /// The tenant's own id of the user
    #[arg(long, value_name = "USER")]
    pub user: String,
    /// How long it is good for
    #[arg(long, default_value = "1h", value_parser = super::duration, value_name = "TIME")]
    pub ttl: Duration,
    /// The tenant's shared secret, as given to PUT …/push-auth [default: that of dev.env]
    #[arg(long, env = "INCENT_PUSH_SECRET", value_name = "SECRET", hide_env_values = true)]
    pub secret: Option<String>,
    /// The issuer, when the tenant's settings name one
    #[arg(long, env = "INCENT_PUSH_ISSUER", value_name = "ISSUER")]
    pub issuer: Option<String>,
    /// Where the platform is.
    #[command(flatten)]
    pub connection: connection::Flags,
}

#[derive(Serialize)]
struct Claims<'a> {
    sub: &'a str,
    tenant: &'a str,
    aud: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    iss: Option<&'a str>,
    iat: i64,
    exp: i64,
}

/// Prints the token.
pub fn run(args: Args, out: &Output) -> Outcome {
    let connection = Connection::resolve(args.connection)?;
    let secret = args.secret.or_else(|| connection.push_secret.clone());
    let (token, exp) = sign(&connection, secret, &args.user, args.issuer.as_deref(), args.ttl)?;
    match out.asked_for() {
        Some(Format::Json | Format::Jsonl) => out
            .document(&json!({"token": token, "userId": args.user, "exp": exp}), |_| String::new()),
        _ => out.data(&token),
    }
}

/// A token for a user and the second at which it ends. Errors: no tenant, no secret, no such user.
pub fn sign(
    connection: &Connection,
    secret: Option<String>,
    user: &str,
    issuer: Option<&str>,
    ttl: Duration,
) -> Outcome<(String, i64)> {
    UserRef::new(user).map_err(|why| Failure::usage(format!("the user {why}")))?;
    let secret = secret.ok_or_else(|| {
        Failure::new(Code::Auth, "there is no secret to sign with")
            .mend("give the tenant's shared secret with --secret or INCENT_PUSH_SECRET")
    })?;
    let now = SystemClock.now().micros() / 1_000_000;
    let exp = now + i64::try_from(ttl.as_secs()).unwrap_or(i64::from(u32::MAX));
    let claims = Claims {
        sub: user,
        tenant: connection.tenant()?,
        aud: "incent-push",
        iss: issuer,
        iat: now,
        exp,
    };
    let key = EncodingKey::from_secret(secret.as_bytes());
    let token =
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|e| {
            Failure::new(Code::Failure, "the token cannot be signed").why(e.to_string())
        })?;
    Ok((token, exp))
}
