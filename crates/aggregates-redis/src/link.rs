//! One connection, shared, made again when it broke.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use engine::ports::{PortError, PortErrorKind};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, Cmd, ErrorKind, FromRedisValue, Pipeline, RedisError,
    ServerErrorKind, Value,
};

use crate::scripts::Program;

/// What the adapter is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `redis://[user:password@]host:port[/db]`, or `redis+unix:///path`.
    pub url: String,
    /// After how long without an answer Redis counts as gone.
    pub answer_within: Duration,
}

impl Settings {
    /// The usual patience with a Redis at this address.
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned(), answer_within: Duration::from_secs(5) }
    }
}

/// Settings that make no sense.
#[derive(Debug)]
pub struct SettingsError(String);

impl std::error::Error for SettingsError {}
impl std::fmt::Display for SettingsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the address of Redis is not one ({}); write it as redis://host:6379", self.0)
    }
}

/// The way to Redis.
pub(crate) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    /// Not connected yet. Errors: the address is none.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let client = Client::open(settings.url.as_str())
            .map_err(|e| SettingsError(e.category().to_owned()))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.answer_within))
            .set_response_timeout(Some(settings.answer_within));
        Ok(Self { client, config, connection: Mutex::new(None) })
    }

    /// Sends commands in one go. Errors: no answer, or a refusal of any of them.
    pub async fn ask(&self, pipeline: &Pipeline) -> Result<Vec<Value>, PortError> {
        let mut connection = self.connected().await?;
        match pipeline.query_async(&mut connection).await {
            Err(error) if is_unknown_script(&error) => {
                // Somebody has emptied the cache of scripts; a pipeline calls one at most, so
                // nothing of it was done.
                Program::load_all().exec_async(&mut connection).await.map_err(|e| self.lost(&e))?;
                pipeline.query_async(&mut connection).await.map_err(|e| self.lost(&e))
            }
            answered => answered.map_err(|e| self.lost(&e)),
        }
    }

    /// Sends one command.
    pub async fn ask_one<T: FromRedisValue>(&self, command: Cmd) -> Result<T, PortError> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(command);
        let mut answers = self.ask(&pipeline).await?.into_iter();
        next(&mut answers)
    }

    async fn connected(&self) -> Result<MultiplexedConnection, PortError> {
        let known = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let connecting = self.client.get_multiplexed_async_connection_with_config(&self.config);
        let mut connection = connecting.await.map_err(|e| self.lost(&e))?;
        Program::load_all().exec_async(&mut connection).await.map_err(|e| self.lost(&e))?;
        let mut known = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        *known = Some(connection.clone());
        Ok(connection)
    }

    /// Gives the connection up, for whatever was the matter with it.
    fn lost(&self, error: &RedisError) -> PortError {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
        let message = format!("Redis: {error}");
        let is_full = message.contains("OOM");
        let kind = if is_full { PortErrorKind::Full } else { PortErrorKind::Unavailable };
        PortError { kind, message }
    }
}

/// The next answer of a pipeline, as what it should be. Errors: it is something else.
pub(crate) fn next<T: FromRedisValue>(
    answers: &mut impl Iterator<Item = Value>,
) -> Result<T, PortError> {
    let odd = |what: String| PortError {
        kind: PortErrorKind::Unavailable,
        message: format!("Redis answered with something else than was asked for: {what}"),
    };
    let answer = answers.next().ok_or_else(|| odd("nothing".to_owned()))?;
    redis::from_redis_value(answer).map_err(|e| odd(e.to_string()))
}

fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}
