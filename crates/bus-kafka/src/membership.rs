//! Which partitions this process is to decide: a member of the group that reads nothing itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use engine::ports::PortError;
use rdkafka::ClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::watch;

use crate::failure;
use crate::settings::Settings;

/// How often the group is told how far we are, for those who watch its lag.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// How long the group's events may lie unserved.
const SERVE: Duration = Duration::from_millis(100);

/// A member of the group.
pub struct Membership {
    assigned: watch::Receiver<BTreeSet<i32>>,
    /// Offset of the next record to decide, by partition.
    reached: Arc<Mutex<BTreeMap<i32, i64>>>,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// What the group tells.
struct Assignment {
    topic: String,
    assigned: watch::Sender<BTreeSet<i32>>,
}

impl ClientContext for Assignment {}

impl ConsumerContext for Assignment {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            let gone = self.partitions(list);
            tracing::info!(topic = self.topic, partitions = ?gone, "partitions go");
            self.assigned.send_modify(|assigned| assigned.retain(|p| !gone.contains(p)));
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Rebalance::Assign(list) = rebalance else { return };
        // The member never reads: that is the reader's, from the position of the store.
        if let Err(error) = consumer.pause(list) {
            tracing::warn!(%error, "the group's member could not be paused");
        }
        let come = self.partitions(list);
        tracing::info!(topic = self.topic, partitions = ?come, "partitions come");
        self.assigned.send_modify(|assigned| assigned.extend(come));
    }
}

impl Assignment {
    fn partitions(&self, list: &TopicPartitionList) -> BTreeSet<i32> {
        list.elements_for_topic(&self.topic).iter().map(|e| e.partition()).collect()
    }
}

impl Membership {
    /// Joins the group.
    ///
    /// # Errors
    /// A property that librdkafka does not know.
    pub fn join(settings: &Settings) -> Result<Self, PortError> {
        let defaults = [
            // A process that was killed is missed after this long.
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "1000"),
            ("auto.offset.reset", "latest"),
        ];
        let fixed = [
            ("group.id", &*settings.group),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("enable.auto.commit", "false"),
            ("enable.auto.offset.store", "false"),
        ];
        let (sender, assigned) = watch::channel(BTreeSet::new());
        let context = Assignment { topic: settings.events_topic.clone(), assigned: sender };
        let consumer: BaseConsumer<Assignment> = settings
            .client(&defaults, &fixed)
            .create_with_context(context)
            .map_err(|e| failure::kafka("connecting", &e))?;
        consumer
            .subscribe(&[&settings.events_topic])
            .map_err(|e| failure::kafka("joining the group", &e))?;
        let (reached, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let thread = std::thread::Builder::new().name("kafka-member".to_owned()).spawn({
            let (reached, stop) = (Arc::clone(&reached), Arc::clone(&stop));
            move || attend(&consumer, &reached, &stop)
        });
        let thread = thread.map_err(|e| failure::unavailable(format!("no thread: {e}")))?;
        Ok(Self { assigned, reached, stop, thread: Mutex::new(Some(thread)) })
    }

    /// The partitions, as they come and go.
    pub fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        self.assigned.clone()
    }

    /// Notes how far a partition is decided.
    pub fn reached(&self, partition: i32, offset: i64) {
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.insert(partition, offset);
    }

    /// Leaves the group, so that others need not wait for the session to time out. Returns when it
    /// is left.
    pub fn leave(&self) {
        self.stop.store(true, Ordering::Relaxed);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            _ = thread.join();
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.leave();
    }
}

fn attend(
    consumer: &BaseConsumer<Assignment>,
    reached: &Mutex<BTreeMap<i32, i64>>,
    stop: &AtomicBool,
) {
    let mut told = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        // A record that was fetched before the pause is nobody's business here.
        if let Some(Err(error)) = consumer.poll(SERVE) {
            tracing::debug!(%error, "the group's member");
        }
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            tell(consumer, reached);
        }
    }
    tell(consumer, reached);
}

/// Commits how far we are. Nothing hangs on it.
fn tell(consumer: &BaseConsumer<Assignment>, reached: &Mutex<BTreeMap<i32, i64>>) {
    let Assignment { topic, assigned } = &**consumer.context();
    let reached = reached.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let mut list = TopicPartitionList::new();
    for (partition, offset) in reached {
        let is_ours = assigned.borrow().contains(&partition);
        if is_ours && list.add_partition_offset(topic, partition, Offset::Offset(offset)).is_err() {
            return;
        }
    }
    if list.count() > 0
        && let Err(error) = consumer.commit(&list, CommitMode::Async)
    {
        tracing::debug!(%error, "the group was not told how far we are");
    }
}
