//! Reads partitions of `tenant-events` from exact offsets.
//!
//! Partitions are assigned by hand, each to a queue of its own that librdkafka fills ahead within
//! a bound. What was taken is held until the next call asks for later offsets: a batch whose
//! commit failed is taken again without asking the broker.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use domain::id::hash_parts;
use engine::ports::{PortError, Position};
use engine::record::{Body, Taken, Unreadable};
use rdkafka::consumer::base_consumer::PartitionQueue;
use rdkafka::consumer::{BaseConsumer, Consumer as _, DefaultConsumerContext};
use rdkafka::error::KafkaResult;
use rdkafka::message::{Message, OwnedMessage};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::avro::{Codec, CodecError};
use crate::failure::{self, blocking};
use crate::record;
use crate::settings::Settings;
use crate::topics::{self, ANSWER_MAX, is_out_of_range};

/// Bytes of values taken at once; one value may go beyond.
const TAKE_BYTES_MAX: usize = 8 << 20;
/// How long nobody is told that there is nothing new.
const READY_MAX: Duration = Duration::from_secs(1);
/// How long the events of the client may lie unserved.
const SERVE: Duration = Duration::from_millis(100);

type Client = BaseConsumer<DefaultConsumerContext>;

/// Reads partitions of one topic.
pub struct Reader {
    client: Arc<Client>,
    topic: String,
    codec: Arc<Codec>,
    /// What tells this log from another one under the same name.
    log: OnceLock<Uuid>,
    partitions: Mutex<HashMap<i32, Arc<Partition>>>,
    stop: Arc<AtomicBool>,
}

/// A partition, once somebody has asked for it.
#[derive(Default)]
struct Partition {
    /// Rings when its queue is no longer empty.
    bell: Arc<Notify>,
    place: tokio::sync::Mutex<Place>,
}

/// How far reading has come.
#[derive(Default)]
struct Place {
    /// Filled by librdkafka, from `next` on. `None` = not assigned.
    queue: Option<PartitionQueue<DefaultConsumerContext>>,
    /// All records from here on are held or still to come.
    from: i64,
    /// First offset after those held.
    next: i64,
    held: VecDeque<Taken>,
    /// Came out of the queue and waits for its schema.
    waiting: Option<OwnedMessage>,
}

/// Why no more records are taken for now.
enum Halt {
    /// The queue is empty, or enough is held.
    Enough,
    /// The schema must be asked for first.
    Schema(u32),
    /// Something is wrong.
    Failed(PortError),
}

impl Reader {
    /// A reader that is assigned nothing yet.
    ///
    /// # Errors
    /// A property that librdkafka does not know.
    pub fn new(settings: &Settings, codec: Arc<Codec>) -> Result<Self, PortError> {
        let group = format!("{}.reader", settings.group);
        let defaults = [
            ("group.id", &*group),
            // A newly assigned partition waits for the fetch that is under way.
            ("fetch.wait.max.ms", "100"),
            ("fetch.queue.backoff.ms", "5"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        let fixed = [
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
            // An offset that is not there is never quietly replaced by another one.
            ("auto.offset.reset", "error"),
            ("enable.partition.eof", "false"),
        ];
        let client: Client = settings
            .client(&defaults, &fixed)
            .create()
            .map_err(|e| failure::kafka("connecting", &e))?;
        let (client, stop) = (Arc::new(client), Arc::new(AtomicBool::new(false)));
        serve(client.clone(), stop.clone());
        Ok(Self {
            client,
            topic: settings.events_topic.clone(),
            codec,
            log: OnceLock::new(),
            partitions: Mutex::default(),
            stop,
        })
    }

    fn partition(&self, partition: i32) -> Arc<Partition> {
        let mut all = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(partition).or_default().clone()
    }

    /// Up to `max` records from `offset` on; see the port.
    pub async fn take(
        &self,
        partition: i32,
        offset: i64,
        max: usize,
    ) -> Result<Vec<Taken>, PortError> {
        let log = self.log().await?;
        let shared = self.partition(partition);
        let mut place = shared.place.lock().await;
        if !place.covers(offset) {
            self.open(partition, offset, &shared, &mut place).await?;
        }
        place.drop_before(offset);
        loop {
            let halt = place.fill(&self.codec, log, max);
            let error = match halt {
                Halt::Enough => return Ok(place.first(max)),
                Halt::Schema(id) => {
                    let codec = self.codec.clone();
                    match blocking(move || codec.fetch(id)).await? {
                        Ok(()) => continue,
                        Err(error) => failure::codec(error),
                    }
                }
                Halt::Failed(error) => error,
            };
            // What came before it can be decided meanwhile.
            return if place.held.is_empty() { Err(error) } else { Ok(place.first(max)) };
        }
    }

    /// Returns when there may be records at or after `offset`.
    pub async fn ready(&self, partition: i32, offset: i64) {
        let shared = self.partition(partition);
        let held = shared.place.lock().await.held.back().map(|taken| taken.offset);
        if held.is_none_or(|held| held < offset) {
            // The bell keeps one ring for who comes late.
            _ = tokio::time::timeout(READY_MAX, shared.bell.notified()).await;
        }
    }

    /// First offset that there is, and the first after the last.
    pub async fn bounds(&self, partition: i32) -> Result<(i64, i64), PortError> {
        let (client, topic) = (self.client.clone(), self.topic.clone());
        let asked =
            blocking(move || client.fetch_watermarks(&topic, partition, ANSWER_MAX)).await?;
        asked.map_err(|e| failure::kafka(&format!("asking for {}:{partition}", self.topic), &e))
    }

    /// Asks whether Kafka answers and has the topic.
    pub async fn ping(&self) -> Result<(), PortError> {
        let (client, topic) = (self.client.clone(), self.topic.clone());
        blocking(move || topics::partitions(client.client(), &topic).map(|_| ())).await?
    }

    /// Compares the log with a position; see the port.
    pub async fn verify(&self, partition: i32, position: Position) -> Result<(), PortError> {
        let (first, end) = self.bounds(partition).await?;
        let (name, next) = (format!("{}:{partition}", self.topic), position.next_offset);
        if next > end {
            return Err(failure::corrupt(format!(
                "{name} ends at offset {end}, before the position {next} that is stored: the topic \
                 was made anew or cut short, or this is another cluster"
            )));
        }
        if next < first {
            return Err(failure::corrupt(format!(
                "the records {next} to {} of {name} are gone before they were decided: its \
                 retention is too short",
                first - 1
            )));
        }
        let Some(mark) = position.mark else { return Ok(()) };
        let is_same = match self.log().await? == mark.log {
            true if next > first => {
                let before = self.first_from(partition, next - 1).await?;
                before.is_some_and(|taken| taken.offset == next - 1 && taken.mark == Some(mark))
            }
            is_same => is_same,
        };
        if is_same {
            return Ok(());
        }
        Err(failure::corrupt(format!(
            "the record before the position {next} of {name} is not the one that was decided: the \
             topic was made anew, or this is another cluster"
        )))
    }

    /// The first record from an offset on, if it comes in time.
    async fn first_from(&self, partition: i32, offset: i64) -> Result<Option<Taken>, PortError> {
        let look = async {
            loop {
                if let Some(first) = self.take(partition, offset, 1).await?.pop() {
                    return Ok(first);
                }
                self.ready(partition, offset).await;
            }
        };
        match tokio::time::timeout(ANSWER_MAX, look).await {
            Ok(first) => first.map(Some),
            Err(_) => {
                let what = format!("{}:{partition} gives no record {offset}", self.topic);
                Err(failure::unavailable(what))
            }
        }
    }

    /// Assigns a partition from an offset on, whatever was there before.
    async fn open(
        &self,
        partition: i32,
        offset: i64,
        shared: &Partition,
        place: &mut Place,
    ) -> Result<(), PortError> {
        *place = Place { from: offset, next: offset, ..Place::default() };
        let (client, topic, bell) = (self.client.clone(), self.topic.clone(), shared.bell.clone());
        let assign = move || {
            unassign(&client, &topic, partition)?;
            // Its queue first, so that no record goes to the queue of all.
            let queue = client.split_partition_queue(&topic, partition).map(|mut queue| {
                queue.set_nonempty_callback(move || bell.notify_one());
                queue
            });
            let mut list = TopicPartitionList::new();
            list.add_partition_offset(&topic, partition, Offset::Offset(offset))?;
            client.incremental_assign(&list)?;
            Ok(queue)
        };
        let opened = blocking(assign).await?;
        let what = format!("reading {}:{partition} from {offset}", self.topic);
        place.queue = opened.map_err(|e| failure::kafka(&what, &e))?;
        match place.queue {
            Some(_) => Ok(()),
            None => Err(failure::unavailable(format!("Kafka: {what}: no queue"))),
        }
    }

    /// Lets go of a partition that is decided elsewhere now.
    pub async fn close(&self, partition: i32) {
        let shared = self.partition(partition);
        let mut place = shared.place.lock().await;
        if place.queue.take().is_some() {
            *place = Place::default();
            let (client, topic) = (self.client.clone(), self.topic.clone());
            let unassign = move || unassign(&client, &topic, partition);
            if let Ok(Err(error)) = blocking(unassign).await {
                tracing::warn!(partition, %error, "a partition could not be let go");
            }
        }
    }

    /// The id of the log, derived from the cluster's id and the topic's name.
    async fn log(&self) -> Result<Uuid, PortError> {
        if let Some(log) = self.log.get() {
            return Ok(*log);
        }
        let client = self.client.clone();
        let cluster = blocking(move || client.client().fetch_cluster_id(ANSWER_MAX)).await?;
        let cluster =
            cluster.ok_or_else(|| failure::unavailable("Kafka gives no answer".to_owned()))?;
        let parts = [b"log", cluster.as_bytes(), self.topic.as_bytes()];
        Ok(*self.log.get_or_init(|| Uuid::new_v8(hash_parts(&parts))))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Place {
    fn covers(&self, offset: i64) -> bool {
        self.queue.is_some() && (self.from..=self.next).contains(&offset)
    }

    fn drop_before(&mut self, offset: i64) {
        while self.held.front().is_some_and(|taken| taken.offset < offset) {
            self.held.pop_front();
        }
        self.from = offset;
    }

    /// The first `max` of those held, at most [`TAKE_BYTES_MAX`] of them, but one at least.
    fn first(&self, max: usize) -> Vec<Taken> {
        let mut bytes = 0;
        let fits = |taken: &&Taken| {
            let before = bytes;
            bytes += weight(taken);
            before == 0 || bytes <= TAKE_BYTES_MAX
        };
        self.held.iter().take(max).take_while(fits).cloned().collect()
    }

    /// Takes what is in the queue, until `max` are held.
    fn fill(&mut self, codec: &Codec, log: Uuid, max: usize) -> Halt {
        let mut bytes: usize = self.held.iter().map(weight).sum();
        while self.held.len() < max && bytes < TAKE_BYTES_MAX {
            let taken = if let Some(message) = &self.waiting {
                record::taken(message, log, codec)
            } else {
                let Some(queue) = &self.queue else { return Halt::Enough };
                match queue.poll(Duration::ZERO) {
                    None => return Halt::Enough,
                    Some(Ok(message)) if message.offset() < self.next => continue,
                    Some(Ok(message)) => {
                        let taken = record::taken(&message, log, codec);
                        if let Err(CodecError::Unknown(_)) = taken {
                            self.waiting = Some(message.detach());
                        }
                        taken
                    }
                    Some(Err(error)) => {
                        // Reading begins anew at the next call.
                        let gone = is_out_of_range(&error);
                        let what = format!("reading from {} on", self.next);
                        self.queue = None;
                        return Halt::Failed(match gone {
                            true => failure::corrupt(format!("Kafka: {what}: {error}")),
                            false => failure::kafka(&what, &error),
                        });
                    }
                }
            };
            let taken = match taken {
                Ok(taken) => taken,
                Err(CodecError::Unknown(id)) => return Halt::Schema(id),
                Err(error) => return Halt::Failed(failure::codec(error)),
            };
            self.waiting = None;
            self.next = taken.offset + 1;
            bytes += weight(&taken);
            self.held.push_back(taken);
        }
        Halt::Enough
    }
}

/// Lets go of a partition, if the client has it: a call that was given up may have left it behind.
fn unassign(client: &Client, topic: &str, partition: i32) -> KafkaResult<()> {
    if client.assignment()?.find_partition(topic, partition).is_none() {
        return Ok(());
    }
    let mut list = TopicPartitionList::new();
    list.add_partition(topic, partition);
    client.incremental_unassign(&list)
}

fn weight(taken: &Taken) -> usize {
    match &taken.body {
        Body::Admitted(record) => record.event.payload.len(),
        Body::Offered(offered) => offered.raw.len(),
        Body::Unreadable(Unreadable { raw, .. }) => raw.len(),
    }
}

/// Serves the client's events until told to stop. Records go to queues of their own.
fn serve(client: Arc<Client>, stop: Arc<AtomicBool>) {
    let run = move || {
        while !stop.load(Ordering::Relaxed) {
            if let Some(Err(error)) = client.poll(SERVE) {
                tracing::debug!(%error, "Kafka");
            }
        }
    };
    let started = std::thread::Builder::new().name("kafka-reader".to_owned()).spawn(run);
    if let Err(error) = started {
        tracing::error!(%error, "no thread for Kafka's events");
    }
}
