//! Sends values in order and waits for all acknowledgements.

use std::collections::VecDeque;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use engine::ports::PortError;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::OwnedHeaders;
use rdkafka::producer::future_producer::{Delivery, OwnedDeliveryResult};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

use crate::failure;
use crate::settings::Settings;

/// How long a full queue is waited for before looking again.
const PAUSE: Duration = Duration::from_millis(5);

/// A value on its way to a topic.
pub struct Outgoing {
    /// What decides its partition.
    pub key: String,
    /// The value, framed.
    pub value: Vec<u8>,
    /// Headers.
    pub headers: OwnedHeaders,
}

/// A producer of one topic: idempotent, so that its own retries neither double nor reorder.
pub struct Producer {
    topic: String,
    config: ClientConfig,
    /// Replaced after a failure that librdkafka calls fatal.
    current: RwLock<FutureProducer>,
}

impl Producer {
    /// A producer whose values are acknowledged within a time or given up: for those who answer
    /// somebody who waits.
    pub fn bounded(settings: &Settings, topic: &str, within: Duration) -> Result<Self, PortError> {
        Self::new(settings, topic, within.as_millis())
    }

    /// A producer that never gives a value up: none is left out before the next one.
    pub fn gapless(settings: &Settings, topic: &str) -> Result<Self, PortError> {
        Self::new(settings, topic, 0)
    }

    fn new(settings: &Settings, topic: &str, timeout_ms: u128) -> Result<Self, PortError> {
        let defaults = [("linger.ms", "2"), ("compression.type", "lz4"), ("batch.size", "262144")];
        let timeout = timeout_ms.to_string();
        let fixed = [
            ("enable.idempotence", "true"),
            ("acks", "all"),
            // As Java's clients do, so that a key meets the same partition whoever sends it.
            ("partitioner", "murmur2_random"),
            ("message.timeout.ms", &*timeout),
        ];
        let config = settings.client(&defaults, &fixed);
        let current = config.create().map_err(|e| failure::kafka("connecting", &e))?;
        Ok(Self { topic: topic.to_owned(), config, current: RwLock::new(current) })
    }

    /// Sends values in their order. When it returns, all are acknowledged by all copies that must
    /// have them. On an error nothing is known about any of them.
    pub async fn send(&self, values: Vec<Outgoing>) -> Result<Vec<Delivery>, PortError> {
        let producer = self.producer()?;
        let mut waiting: VecDeque<DeliveryFuture> = VecDeque::with_capacity(values.len());
        let mut delivered = Vec::with_capacity(values.len());
        for Outgoing { key, value, headers } in values {
            let mut record =
                FutureRecord::to(&self.topic).key(&key).payload(&value).headers(headers);
            loop {
                record = match producer.send_result(record) {
                    Ok(future) => {
                        waiting.push_back(future);
                        break;
                    }
                    Err((error, again)) if is_full(&error) => {
                        match waiting.pop_front() {
                            Some(oldest) => delivered.push(self.outcome(oldest.await)?),
                            None => tokio::time::sleep(PAUSE).await,
                        }
                        again
                    }
                    Err((error, _)) => return Err(self.failed(&error)),
                };
            }
        }
        for future in waiting {
            delivered.push(self.outcome(future.await)?);
        }
        Ok(delivered)
    }

    /// The number of partitions of the topic. Blocks.
    pub fn partitions(&self) -> Result<i32, PortError> {
        crate::topics::partitions(self.producer()?.client(), &self.topic)
    }

    fn producer(&self) -> Result<FutureProducer, PortError> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner).clone();
        if current.client().fatal_error().is_none() {
            return Ok(current);
        }
        let mut slot = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if slot.client().fatal_error().is_some() {
            *slot = self.config.create().map_err(|e| failure::kafka("connecting anew", &e))?;
        }
        Ok(slot.clone())
    }

    fn outcome(
        &self,
        result: Result<OwnedDeliveryResult, impl std::error::Error>,
    ) -> Result<Delivery, PortError> {
        match result {
            Ok(Ok(delivery)) => Ok(delivery),
            Ok(Err((error, _))) => Err(self.failed(&error)),
            Err(_) => Err(failure::unavailable("the producer has ended".to_owned())),
        }
    }

    fn failed(&self, error: &KafkaError) -> PortError {
        failure::kafka(&format!("sending to {}", self.topic), error)
    }
}

fn is_full(error: &KafkaError) -> bool {
    error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull)
}
