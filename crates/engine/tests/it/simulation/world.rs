//! What outlives every process: the log, the store, the topic of announcements, and the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::config::{TenantConfig, TenantMode};
use domain::decide::{Lane, Loaded, Needs};
use domain::event::RecordKind;
use domain::id::{EventKey, IncentiveId, TenantId, UserId};
use domain::incentive::Incentive;
use engine::ports::{
    BatchCommit, Committed, IncentiveEvent, Place, PortError, PortErrorKind, Position,
};
use engine::record::{Body, Offered, Taken, Unreadable};
use testkit::random::Random;
use testkit::reference::Setting;
use testkit::shelf::Shelf;
use testkit::world::{Size, TENANT};

use super::ports::Fate;

/// Faults of one world at most; when they are spent, all goes well and it comes to an end.
const FAULTS_MAX: u32 = 8;

domain::choice! {
    /// What keeps an effect from happening twice or on what is outdated. Each can be switched off,
    /// to show that it is needed. That an event id is written once is not among them: whoever has
    /// seen the tenant's lane as it is knows all ids, so it is a second line.
    pub enum Guard {
        /// A batch of an older epoch is refused.
        Epoch = "epoch",
        /// A batch that does not follow the position is refused.
        Position = "position",
        /// A batch decided under another configuration is refused.
        Configuration = "configuration",
        /// A batch whose tenant has moved on in another partition is refused.
        Lane = "lane",
    }
}

/// What happened to the tenant, in order.
pub enum Happening {
    Changed(Box<Setting>),
    Committed(Arc<BatchCommit>),
}

struct Partition {
    log: Vec<Taken>,
    epoch: i64,
    next_offset: i64,
    batch_seq: i64,
    published: Place,
    incentives: Vec<(Place, Arc<Incentive>)>,
    /// The topic, repeats included.
    topic: Vec<(Place, IncentiveId)>,
}

pub struct World {
    dice: Random,
    faults: u32,
    /// How often something of a kind came about.
    pub met: BTreeMap<String, u64>,
    pub guards: BTreeSet<Guard>,
    partitions: Vec<Partition>,
    setting: Setting,
    coming: Vec<Setting>,
    lane: Lane,
    event_ids: BTreeMap<(TenantId, EventKey), [u8; 16]>,
    pub shelf: Shelf,
    pub happened: Vec<Happening>,
    pub recorded: BTreeSet<IncentiveId>,
    /// The first thing that must not be.
    pub wrong: Option<String>,
}

impl World {
    pub fn random(seed: u64, guards: &[Guard]) -> Self {
        let mut dice = Random(seed);
        let size = Size {
            users: 1 + dice.below(4),
            campaigns: 1 + dice.below(3),
            records: 3 + dice.size(30),
        };
        let made = testkit::world::World::random(&mut dice, size);
        let is_replay = made.records.iter().any(|record| record.kind == RecordKind::Replay);
        let mut settings: Vec<_> = made.settings.into_iter().map(|(_, setting)| setting).collect();
        if is_replay {
            settings.iter_mut().for_each(|s| s.config.mode = TenantMode::Replay);
        }
        let setting = settings.remove(0);
        let logs = logs(&mut dice, made.records);
        let partition = |log| Partition {
            log,
            epoch: 0,
            next_offset: 0,
            batch_seq: 0,
            published: Place::BEFORE_ALL,
            incentives: Vec::new(),
            topic: Vec::new(),
        };
        Self {
            faults: 0,
            met: BTreeMap::new(),
            guards: guards.iter().copied().collect(),
            partitions: logs.into_iter().map(partition).collect(),
            happened: vec![Happening::Changed(Box::new(setting.clone()))],
            setting,
            coming: settings,
            lane: Lane::default(),
            event_ids: BTreeMap::new(),
            shelf: Shelf::default(),
            recorded: BTreeSet::new(),
            wrong: None,
            dice,
        }
    }

    pub fn partitions(&self) -> std::ops::Range<i32> {
        0..i32::try_from(self.partitions.len()).expect("a few")
    }

    pub fn dice(&mut self) -> &mut Random {
        &mut self.dice
    }

    pub fn meet(&mut self, what: &str) {
        *self.met.entry(what.to_owned()).or_default() += 1;
    }

    /// What befalls a call, and how long it takes before and after its effect.
    pub fn fate(&mut self, what: &str) -> (Fate, Duration, Duration) {
        let fate = match self.dice.below(60) {
            _ if self.faults >= FAULTS_MAX => Fate::Passes,
            0 => Fate::Fails,
            1 | 2 => Fate::AnswerLost,
            3 => Fate::DiesBefore,
            4 => Fate::DiesAfter,
            5 => Fate::Freezes,
            _ => Fate::Passes,
        };
        if fate != Fate::Passes {
            self.faults += 1;
            self.meet(&format!("{fate:?} {what}"));
        }
        // Most calls are quick, some are not.
        let mut time = || {
            let most = if self.dice.one_in(6) { 30_000 } else { 300 };
            Duration::from_micros(self.dice.below(most))
        };
        (fate, time(), time())
    }

    /// The next configuration comes into force, if there is one.
    pub fn change(&mut self) {
        if self.coming.is_empty() {
            return;
        }
        self.meet("change of the configuration");
        self.setting = self.coming.remove(0);
        self.happened.push(Happening::Changed(Box::new(self.setting.clone())));
    }

    pub fn config(&self, tenant: TenantId) -> Option<TenantConfig> {
        (tenant == TENANT).then(|| self.setting.config.clone())
    }

    /// True when everything is decided, published and recorded.
    pub fn is_over(&self) -> bool {
        let is_over = |p: &Partition| {
            let last = p.incentives.last().map_or(Place::BEFORE_ALL, |(place, _)| *place);
            p.log.last().is_none_or(|taken| taken.offset < p.next_offset) && p.published >= last
        };
        self.partitions.iter().all(is_over)
    }

    fn partition(&mut self, partition: i32) -> &mut Partition {
        &mut self.partitions[usize::try_from(partition).expect("a partition")]
    }

    fn guarded(&self, guard: Guard) -> bool {
        self.guards.contains(&guard)
    }

    fn must(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds && self.wrong.is_none() {
            self.wrong = Some(what());
        }
    }
}

/// What the ports do.
impl World {
    pub fn end(&mut self, partition: i32) -> i64 {
        self.partition(partition).log.last().map_or(0, |taken| taken.offset + 1)
    }

    pub fn take(&mut self, partition: i32, offset: i64, max: usize) -> Vec<Taken> {
        let most = 1 + self.dice.size(max);
        let log = &self.partition(partition).log;
        log.iter().filter(|taken| taken.offset >= offset).take(most).cloned().collect()
    }

    pub fn take_over(&mut self, partition: i32) -> Position {
        let p = self.partition(partition);
        p.epoch += 1;
        Position {
            epoch: p.epoch,
            next_offset: p.next_offset,
            batch_seq: p.batch_seq,
            published: p.published,
            mark: None,
        }
    }

    pub fn load(&mut self, needs: &Needs) -> Loaded {
        let mut loaded = self.shelf.load(needs, &self.setting.members);
        if needs.tenants.contains(&TENANT) {
            loaded.config_versions.insert(TENANT, self.setting.config.config_version);
            loaded.lanes.insert(TENANT, self.lane);
        }
        let known =
            needs.event_ids.iter().filter_map(|key| Some((*key, *self.event_ids.get(key)?)));
        loaded.event_ids = known.collect();
        loaded
    }

    pub fn commit(&mut self, batch: &Arc<BatchCommit>) -> Result<Committed, PortError> {
        if let Some(answer) = self.refuses(batch)? {
            self.meet(match answer {
                Committed::Overtaken { .. } => "an overtaken batch",
                Committed::Stale | Committed::Done => "a stale batch",
            });
            return Ok(answer);
        }
        for write in &batch.states {
            let attributes = write.attributes.as_deref();
            let version = match self.guards.len() == Guard::ALL.len() {
                true => write.expected_version,
                // Without a guard two may write over each other.
                false => self.shelf.version(write.user),
            };
            self.shelf.write_user((write.user, version), &write.state, attributes);
        }
        self.shelf.write_usage(&batch.usage);
        self.shelf.write_marks(&batch.marks);
        for (tenant, moved) in &batch.lanes {
            assert_eq!(*tenant, TENANT);
            self.lane = Lane { append_time: moved.to, version: moved.from.version + 1 };
        }
        for write in &batch.events {
            let key = (write.record.event.tenant_id, write.key);
            let known = self.event_ids.insert(key, write.content_hash);
            self.must(known.is_none(), || {
                format!("{} is decided twice", write.record.event.event_id)
            });
        }
        let p = self.partition(batch.partition);
        (p.next_offset, p.batch_seq) = (batch.offset_to, batch.batch_seq);
        let places = (0..).map(|ordinal| Place { batch_seq: batch.batch_seq, ordinal });
        p.incentives.extend(places.zip(batch.incentives.iter().cloned()));
        self.happened.push(Happening::Committed(batch.clone()));
        Ok(Committed::Done)
    }

    fn refuses(&mut self, batch: &BatchCommit) -> Result<Option<Committed>, PortError> {
        let (epoch, position) = (self.guarded(Guard::Epoch), self.guarded(Guard::Position));
        let p = self.partition(batch.partition);
        let (next_offset, batch_seq) = (p.next_offset, p.batch_seq);
        if epoch && p.epoch != batch.epoch {
            self.meet("a batch of an old owner");
            let message = "taken over".to_owned();
            return Err(PortError { kind: PortErrorKind::Fenced, message });
        }
        if position {
            if batch_seq == batch.batch_seq && next_offset > batch.offset_from {
                return Ok(Some(Committed::Overtaken { next_offset, batch_seq }));
            }
            let follows = (next_offset, batch_seq + 1) == (batch.offset_from, batch.batch_seq);
            let from = batch.offset_from;
            // Where old owners are let in, theirs do not follow.
            self.must(follows || !epoch, || format!("a batch from {from} on {next_offset}"));
            if !follows {
                return Ok(Some(Committed::Stale));
            }
        }
        let version = self.setting.config.config_version;
        let same_version = batch.config_versions.get(&TENANT).is_none_or(|v| *v == version);
        let same_lane = batch.lanes.get(&TENANT).is_none_or(|moved| moved.from == self.lane);
        let stale = (!same_version && self.guarded(Guard::Configuration))
            || (!same_lane && self.guarded(Guard::Lane));
        Ok(stale.then_some(Committed::Stale))
    }

    pub fn unpublished(&mut self, partition: i32, after: Place, max: usize) -> Vec<IncentiveEvent> {
        let incentives = self.partition(partition).incentives.iter();
        let after = incentives.filter(|(place, _)| *place > after).take(max);
        let event = |(place, i): &(Place, Arc<Incentive>)| IncentiveEvent {
            incentive: i.clone(),
            place: *place,
        };
        after.map(event).collect()
    }

    pub fn publish(&mut self, partition: i32, events: &[IncentiveEvent]) {
        for event in events {
            let p = self.partition(partition);
            let id = event.incentive.id;
            p.topic.push((event.place, id));
            let is_there = p.incentives.iter().any(|(at, i)| (*at, i.id) == (event.place, id));
            self.must(is_there, || format!("{id} is published and was never committed"));
        }
    }

    pub fn record(&mut self, partition: i32, events: &[(IncentiveId, UserId)], up_to: Place) {
        self.recorded.extend(events.iter().map(|(id, _)| *id));
        let p = self.partition(partition);
        p.published = p.published.max(up_to);
    }
}

/// What is found at the end.
impl World {
    /// All incentives, partition by partition, each in the order of publication.
    pub fn granted(&self) -> impl Iterator<Item = (i32, Vec<IncentiveId>)> + '_ {
        let ids = |p: &Partition| p.incentives.iter().map(|(_, i)| i.id).collect();
        self.partitions().zip(self.partitions.iter().map(ids))
    }

    /// What a consumer of the topic keeps that drops what does not lie behind the last place.
    pub fn heard(&self, partition: i32) -> Vec<IncentiveId> {
        let topic = &self.partitions[usize::try_from(partition).expect("a partition")].topic;
        let mut last = Place::BEFORE_ALL;
        let mut heard = Vec::new();
        for (place, id) in topic {
            if *place > last {
                heard.push(*id);
                last = *place;
            }
        }
        heard
    }

    /// The ids of events in the log, each once.
    pub fn sent(&self) -> BTreeSet<EventKey> {
        let records = self.partitions.iter().flat_map(|p| &p.log).filter_map(Taken::offered);
        records.map(|offered| offered.key().1).collect()
    }

    pub fn decided(&self) -> BTreeSet<EventKey> {
        self.event_ids.keys().map(|(_, key)| *key).collect()
    }
}

/// The records on one or two partitions, with gaps between offsets, repeats of events, other events
/// under known ids, and bytes that are no event.
fn logs(dice: &mut Random, records: Vec<domain::event::Record>) -> Vec<Vec<Taken>> {
    let count = 1 + dice.size(2);
    let mut logs: Vec<Vec<Taken>> = vec![Vec::new(); count];
    let mut sent: Vec<Offered> = Vec::new();
    for record in records {
        let append_time = record.append_time;
        let hash = EventKey::of(&record.event.event_id).0;
        let offered = Offered { record, content_hash: hash, raw: Bytes::from_static(b"sent") };
        let mut bodies = vec![Body::Offered(offered.clone())];
        sent.push(offered);
        if dice.one_in(8) {
            bodies.push(Body::Offered(dice.pick(&sent).clone()));
        }
        if dice.one_in(12) {
            let mut other = dice.pick(&sent).clone();
            other.content_hash[0] ^= 1;
            bodies.push(Body::Offered(other));
        }
        if dice.one_in(20) {
            let (raw, why) = (Bytes::from_static(b"\xff"), "no event".to_owned());
            bodies.push(Body::Unreadable(Unreadable { raw, why, tenant: None }));
        }
        for body in bodies {
            let log = &mut logs[dice.size(count)];
            let last = log.last().map_or(-1, |taken: &Taken| taken.offset);
            let gap = if dice.one_in(10) { 1 + dice.below(3) } else { 1 };
            let offset = last.saturating_add_unsigned(gap);
            log.push(Taken { offset, append_time, mark: None, body });
        }
    }
    logs
}
