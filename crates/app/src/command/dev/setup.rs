//! The demo shop: applied over REST like anybody's, with a key and a push secret that stay the same
//! from start to start.

use std::path::{Path, PathBuf};

use domain::id::TenantId;
use engine::ports::IdGen;
use serde_json::{Value, json};

use crate::client::{As, Client};
use crate::clock::{SystemIds, hex};
use crate::command::apply::{Platform, apply};
use crate::config::connection::{Connection, ENV_FILE, read_env_file};
use crate::data_dir::write_secret;
use crate::failure::{Code, Failure, Outcome};

/// What the key of the demo may do: everything within its tenant.
const SCOPES: [&str; 16] = [
    "tenant:read",
    "events:write",
    "decisions:read",
    "incentives:read",
    "users:read",
    "users:write",
    "campaigns:read",
    "campaigns:write",
    "limits:read",
    "limits:write",
    "cohorts:read",
    "cohorts:write",
    "keys:write",
    "push-auth:write",
    "dead-letters:write",
    "audit:read",
];

/// What an earlier start has left in `dev.env`.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    /// The admin's token.
    pub admin_token: Option<String>,
    key: Option<String>,
    push_secret: Option<String>,
}

impl Kept {
    /// Reads the file; nothing when there is none.
    pub fn read(dir: &Path) -> Outcome<Self> {
        let path = dir.join(ENV_FILE);
        if !path.is_file() {
            return Ok(Self::default());
        }
        let mut values = read_env_file(&path)?;
        Ok(Self {
            admin_token: values.remove("INCENT_ADMIN_TOKEN"),
            key: values.remove("INCENT_API_KEY"),
            push_secret: values.remove("INCENT_PUSH_SECRET"),
        })
    }
}

/// The demo shop as set up.
#[derive(Debug)]
pub struct Demo {
    /// Its tenant.
    pub tenant: TenantId,
    /// Its API key.
    pub key: String,
    /// The admin's token.
    pub admin_token: String,
    /// Where all of this stands for shells and commands.
    pub env_file: PathBuf,
}

/// A new secret.
pub fn secret() -> String {
    hex(&SystemIds.secret())
}

/// Applies the demo's documents, makes sure of key and push secret, and writes `dev.env`.
pub fn set_up(dir: &Path, url: &str, admin_token: &str, kept: Kept) -> Outcome<Demo> {
    let connection = Connection {
        url: url.to_owned(),
        key: None,
        admin_token: Some(admin_token.to_owned()),
        tenant: None,
        push_secret: None,
    };
    let mut platform = Platform::new(Client::new(connection.clone()), false);
    apply(&mut platform, &crate::demo::documents()?, |_| Ok(()))?;
    let tenant = platform.current_tenant().unwrap_or_default().to_owned();
    let id: TenantId = tenant
        .parse()
        .map_err(|_| Failure::new(Code::Failure, "the demo's tenant has no id; this is a bug"))?;
    let connection = Connection { tenant: Some(tenant.clone()), ..connection };
    let client = Client::new(connection.clone());
    let key = match kept.key.filter(|key| works(&connection, key)) {
        Some(key) => key,
        None => new_key(&client, &tenant)?,
    };
    let push_secret = kept.push_secret.unwrap_or_else(secret);
    let push_auth = json!({"secret": push_secret, "algorithms": ["HS256"]});
    client.put(As::Admin, &format!("/api/v1/tenants/{tenant}/push-auth"), &push_auth)?;
    let env_file = dir.join(ENV_FILE);
    let text = format!(
        "# Written by incent dev for shells and for the incent commands. Secret: whoever has it may do\n\
         # everything here.\n\
         INCENT_URL={url}\n\
         INCENT_TENANT={tenant}\n\
         INCENT_API_KEY={key}\n\
         INCENT_ADMIN_TOKEN={admin_token}\n\
         INCENT_PUSH_SECRET={push_secret}\n"
    );
    write_secret(&env_file, text.as_bytes())?;
    Ok(Demo { tenant: id, key, admin_token: admin_token.to_owned(), env_file })
}

fn works(connection: &Connection, key: &str) -> bool {
    let connection =
        Connection { key: Some(key.to_owned()), admin_token: None, ..connection.clone() };
    let tenant = connection.tenant.clone().unwrap_or_default();
    Client::new(connection).get(As::Tenant, &format!("/api/v1/tenants/{tenant}")).is_ok()
}

fn new_key(client: &Client, tenant: &str) -> Outcome<String> {
    let wanted = json!({"name": "incent dev", "scopes": SCOPES});
    let made = client.post(As::Admin, &format!("/api/v1/tenants/{tenant}/api-keys"), &wanted)?;
    let key = made.get("key").and_then(Value::as_str).map(str::to_owned);
    key.ok_or_else(|| Failure::new(Code::Failure, "a new API key came without its key"))
}
