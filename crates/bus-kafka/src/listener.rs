//! Follows the whole of `incentive-generated` and tells this process about it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::ports::{Announce, IncentiveEvent, Place, PortError};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::avro::known::INCENTIVE_EVENT;
use crate::avro::{Codec, CodecError, incentive};
use crate::bus::codec;
use crate::failure::{self, blocking};
use crate::headers;
use crate::settings::Settings;
use crate::topics::{self, ANSWER_MAX};

/// Announcements told at once.
const TELL_MAX: usize = 500;
/// How long nothing new is waited for before looking whether to stop.
const POLL: Duration = Duration::from_millis(100);
/// Pause before the schema registry is asked again.
const PAUSE: Duration = Duration::from_millis(500);

/// Follows `incentive-generated` until it is dropped. Every instance reads all of it; who is
/// interested in which user is the hub's business, and what was published before is in the store.
pub struct Listener {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Listener {
    /// Begins. When it returns, everything published from now on will be announced, once per place
    /// unless the process starts anew.
    ///
    /// # Errors
    /// `Unavailable`: Kafka gives no answer, or has no such topic.
    pub async fn start(settings: &Settings, hub: Arc<dyn Announce>) -> Result<Self, PortError> {
        let topic = settings.incentives_topic.clone();
        let codec = codec(settings, &topic, INCENTIVE_EVENT)?;
        let group = format!("{}.listener", settings.group);
        let defaults = [
            ("group.id", &*group),
            ("fetch.wait.max.ms", "100"),
            ("fetch.queue.backoff.ms", "5"),
            ("queued.max.messages.kbytes", "16384"),
        ];
        // Announcements that retention took before they were read are in the store.
        let fixed = [("enable.auto.commit", "false"), ("auto.offset.reset", "earliest")];
        let consumer: BaseConsumer = settings
            .client(&defaults, &fixed)
            .create()
            .map_err(|e| failure::kafka("connecting", &e))?;
        let consumer = blocking(move || assign_at_end(consumer, &topic)).await??;
        let stop = Arc::new(AtomicBool::new(false));
        let follow = Follow { consumer, codec, hub, last: HashMap::new() };
        let thread = std::thread::Builder::new().name("kafka-listener".to_owned()).spawn({
            let stop = stop.clone();
            move || follow.run(&stop)
        });
        let thread = thread.map_err(|e| failure::unavailable(format!("no thread: {e}")))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}

/// All partitions, each from the end that it has now: a fixed offset, so that nothing published
/// after this call is missed however late the first fetch comes.
fn assign_at_end(consumer: BaseConsumer, topic: &str) -> Result<BaseConsumer, PortError> {
    let mut list = TopicPartitionList::new();
    for partition in 0..topics::partitions(consumer.client(), topic)? {
        let failed = |e| failure::kafka(&format!("following {topic}:{partition}"), &e);
        let (_, end) = consumer.fetch_watermarks(topic, partition, ANSWER_MAX).map_err(failed)?;
        list.add_partition_offset(topic, partition, Offset::Offset(end)).map_err(failed)?;
    }
    let failed = |e| failure::kafka(&format!("following {topic}"), &e);
    consumer.assign(&list).map_err(failed)?;
    Ok(consumer)
}

struct Follow {
    consumer: BaseConsumer,
    codec: Arc<Codec>,
    hub: Arc<dyn Announce>,
    /// The last place told, by (partition here, source partition): the relay may publish twice.
    last: HashMap<(i32, i32), Place>,
}

impl Follow {
    fn run(mut self, stop: &AtomicBool) {
        let mut events = Vec::with_capacity(TELL_MAX);
        while !stop.load(Ordering::Relaxed) {
            // Waits for the first, takes what is there of the rest.
            let mut wait = POLL;
            while events.len() < TELL_MAX {
                match self.consumer.poll(wait) {
                    None => break,
                    Some(Ok(message)) => {
                        let event = read(&self.codec, &message, stop);
                        events.extend(event.filter(|e| is_new(&mut self.last, &message, e.1)));
                    }
                    Some(Err(error)) => tracing::debug!(%error, "following the announcements"),
                }
                wait = Duration::ZERO;
            }
            let told: Vec<IncentiveEvent> = events.drain(..).map(|(event, _)| event).collect();
            if !told.is_empty() {
                self.hub.announce(&told);
            }
        }
    }
}

/// An announcement and its source partition. One that cannot be read is told to the operator: its
/// user finds it in the store.
fn read(
    codec: &Codec,
    message: &BorrowedMessage<'_>,
    stop: &AtomicBool,
) -> Option<(IncentiveEvent, i32)> {
    let value = message.payload().unwrap_or_default();
    let place = headers::place(message);
    loop {
        let why = match (incentive::decode(codec, value), place) {
            (Ok(incentive), Some((source, place))) => {
                return Some((IncentiveEvent { incentive: Arc::new(incentive), place }, source));
            }
            (Ok(_), None) => "it has no place in the order of publication".to_owned(),
            (Err(CodecError::Unknown(id)), _) => match codec.fetch(id) {
                Ok(()) => continue,
                Err(error) if stop.load(Ordering::Relaxed) => error.to_string(),
                Err(error) => {
                    tracing::warn!(%error, "an announcement waits for its schema");
                    std::thread::sleep(PAUSE);
                    continue;
                }
            },
            (Err(error), _) => error.to_string(),
        };
        let (partition, offset) = (message.partition(), message.offset());
        tracing::error!(partition, offset, why, "an announcement is not passed on");
        return None;
    }
}

fn is_new(
    last: &mut HashMap<(i32, i32), Place>,
    message: &BorrowedMessage<'_>,
    source: i32,
) -> bool {
    let Some((_, place)) = headers::place(message) else { return false };
    let last = last.entry((message.partition(), source)).or_insert(Place::BEFORE_ALL);
    let is_new = place > *last;
    *last = place.max(*last);
    is_new
}
