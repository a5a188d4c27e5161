//! Settings of processes that ask another one for what they decide by, and of the one that answers.

#[cfg(feature = "distributed")]
use super::address;
use super::server::ServerFile;
#[cfg(feature = "distributed")]
use crate::failure::{Failure, Outcome};

/// Least length of the service token, bytes: what nobody can guess.
#[cfg(feature = "distributed")]
const TOKEN_BYTES_MIN: usize = 32;

/// Flags and variables.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Distributed profile")]
pub struct Flags {
    /// The CMS, as http://cms:8080, for a process with the role ic and without cms
    /// [default: none, what decides is read from the database]
    #[arg(long, env = "INCENT_CMS_URL", value_name = "URL")]
    pub cms_url: Option<String>,
    /// Token that the platform's own processes share: they show it to the CMS, which lets them read
    /// what decides
    #[arg(long, env = "INCENT_SERVICE_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub service_token: Option<String>,
}

impl Flags {
    /// With what the file says where flags and variables say nothing.
    pub fn over(self, file: &ServerFile) -> Self {
        let or = |flag: Option<String>, key: Option<String>| flag.filter(|t| !t.is_empty()).or(key);
        Self {
            cms_url: or(self.cms_url, file.cms_url.as_ref().map(ToString::to_string)),
            service_token: or(
                self.service_token,
                file.service_token.as_ref().map(ToString::to_string),
            ),
        }
    }

    /// The token. Errors: it is too short, or no text for a header.
    #[cfg(feature = "distributed")]
    pub fn token(&self) -> Outcome<Option<String>> {
        let Some(token) = &self.service_token else { return Ok(None) };
        // It is a secret: the message does not repeat it.
        let refused = |why: &str| {
            let mend = "set INCENT_SERVICE_TOKEN to the same text in the processes with cms and \
                        with ic, such as that of openssl rand -hex 32";
            Err(Failure::usage(format!("the service token {why}")).mend(mend))
        };
        if token.len() < TOKEN_BYTES_MIN {
            return refused(&format!("has less than {TOKEN_BYTES_MIN} characters"));
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return refused("holds other characters than letters, digits and signs of ASCII");
        }
        if token.starts_with(http::auth::key::PREFIX) {
            return refused("looks like the API key of a tenant");
        }
        Ok(Some(token.clone()))
    }

    /// Where the CMS is; `None` when what decides is read from the database. Errors: it is no URL,
    /// or there is no token to show there.
    #[cfg(feature = "distributed")]
    pub fn cms(&self) -> Outcome<Option<Cms>> {
        let Some(url) = &self.cms_url else { return Ok(None) };
        let url = address::checked("cms-url", "http://cms:8080", url)?;
        let Some(token) = self.token()? else {
            return Err(Failure::usage("cms-url is set, but no service token")
                .why("the CMS tells what decides only to the platform's own processes")
                .mend(
                    "set INCENT_SERVICE_TOKEN to the same text here and where the CMS runs, such \
                     as that of openssl rand -hex 32",
                ));
        };
        Ok(Some(Cms { url, token }))
    }
}

/// A CMS in another process.
#[cfg(feature = "distributed")]
#[derive(Clone)]
pub struct Cms {
    /// Its address without a slash at the end.
    pub url: String,
    /// The token that it takes.
    pub token: String,
}

#[cfg(feature = "distributed")]
impl std::fmt::Debug for Cms {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The token is a secret.
        f.debug_struct("Cms").field("url", &self.url).finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "distributed"))]
mod tests {
    use super::Flags;

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let good = "0123456789abcdef0123456789abcdef";
        let check = |url: Option<&str>, token: Option<&str>, says: &str| {
            let own = |text: Option<&str>| text.map(str::to_owned);
            let flags = Flags { cms_url: own(url), service_token: own(token) };
            let read = flags.token().and_then(|_| flags.cms());
            match (read, says) {
                (Ok(cms), "") => assert_eq!(cms.map(|cms| cms.url), own(url)),
                (Ok(_), _) => panic!("{url:?} {token:?} is taken"),
                (Err(refused), _) => {
                    assert!(refused.to_string().contains(says), "{refused}");
                    assert!(!says.is_empty() && refused.mend.is_some(), "{refused}");
                    assert!(token.is_none_or(|t| !refused.to_string().contains(t)), "{refused}");
                }
            }
        };
        check(None, None, "");
        check(None, Some(good), "");
        check(Some("http://cms:8080"), Some(good), "");
        check(Some("https://cms"), Some(good), "");
        check(Some("http://cms:8080"), None, "no service token");
        check(Some("cms:8080"), Some(good), "no address");
        check(Some("http://"), Some(good), "no address");
        check(Some("http://me:secret@cms"), Some(good), "no address");
        check(None, Some("short"), "less than 32 characters");
        check(None, Some(&format!("{good} ")), "ASCII");
        check(None, Some(&format!("ik_{good}")), "API key");
    }
}
