//! The bus of the ports, over Kafka.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use engine::ports::{Appended, Bus, IncentiveEvent, NewRecord, PortError, PortFuture, Position};
use engine::record::Taken;
use tokio::sync::watch;

use crate::avro::known::{ACTION_EVENT, INCENTIVE_EVENT, Versions};
use crate::avro::{Codec, Registry, action, incentive};
use crate::failure::{self, blocking};
use crate::headers;
use crate::membership::Membership;
use crate::producer::{Outgoing, Producer};
use crate::reader::Reader;
use crate::settings::Settings;

/// How long an event may take to be acknowledged: who sent it waits for the answer.
const APPEND_MAX: Duration = Duration::from_secs(15);

/// The log of events and the announcements of incentives, on Kafka.
///
/// It takes whatever lies in `tenant-events`, whoever wrote it, and knows no tenant: each record is
/// offered, and admitted by the decision. Append times are the broker's.
pub struct KafkaBus {
    events: Producer,
    event_codec: Arc<Codec>,
    incentives: Producer,
    incentive_codec: Arc<Codec>,
    reader: Reader,
    /// `None` for a process that only writes: it is assigned nothing.
    membership: Option<Membership>,
    nothing: watch::Sender<BTreeSet<i32>>,
}

/// The codec of a topic.
pub(crate) fn codec(
    settings: &Settings,
    topic: &str,
    versions: Versions,
) -> Result<Arc<Codec>, PortError> {
    let registry = settings.registry.clone().map(Registry::new);
    Codec::new(topic, versions, registry).map(Arc::new).map_err(failure::codec)
}

impl KafkaBus {
    /// For a process that writes and reads, but decides no partition.
    ///
    /// # Errors
    /// `Unavailable`: Kafka gives no answer, or has not both topics; says how to make them.
    pub async fn connect(settings: &Settings) -> Result<Self, PortError> {
        let events = Producer::bounded(settings, &settings.events_topic, APPEND_MAX)?;
        let incentives = Producer::gapless(settings, &settings.incentives_topic)?;
        let event_codec = codec(settings, &settings.events_topic, ACTION_EVENT)?;
        let incentive_codec = codec(settings, &settings.incentives_topic, INCENTIVE_EVENT)?;
        let reader = Reader::new(settings, event_codec.clone())?;
        let (events, incentives) = blocking(move || {
            events.partitions()?;
            incentives.partitions()?;
            Ok::<_, PortError>((events, incentives))
        })
        .await??;
        let (membership, nothing) = (None, watch::Sender::new(BTreeSet::new()));
        Ok(Self { events, event_codec, incentives, incentive_codec, reader, membership, nothing })
    }

    /// For a process that also decides: it shares the partitions with the others of its group.
    ///
    /// # Errors
    /// As [`Self::connect`].
    pub async fn join(settings: &Settings) -> Result<Self, PortError> {
        let mut bus = Self::connect(settings).await?;
        bus.membership = Some(Membership::join(settings)?);
        Ok(bus)
    }

    /// Asks whether Kafka answers and has the topic of events.
    ///
    /// # Errors
    /// `Unavailable`: what is wrong.
    pub async fn ping(&self) -> Result<(), PortError> {
        self.reader.ping().await
    }

    /// Leaves the group, so that others need not wait for our session to time out. Nothing is
    /// assigned to us any more. Blocks for a moment.
    pub fn leave(&self) {
        if let Some(membership) = &self.membership {
            membership.leave();
        }
    }

    async fn appended(&self, records: Vec<NewRecord>) -> Result<Vec<Appended>, PortError> {
        registered(&self.event_codec, ACTION_EVENT).await?;
        let outgoing = |NewRecord { event, kind, content_hash }: NewRecord| {
            let value = action::encode(&self.event_codec, &event).map_err(failure::codec)?;
            let headers = headers::of_event(kind, &content_hash);
            Ok(Outgoing { key: event.tenant_id.to_string(), value, headers })
        };
        let values: Result<Vec<_>, PortError> = records.into_iter().map(outgoing).collect();
        let delivered = self.events.send(values?).await?;
        Ok(delivered.iter().map(|d| Appended::Accepted { offset: d.offset }).collect())
    }

    async fn announced(&self, partition: i32, events: &[IncentiveEvent]) -> Result<(), PortError> {
        registered(&self.incentive_codec, INCENTIVE_EVENT).await?;
        let outgoing = |event: &IncentiveEvent| {
            let incentive = &event.incentive;
            let value =
                incentive::encode(&self.incentive_codec, incentive).map_err(failure::codec)?;
            let headers = headers::of_incentive(partition, event);
            Ok(Outgoing { key: incentive.user_ref.to_string(), value, headers })
        };
        let values: Result<Vec<_>, PortError> = events.iter().map(outgoing).collect();
        self.incentives.send(values?).await.map(|_| ())
    }
}

/// Makes sure that the registry, if there is one, has our schema.
async fn registered(codec: &Arc<Codec>, versions: Versions) -> Result<(), PortError> {
    if codec.is_registered() {
        return Ok(());
    }
    let codec = codec.clone();
    blocking(move || codec.register(versions)).await?.map_err(failure::codec)
}

impl Bus for KafkaBus {
    fn append<'a>(&'a self, records: Vec<NewRecord>) -> PortFuture<'a, Vec<Appended>> {
        Box::pin(self.appended(records))
    }

    fn take<'a>(&'a self, partition: i32, offset: i64, max: usize) -> PortFuture<'a, Vec<Taken>> {
        Box::pin(async move {
            if let Some(membership) = &self.membership {
                if !membership.assigned().borrow().contains(&partition) {
                    self.reader.close(partition).await;
                    return Ok(Vec::new());
                }
                membership.reached(partition, offset);
            }
            self.reader.take(partition, offset, max).await
        })
    }

    fn ready<'a>(&'a self, partition: i32, offset: i64) -> PortFuture<'a, ()> {
        Box::pin(async move {
            self.reader.ready(partition, offset).await;
            Ok(())
        })
    }

    fn end<'a>(&'a self, partition: i32) -> PortFuture<'a, i64> {
        Box::pin(async move { Ok(self.reader.bounds(partition).await?.1) })
    }

    fn verify<'a>(&'a self, partition: i32, position: Position) -> PortFuture<'a, ()> {
        Box::pin(self.reader.verify(partition, position))
    }

    fn assigned(&self) -> watch::Receiver<BTreeSet<i32>> {
        match &self.membership {
            Some(membership) => membership.assigned(),
            None => self.nothing.subscribe(),
        }
    }

    fn publish<'a>(&'a self, partition: i32, events: &'a [IncentiveEvent]) -> PortFuture<'a, ()> {
        Box::pin(self.announced(partition, events))
    }
}
