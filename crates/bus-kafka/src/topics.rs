//! The topics: made on purpose, and checked before anything is begun.

use std::time::{Duration, Instant};

use engine::ports::{PortError, PortErrorKind};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::{Client, ClientContext, DefaultClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use crate::failure::{self, blocking};
use crate::settings::Settings;

/// How long one question to the cluster may take.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long a topic that is being made is waited for before looking again.
const PAUSE: Duration = Duration::from_millis(20);

/// How the topics are made.
#[derive(Clone, Copy, Debug)]
pub struct TopicPlan {
    /// Partitions of each: the most processes that can decide at the same time.
    pub partitions: i32,
    /// Copies of each partition; with 3, two must have a record before it is acknowledged.
    pub replication: i32,
    /// How long records are kept, in hours.
    pub retention_hours: u32,
}

impl Default for TopicPlan {
    fn default() -> Self {
        Self { partitions: 12, replication: 3, retention_hours: 7 * 24 }
    }
}

/// Where the connectors of `deploy/debezium` tell that they live: `__debezium-heartbeat.` and their
/// prefix.
pub const HEARTBEAT_TOPICS: [&str; 2] =
    ["__debezium-heartbeat.cdc_analytics", "__debezium-heartbeat.cdc_aggregator"];
/// How long a heartbeat is kept.
const HEARTBEATS_MS: &str = "3600000";

/// Makes the topics where they are missing; leaves them alone where they are there. When it
/// returns, they can be written to.
///
/// # Errors
/// The cluster cannot be reached, or does not let us.
pub async fn create(settings: &Settings, plan: TopicPlan) -> Result<(), PortError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.client(&[], &[]).create().map_err(|e| failure::kafka("connecting", &e))?;
    let copies = if plan.replication >= 3 { "2" } else { "1" };
    let retention = (u64::from(plan.retention_hours) * 3_600_000).to_string();
    let topic = |name| {
        NewTopic::new(name, plan.partitions, TopicReplication::Fixed(plan.replication))
            // Producers' clocks decide nothing.
            .set("message.timestamp.type", "LogAppendTime")
            .set("min.insync.replicas", copies)
            .set("unclean.leader.election.enable", "false")
            .set("cleanup.policy", "delete")
            .set("retention.ms", &retention)
    };
    let names = all(settings);
    let heartbeats = HEARTBEAT_TOPICS.map(|name| {
        NewTopic::new(name, 1, TopicReplication::Fixed(plan.replication))
            .set("retention.ms", HEARTBEATS_MS)
    });
    let topics: Vec<_> = names.iter().map(|name| topic(name)).chain(heartbeats).collect();
    let options = AdminOptions::new().operation_timeout(Some(ANSWER_MAX));
    let results = admin.create_topics(&topics, &options).await;
    for result in results.map_err(|e| failure::kafka("creating topics", &e))? {
        match result {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                return Err(failure::unavailable(format!("creating the topic {topic}: {code}")));
            }
        }
    }
    blocking(move || names.iter().try_for_each(|name| until_seen(admin.inner(), name))).await?
}

/// The topics by their names: events, announcements, and the two of captured changes.
pub fn all(settings: &Settings) -> [String; 4] {
    [
        &settings.events_topic,
        &settings.incentives_topic,
        &settings.analytics_topic,
        &settings.aggregates_topic,
    ]
    .map(String::clone)
}

/// What a topic is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicState {
    /// Its name.
    pub name: String,
    /// Its partitions.
    pub partitions: i32,
    /// Whose time its records have: `LogAppendTime` or `CreateTime`; `None` = we may not know.
    pub time: Option<String>,
}

/// What the group of the deciding processes is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupState {
    /// What the broker calls its state: `Stable`, `PreparingRebalance`.
    pub state: String,
    /// Processes in it.
    pub members: usize,
}

/// Looks at both topics and at the group.
///
/// # Errors
/// The cluster cannot be reached, or lacks a topic.
pub async fn examine(settings: &Settings) -> Result<(Vec<TopicState>, GroupState), PortError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.client(&[], &[]).create().map_err(|e| failure::kafka("connecting", &e))?;
    let names = [settings.events_topic.clone(), settings.incentives_topic.clone()];
    let wanted: Vec<_> = names.iter().map(|name| ResourceSpecifier::Topic(name)).collect();
    let options = AdminOptions::new().request_timeout(Some(ANSWER_MAX));
    let described = admin.describe_configs(&wanted, &options).await;
    let described = described.map_err(|e| failure::kafka("asking for the topics", &e))?;
    let times: Vec<Option<String>> = described
        .into_iter()
        .map(|topic| topic.ok()?.get("message.timestamp.type")?.value.clone())
        .collect();
    let group = settings.group.clone();
    blocking(move || -> Result<_, PortError> {
        let topics = names.into_iter().zip(times).map(|(name, time)| {
            let partitions = partitions(admin.inner(), &name)?;
            Ok::<_, PortError>(TopicState { name, partitions, time })
        });
        let topics = topics.collect::<Result<Vec<_>, PortError>>()?;
        let groups = admin.inner().fetch_group_list(Some(&group), ANSWER_MAX);
        let groups = groups.map_err(|e| failure::kafka("asking for the group", &e))?;
        let found = groups.groups().iter().find(|found| found.name() == group);
        let group = found.map_or(GroupState { state: "Empty".to_owned(), members: 0 }, |found| {
            GroupState { state: found.state().to_owned(), members: found.members().len() }
        });
        Ok((topics, group))
    })
    .await?
}

/// The number of partitions of a topic.
///
/// # Errors
/// `Unavailable`: the cluster gives no answer, or there is no such topic; says how to make it.
pub async fn partitions_of(settings: &Settings, topic: &str) -> Result<i32, PortError> {
    let admin: AdminClient<DefaultClientContext> =
        settings.client(&[], &[]).create().map_err(|e| failure::kafka("connecting", &e))?;
    let topic = topic.to_owned();
    blocking(move || partitions(admin.inner(), &topic)).await?
}

/// Waits until a topic that was made is known to the broker that answers: it is told a little
/// later than the one that made it. Blocks.
fn until_seen<C: ClientContext>(client: &Client<C>, topic: &str) -> Result<(), PortError> {
    let begun = Instant::now();
    loop {
        match partitions(client, topic) {
            Err(_) if begun.elapsed() < ANSWER_MAX => std::thread::sleep(PAUSE),
            seen => return seen.map(|_| ()),
        }
    }
}

/// The number of partitions of a topic. Blocks.
///
/// # Errors
/// `Unavailable`: the cluster gives no answer, or there is no such topic; says how to make it.
pub(crate) fn partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
) -> Result<i32, PortError> {
    let asked = client.fetch_metadata(Some(topic), ANSWER_MAX);
    let metadata = asked.map_err(|e| failure::kafka("asking for the topics", &e))?;
    let found = metadata.topics().iter().find(|t| t.name() == topic);
    let missing = || PortError {
        kind: PortErrorKind::Unavailable,
        message: format!(
            "Kafka has no topic {topic}, or does not let us see it; topics are made on purpose: \
             run `incent topics create`, or make it with message.timestamp.type=LogAppendTime"
        ),
    };
    let found = found.filter(|t| t.error().is_none() && !t.partitions().is_empty());
    found.and_then(|t| i32::try_from(t.partitions().len()).ok()).ok_or_else(missing)
}

/// True when an error says that records from the wanted offset on are gone.
pub(crate) fn is_out_of_range(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::OffsetOutOfRange | RDKafkaErrorCode::AutoOffsetReset)
    )
}
