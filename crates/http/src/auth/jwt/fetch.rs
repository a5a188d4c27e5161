//! Fetching a key set over https, with every bound that a hostile server would try.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use axum::http::Uri;
use ureq::config::Config;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};

use super::address;

/// Largest key set, bytes.
const BYTES_MAX: u64 = 64 * 1024;
/// Longest time for all of it.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Fetches what is at an address; blocks. `Err` says what went wrong.
pub type Fetch = Arc<dyn Fn(&str) -> Result<Vec<u8>, String> + Send + Sync>;

/// Fetches over https (`dev`: from this machine also over http): no redirects, no proxy, at most
/// 64 KiB in 5 s, and connects only to addresses that [`address::allowed`] lets through.
pub fn fetcher(dev: bool) -> Fetch {
    let config = Config::builder()
        .timeout_global(Some(TIMEOUT))
        .max_redirects(0)
        .https_only(!dev)
        .proxy(None)
        .max_idle_connections(0)
        .user_agent("incent")
        .build();
    let resolver = PublicOnly { inner: DefaultResolver::default(), dev };
    let agent = ureq::Agent::with_parts(config, DefaultConnector::default(), resolver);
    Arc::new(move |url| {
        address::check(url, dev).map_err(str::to_owned)?;
        let mut response = agent.get(url).call().map_err(|error| error.to_string())?;
        if response.status() != 200 {
            return Err(format!("status {}", response.status()));
        }
        let body = response.body_mut().with_config().limit(BYTES_MAX);
        body.read_to_vec().map_err(|error| error.to_string())
    })
}

/// Resolves names and drops the addresses that are not allowed, so that the connection is made to an
/// address that was checked and to no other.
#[derive(Debug)]
struct PublicOnly {
    inner: DefaultResolver,
    dev: bool,
}

impl Resolver for PublicOnly {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        for at in found.iter().filter(|at| address::allowed(at.ip(), self.dev)) {
            kept.push(*at);
        }
        if kept.is_empty() { Err(ureq::Error::HostNotFound) } else { Ok(kept) }
    }
}
