//! Captured changes of the ledger, as Debezium writes them to a topic: who wants what from
//! [`CapturedReader`], what a record says is in [`envelope`].
//!
//! Two ways to share the work. Members of a *group* share the partitions, and the group remembers
//! the offsets that were told to be [`done`](CapturedFeed::done): for consumers whose applied
//! places guard against two of them at once. A reader *from offsets* has all partitions for itself
//! and begins where it is told: for a consumer that keeps the offsets beside its effect.

mod envelope;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use engine::captured::{CapturedBatch, CapturedFeed};
use engine::ports::{PortError, PortFuture};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::failure::{self, blocking};
use crate::settings::Settings;
use crate::topics::{self, ANSWER_MAX, is_out_of_range};

/// Bytes of values taken at once; one value may go beyond.
const TAKE_BYTES_MAX: usize = 8 << 20;
/// How long the first record is waited for.
const WAIT: Duration = Duration::from_millis(200);

/// Reads a topic of captured changes.
pub struct CapturedReader {
    shared: Arc<Shared>,
    /// Whether the group remembers offsets.
    is_member: bool,
}

struct Shared {
    topic: String,
    consumer: BaseConsumer,
    /// What was read and nobody has got yet, for a call may be given up while it reads.
    read: Mutex<Option<CapturedBatch>>,
    /// Why nothing more is read; see the port.
    halted: Mutex<Option<String>>,
}

/// Where a reader begins.
enum Begin<'a> {
    Group(&'a str),
    Offsets(&'a BTreeMap<i32, i64>),
}

impl CapturedReader {
    /// A member of a group. Without an offset that the group remembers, a partition is read from
    /// its beginning.
    ///
    /// # Errors
    /// `Unavailable`: Kafka gives no answer, or has no such topic; says how to make it.
    pub async fn join(settings: &Settings, topic: &str, group: &str) -> Result<Self, PortError> {
        Self::begin(settings, topic, Begin::Group(group)).await
    }

    /// All partitions of the topic, each from its offset, those without one from their beginning.
    ///
    /// # Errors
    /// `Unavailable`: Kafka gives no answer, or has no such topic; says how to make it.
    pub async fn from_offsets(
        settings: &Settings,
        topic: &str,
        offsets: &BTreeMap<i32, i64>,
    ) -> Result<Self, PortError> {
        Self::begin(settings, topic, Begin::Offsets(offsets)).await
    }

    async fn begin(settings: &Settings, topic: &str, at: Begin<'_>) -> Result<Self, PortError> {
        let (group, reset, offsets) = match at {
            Begin::Group(group) => (group.to_owned(), "earliest", None),
            // An offset that is not there is never quietly replaced by another one.
            Begin::Offsets(o) => (format!("{}.captured", settings.group), "error", Some(o.clone())),
        };
        let defaults = [
            ("group.id", &*group),
            ("fetch.wait.max.ms", "100"),
            ("fetch.queue.backoff.ms", "5"),
            ("queued.max.messages.kbytes", "16384"),
            ("session.timeout.ms", "10000"),
        ];
        let fixed = [
            ("group.id", &*group),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            ("auto.offset.reset", reset),
            ("enable.partition.eof", "false"),
            ("partition.assignment.strategy", "cooperative-sticky"),
        ];
        let consumer: BaseConsumer = settings
            .client(&defaults, &fixed)
            .create()
            .map_err(|e| failure::kafka("connecting", &e))?;
        let (topic, is_member) = (topic.to_owned(), offsets.is_none());
        let (read, halted) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { topic, consumer, read, halted });
        let task = shared.clone();
        blocking(move || task.begin(offsets)).await??;
        Ok(Self { shared, is_member })
    }
}

impl Shared {
    fn begin(&self, offsets: Option<BTreeMap<i32, i64>>) -> Result<(), PortError> {
        let failed = |e| failure::kafka(&format!("following {}", self.topic), &e);
        let partitions = topics::partitions(self.consumer.client(), &self.topic)?;
        let Some(offsets) = offsets else {
            return self.consumer.subscribe(&[&self.topic]).map_err(failed);
        };
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            let offset = offsets.get(&partition).map_or(Offset::Beginning, |o| Offset::Offset(*o));
            list.add_partition_offset(&self.topic, partition, offset).map_err(failed)?;
        }
        self.consumer.assign(&list).map_err(failed)
    }

    /// Reads a batch, unless one is there that nobody has got.
    fn read(&self, max: usize) -> Result<(), PortError> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.is_none() {
            *read = Some(self.poll(max)?);
        }
        Ok(())
    }

    /// Waits for the first record and takes what is there of the rest.
    fn poll(&self, max: usize) -> Result<CapturedBatch, PortError> {
        if let Some(why) = self.halted() {
            return Err(failure::corrupt(why));
        }
        let (mut batch, mut bytes, mut wait) = (CapturedBatch::default(), 0, WAIT);
        while batch.rows.len() < max && bytes < TAKE_BYTES_MAX {
            let message = match self.consumer.poll(wait) {
                None => break,
                Some(Ok(message)) => message,
                Some(Err(error)) if batch.offsets.is_empty() => return Err(self.failed(&error)),
                Some(Err(error)) => {
                    _ = self.failed(&error);
                    break;
                }
            };
            bytes += message.payload_len();
            match envelope::read(message.payload()) {
                Ok(row) => {
                    batch.rows.extend(row);
                    batch.offsets.insert(message.partition(), message.offset() + 1);
                }
                Err(why) => {
                    let why = self.unreadable(&message, &why);
                    self.halt(&why);
                    // What came before it is applied first.
                    if batch.offsets.is_empty() {
                        return Err(failure::corrupt(why));
                    }
                    break;
                }
            }
            wait = Duration::ZERO;
        }
        Ok(batch)
    }

    fn failed(&self, error: &KafkaError) -> PortError {
        if is_out_of_range(error) {
            let why = format!(
                "{}: records were gone before they were read ({error}); the topic was cut short, \
                 made anew, or keeps its records too short a time: rebuild what this process keeps",
                self.topic
            );
            self.halt(&why);
            return failure::corrupt(why);
        }
        failure::kafka(&format!("following {}", self.topic), error)
    }

    fn unreadable(&self, message: &BorrowedMessage<'_>, why: &str) -> String {
        let (topic, partition, offset) = (&self.topic, message.partition(), message.offset());
        format!(
            "{topic}:{partition}@{offset} {why}; nothing behind it is read, and nothing is lost: \
             mend the connector or take the version that knows this schema, then start again"
        )
    }

    fn halted(&self) -> Option<String> {
        self.halted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn halt(&self, why: &str) {
        tracing::error!(topic = self.topic, why, "captured changes cannot be read on");
        *self.halted.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
    }

    fn done(&self, offsets: &BTreeMap<i32, i64>) -> Result<(), PortError> {
        let failed = |e| failure::kafka(&format!("remembering offsets of {}", self.topic), &e);
        let mut list = TopicPartitionList::new();
        for (partition, offset) in offsets {
            let offset = Offset::Offset(*offset);
            list.add_partition_offset(&self.topic, *partition, offset).map_err(failed)?;
        }
        match self.consumer.commit(&list, CommitMode::Sync) {
            // The partition is another member's by now: it reads again what is applied already.
            Err(error) if is_anothers(&error) => Ok(()),
            done => done.map_err(failed),
        }
    }

    fn lag(&self) -> Result<u64, PortError> {
        let failed = |e| failure::kafka(&format!("asking how far {} is", self.topic), &e);
        let mut lag = 0;
        for of in self.consumer.position().map_err(failed)?.elements() {
            let (low, high) = self
                .consumer
                .fetch_watermarks(of.topic(), of.partition(), ANSWER_MAX)
                .map_err(failed)?;
            // Before the first record there is no position: whatever is there is to come, if the
            // group does not remember better.
            let at = match of.offset() {
                Offset::Offset(at) => at,
                _ => low,
            };
            lag += u64::try_from(high - at).unwrap_or(0);
        }
        Ok(lag)
    }
}

fn is_anothers(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownMemberId
                | RDKafkaErrorCode::IllegalGeneration
                | RDKafkaErrorCode::RebalanceInProgress
                | RDKafkaErrorCode::AssignmentLost
        )
    )
}

impl CapturedFeed for CapturedReader {
    fn take<'a>(&'a self, max: usize) -> PortFuture<'a, CapturedBatch> {
        let shared = self.shared.clone();
        Box::pin(async move {
            let reader = shared.clone();
            blocking(move || reader.read(max)).await??;
            let mut read = shared.read.lock().unwrap_or_else(PoisonError::into_inner);
            Ok(read.take().unwrap_or_default())
        })
    }

    fn done<'a>(&'a self, offsets: &'a BTreeMap<i32, i64>) -> PortFuture<'a, ()> {
        Box::pin(async move {
            if !self.is_member || offsets.is_empty() {
                return Ok(());
            }
            let (shared, offsets) = (self.shared.clone(), offsets.clone());
            blocking(move || shared.done(&offsets)).await?
        })
    }

    fn lag<'a>(&'a self) -> PortFuture<'a, u64> {
        let shared = self.shared.clone();
        Box::pin(async move { blocking(move || shared.lag()).await? })
    }
}
