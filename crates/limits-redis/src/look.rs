//! Looks at a Redis from outside, for who asks whether it is as it should be.

use std::fmt;

use redis::{AsyncConnectionConfig, Client};

use crate::gate::Settings;

/// Why nothing is known of a Redis.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// It does not answer, or refuses us.
    #[error("it gives no answer: {0}")]
    Silent(String),
    /// It does not say which version it is.
    #[error("it does not say which version it is")]
    Unnamed,
}

/// A version of Redis, or of a server that speaks as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    /// The part before the first dot.
    pub major: u32,
    text: String,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Asks a Redis which version it is. Errors: it does not answer in time, or does not say.
pub async fn version(settings: &Settings) -> Result<Version, LookError> {
    let silent = |error: redis::RedisError| LookError::Silent(error.to_string());
    let client = Client::open(settings.url.as_str()).map_err(silent)?;
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(settings.answer_within))
        .set_response_timeout(Some(settings.answer_within));
    let connecting = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connecting.await.map_err(silent)?;
    let told = redis::cmd("INFO").arg("server").query_async(&mut connection).await;
    let told: String = told.map_err(silent)?;
    named(&told).ok_or(LookError::Unnamed)
}

fn named(info: &str) -> Option<Version> {
    let text = info.lines().find_map(|line| line.strip_prefix("redis_version:"))?.trim();
    let major = text.split('.').next()?.parse().ok()?;
    Some(Version { major, text: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::named;

    #[test]
    fn the_version_is_read_off_what_it_tells() {
        let version = named("# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n");
        let version = version.expect("a version");
        assert_eq!((version.major, version.to_string()), (7, "7.0.15".to_owned()));
        for other in ["", "redis_version:", "redis_version:x.1", "version:7.0"] {
            assert_eq!(named(other), None, "{other}");
        }
    }
}
