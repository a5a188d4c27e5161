//! How a command finds the platform and signs in: flags, `INCENT_…` variables, then the file
//! `dev.env` that `incent dev` leaves behind.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::server::DATA_DIR;
use crate::failure::{Code, Failure, Outcome};

/// Where the platform is when nobody says otherwise.
const URL: &str = "http://127.0.0.1:8080";
/// The file that `incent dev` writes into its data directory.
pub const ENV_FILE: &str = "dev.env";

/// Flags of commands that talk to a running platform.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Connection")]
pub struct Flags {
    /// Address of the platform [default: that of dev.env, or http://127.0.0.1:8080]
    #[arg(long, env = "INCENT_URL", value_name = "URL")]
    pub url: Option<String>,
    /// API key of the tenant
    #[arg(long, env = "INCENT_API_KEY", value_name = "KEY", hide_env_values = true)]
    pub key: Option<String>,
    /// Token of the platform's admin, instead of a key
    #[arg(long, env = "INCENT_ADMIN_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub admin_token: Option<String>,
    /// Tenant to act for, with an admin token
    #[arg(long, env = "INCENT_TENANT", value_name = "ID")]
    pub tenant: Option<String>,
    /// File of INCENT_… lines for what is not given [default: incent-data/dev.env if it exists]
    #[arg(long, env = "INCENT_ENV_FILE", value_name = "FILE")]
    pub env_file: Option<PathBuf>,
}

/// Where and as whom.
#[derive(Clone, Debug)]
pub struct Connection {
    /// Address without a slash at its end.
    pub url: String,
    /// The tenant's API key.
    pub key: Option<String>,
    /// The admin's token.
    pub admin_token: Option<String>,
    /// The tenant to act for.
    pub tenant: Option<String>,
    /// Secret that signs end users' tokens, from the file only.
    pub push_secret: Option<String>,
}

impl Connection {
    /// From flags and variables, and the file for what they leave open.
    ///
    /// A key of the file is never sent to an address that the file does not name.
    pub fn resolve(flags: Flags) -> Outcome<Self> {
        let file = match &flags.env_file {
            Some(path) => read_env_file(path)?,
            None => {
                let path = Path::new(DATA_DIR).join(ENV_FILE);
                if path.is_file() { read_env_file(&path)? } else { BTreeMap::new() }
            }
        };
        let trim = |url: String| url.trim_end_matches('/').to_owned();
        let theirs = file.get("INCENT_URL").cloned().map(trim);
        let url = flags.url.map(trim).or_else(|| theirs.clone()).unwrap_or_else(|| URL.to_owned());
        let same = theirs.as_deref() == Some(url.as_str());
        let from_file = |name: &str| file.get(name).filter(|_| same).cloned();
        // A credential that was given explicitly stands alone: the file's must not shadow it.
        let explicit = flags.key.is_some() || flags.admin_token.is_some();
        let from_file_unless = |name: &str| if explicit { None } else { from_file(name) };
        Ok(Self {
            key: flags.key.or_else(|| from_file_unless("INCENT_API_KEY")),
            admin_token: flags.admin_token.or_else(|| from_file_unless("INCENT_ADMIN_TOKEN")),
            tenant: flags.tenant.or_else(|| from_file("INCENT_TENANT")),
            push_secret: from_file("INCENT_PUSH_SECRET"),
            url,
        })
    }

    /// The tenant to act for. Errors: none was named.
    pub fn tenant(&self) -> Outcome<&str> {
        self.tenant.as_deref().ok_or_else(|| {
            Failure::new(Code::Usage, "which tenant is meant?")
                .mend("name it with --tenant or INCENT_TENANT")
        })
    }
}

/// Reads lines of `NAME=value`; `#` begins a comment, `export` and quotes may stand.
pub fn read_env_file(path: &Path) -> Outcome<BTreeMap<String, String>> {
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    let mut values = BTreeMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let pair = line.strip_prefix("export ").unwrap_or(line).split_once('=');
        let Some((name, value)) = pair else {
            return Err(Failure::usage(format!(
                "{}:{} is not NAME=value",
                path.display(),
                number + 1
            )));
        };
        let value = value.trim();
        let unquoted = value
            .strip_prefix('"')
            .and_then(|v| v.strip_suffix('"'))
            .or_else(|| value.strip_prefix('\'').and_then(|v| v.strip_suffix('\'')));
        values.insert(name.trim().to_owned(), unquoted.unwrap_or(value).to_owned());
    }
    Ok(values)
}
