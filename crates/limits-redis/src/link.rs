//! One connection, and when to try for another.

use std::time::Duration;

use engine::policy::Backoff;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ErrorKind, Pipeline, ServerErrorKind, Value};

use crate::scripts::Program;

/// Pauses between tries when Redis does not do what it should.
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(100), most: Duration::from_secs(5) };

/// What a pipeline came to, command by command.
pub(crate) type Answers = Vec<redis::RedisResult<Value>>;

/// The way to Redis.
pub(crate) struct Link {
    client: Client,
    config: AsyncConnectionConfig,
    connection: Option<MultiplexedConnection>,
    /// In a row.
    failures: u32,
}

impl Link {
    /// Not connected yet.
    pub fn new(client: Client, answer_within: Duration) -> Self {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(answer_within))
            .set_response_timeout(Some(answer_within));
        Self { client, config, connection: None, failures: 0 }
    }

    pub fn is_up(&self) -> bool {
        self.connection.is_some()
    }

    /// How long to wait before the next try.
    pub fn pause(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => BACKOFF.pause(failures),
        }
    }

    /// Connects and brings the scripts along.
    pub async fn connect(&mut self) -> redis::RedisResult<()> {
        let connecting = self.client.get_multiplexed_async_connection_with_config(&self.config);
        let mut connection = connecting.await?;
        Program::load_all().exec_async(&mut connection).await?;
        self.connection = Some(connection);
        Ok(())
    }

    /// Gives the connection up.
    pub fn give_up(&mut self) {
        self.connection = None;
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that it does what it should.
    pub fn goes_well(&mut self) {
        self.failures = 0;
    }

    /// Sends commands in one go. Errors: no answer, or a refusal of any of them.
    pub async fn send(&mut self, pipeline: &mut Pipeline) -> redis::RedisResult<Vec<Value>> {
        let mut answers = self.try_send(pipeline).await?;
        if answers.iter().any(is_unknown_script) {
            // Somebody has emptied the cache of scripts. Those that were done are done: they say so.
            self.try_send(&mut Program::load_all()).await?;
            answers = self.try_send(pipeline).await?;
        }
        answers.into_iter().collect()
    }

    async fn try_send(&mut self, pipeline: &mut Pipeline) -> redis::RedisResult<Answers> {
        match &mut self.connection {
            Some(connection) => pipeline.ignore_errors().query_async(connection).await,
            None => Err((ErrorKind::Io, "not connected").into()),
        }
    }
}

fn is_unknown_script(answer: &redis::RedisResult<Value>) -> bool {
    answer.as_ref().is_err_and(|e| e.kind() == ErrorKind::Server(ServerErrorKind::NoScript))
}
