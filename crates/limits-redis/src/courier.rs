//! The task that alone speaks to Redis for the batches, one thing after the other, so that what is
//! settled is there before the next batch reserves. When anything fails it gives the connection up,
//! forgets all that it knew, and tries again later: whatever was left out is set right by the uses
//! that come along with the next call, and by the scrub.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::id::TenantId;
use domain::time::Timestamp;
use engine::ports::{Advice, DayUse, Reservation};
use redis::{Pipeline, RedisResult};
use tokio::sync::mpsc;

use crate::call::{Answer, Call, Mend, Met, Sender, Today, meet, mend, release, reserve, settle};
use crate::gate::{InUse, Job, Settings, Shared, Surroundings};
use crate::link::Link;
use crate::scripts::Program;

/// Tenants that are known to know us at most; beyond it all are met again.
const MET_MAX: usize = 10_000;

pub(crate) struct Courier {
    link: Link,
    around: Surroundings,
    shared: Arc<Shared>,
    patience: Duration,
    /// Rises with each call, whatever the tenant.
    sequence: u64,
    epochs: HashMap<i32, i64>,
    met: HashMap<(TenantId, i32), Met>,
    /// By partition, what is reserved and not settled.
    reserved: HashMap<i32, Arc<Reservation>>,
    /// Whether the last thing went well; `None` before the first.
    goes_well: Option<bool>,
    /// Since reservations were last looked through.
    has_met: bool,
    /// How long nothing may be said before Redis is asked whether it is there.
    look_every: Duration,
    /// Since Redis was last asked without a reason.
    was_lost: bool,
}

/// Who owns what is spoken of.
#[derive(Clone, Copy)]
struct Owner {
    partition: i32,
    epoch: i64,
}

impl Courier {
    pub fn new(
        link: Link,
        around: Surroundings,
        shared: Arc<Shared>,
        Settings { patience, look_every, .. }: &Settings,
    ) -> Self {
        Self {
            link,
            around,
            shared,
            patience: *patience,
            look_every: *look_every,
            was_lost: false,
            sequence: 0,
            epochs: HashMap::new(),
            met: HashMap::new(),
            reserved: HashMap::new(),
            goes_well: None,
            has_met: false,
        }
    }

    /// Works until nobody has anything more to say.
    pub async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        loop {
            if !self.link.is_up() {
                let pause = tokio::time::sleep(self.link.pause());
                tokio::pin!(pause);
                loop {
                    tokio::select! {
                        () = &mut pause => break,
                        // What was on its way when the connection was given up.
                        job = jobs.recv() => if job.is_none() { return },
                    }
                }
                match self.link.connect().await {
                    Ok(()) => self.shared.is_there.store(true, Ordering::Relaxed),
                    Err(error) => self.lose(&error),
                }
                continue;
            }
            let job = match tokio::time::timeout(self.look_every, jobs.recv()).await {
                Ok(Some(job)) => job,
                Ok(None) => return,
                Err(_) => {
                    self.look().await;
                    continue;
                }
            };
            if self.shared.has_missed.swap(false, Ordering::Relaxed) {
                self.around.metrics.limits_event("missed");
                self.met.clear();
            }
            let begun = Instant::now();
            match self.work(job).await {
                Ok(()) => self.note_success(begun.elapsed()),
                Err(error) => self.lose(&error),
            }
        }
    }

    /// While nobody has anything to say: a Redis that was started anew is noticed only when it is
    /// asked, and what it shows may be old.
    async fn look(&mut self) {
        match self.link.send(redis::pipe().cmd("PING")).await {
            Ok(_) if std::mem::take(&mut self.was_lost) => self.shared.scrub.notify_one(),
            Ok(_) => {}
            Err(error) => self.lose(&error),
        }
    }

    fn note_success(&mut self, took: Duration) {
        self.shared.is_slow.store(took > self.patience, Ordering::Relaxed);
        self.link.goes_well();
        if self.goes_well.replace(true) != Some(true) {
            self.around.metrics.limits_in_redis(true);
            // What it holds may be from before.
            self.shared.scrub.notify_one();
            tracing::info!("limits are kept in Redis, in front of the store");
        }
    }

    fn lose(&mut self, error: &redis::RedisError) {
        self.shared.is_there.store(false, Ordering::Relaxed);
        self.link.give_up();
        self.met.clear();
        self.reserved.clear();
        self.was_lost = true;
        self.around.metrics.limits_event("lost");
        if self.goes_well.replace(false) != Some(false) {
            self.around.metrics.limits_in_redis(false);
            tracing::warn!(
                %error,
                "Redis does not do what it should: the store alone answers for limits; it is tried \
                 again by itself, look at Redis if this lasts"
            );
        }
    }

    async fn work(&mut self, job: Job) -> RedisResult<()> {
        match job {
            Job::TakenOver { partition, epoch } => {
                self.take_over(Owner { partition, epoch });
                Ok(())
            }
            Job::Reserve { reservation, answer } => {
                let advice = self.reserve(&reservation).await?;
                // A batch that has waited long enough is gone.
                let _gone = answer.send(advice);
                Ok(())
            }
            Job::Settle(reservation) => self.settle(&reservation).await,
            Job::GiveBack(reservation) => self.give_back(&reservation).await,
            Job::Mend(wanted) => self.mend(&wanted).await,
        }
    }

    /// Notes a partition's epoch. What was known under another one is void.
    fn take_over(&mut self, owner: Owner) {
        if self.epochs.insert(owner.partition, owner.epoch) != Some(owner.epoch) {
            self.met.retain(|(_, partition), _| *partition != owner.partition);
            self.reserved.remove(&owner.partition);
            self.shared.forget(owner.partition);
        }
    }

    async fn reserve(&mut self, reservation: &Arc<Reservation>) -> RedisResult<Advice> {
        let owner = self.owner(reservation);
        let mut calls = match self.reserved.remove(&owner.partition) {
            Some(before) => release(&before, Some(reservation)),
            None => Vec::new(),
        };
        let released = calls.len();
        let days = self.current_days(reservation);
        calls.extend(days.iter().flat_map(|day| reserve(day, reservation.batch_seq)));
        self.reserved.insert(owner.partition, reservation.clone());
        let answers = self.deliver(owner, &calls).await?;
        self.note_days(owner, &days, reservation.batch_seq - 1);
        let mut refused = 0;
        for answer in &answers[released..] {
            match answer {
                Answer::Done(n) => refused += n,
                Answer::Settled | Answer::Past => {}
                _ => return Ok(Advice::Silent),
            }
        }
        Ok(match refused {
            _ if answers.len() == released => Advice::Silent,
            0 => Advice::Room,
            refused => Advice::NoRoom(refused),
        })
    }

    async fn settle(&mut self, reservation: &Arc<Reservation>) -> RedisResult<()> {
        let owner = self.owner(reservation);
        let days = self.current_days(reservation);
        let calls: Vec<Call> =
            days.iter().flat_map(|day| settle(day, reservation.batch_seq)).collect();
        self.deliver(owner, &calls).await?;
        self.note_days(owner, &days, reservation.batch_seq);
        if self.holds(owner, reservation) {
            self.reserved.remove(&owner.partition);
        }
        Ok(())
    }

    async fn give_back(&mut self, reservation: &Arc<Reservation>) -> RedisResult<()> {
        let owner = self.owner(reservation);
        if !self.holds(owner, reservation) {
            return Ok(());
        }
        self.reserved.remove(&owner.partition);
        self.deliver(owner, &release(reservation, None)).await.map(drop)
    }

    /// Whether this is what a partition has reserved.
    fn holds(&self, owner: Owner, reservation: &Arc<Reservation>) -> bool {
        let held = self.reserved.get(&owner.partition);
        held.is_some_and(|held| Arc::ptr_eq(held, reservation))
    }

    async fn mend(&mut self, wanted: &Mend) -> RedisResult<()> {
        let Mend { partition, epoch, .. } = *wanted;
        // Taken over by another one since.
        if self.epochs.get(&partition) != Some(&epoch) {
            return Ok(());
        }
        let answers = self.deliver(Owner { partition, epoch }, &[mend(wanted)]).await?;
        if let [Answer::Corrected(n)] = answers[..]
            && n > 0
        {
            self.around.metrics.limits_event("mended");
        }
        Ok(())
    }

    fn owner(&mut self, reservation: &Reservation) -> Owner {
        let owner = Owner { partition: reservation.partition, epoch: reservation.epoch };
        self.take_over(owner);
        owner
    }

    /// The days that Redis has keys for: those that are not over, as when a log of the past is
    /// decided.
    fn current_days<'r>(&self, reservation: &'r Reservation) -> Vec<&'r DayUse> {
        let now = self.now();
        reservation.days.iter().filter(|day| day.ends_at > now).collect()
    }

    fn now(&self) -> Timestamp {
        self.around.clock.now()
    }

    fn note_days(&mut self, owner: Owner, days: &[&DayUse], settled_batch: i64) {
        for day in days {
            let seen = InUse { epoch: owner.epoch, today: Today::of(day), settled_batch };
            self.shared.note((day.tenant, owner.partition), seen);
        }
        if std::mem::take(&mut self.has_met) {
            // An earlier owner may have left something there.
            self.shared.sweep.notify_one();
        }
    }

    /// Sends calls and returns what became of each. Tenants that do not know us are met first, and
    /// those that turn out not to, afterwards; then their calls are sent once more.
    async fn deliver(&mut self, owner: Owner, calls: &[Call]) -> RedisResult<Vec<Answer>> {
        let strangers: Vec<_> = calls.iter().filter(|c| !self.knows(owner, c.tenant)).collect();
        self.meet(owner, &strangers, false).await?;
        let all: Vec<usize> = (0..calls.len()).collect();
        let mut answers = vec![Answer::Unknown; calls.len()];
        self.send(owner, calls, &all, &mut answers).await?;
        let again: Vec<usize> =
            all.into_iter().filter(|i| answers[*i].calls_for_meeting()).collect();
        if !again.is_empty() {
            let is_old = again.iter().any(|i| answers[*i] == Answer::Stale);
            self.around.metrics.limits_event(if is_old { "stale" } else { "unknown" });
            let strangers: Vec<_> = again.iter().map(|i| &calls[*i]).collect();
            self.meet(owner, &strangers, is_old).await?;
            if is_old {
                // Users who earn nothing for now have old uses too.
                self.shared.scrub.notify_one();
            }
            self.send(owner, calls, &again, &mut answers).await?;
        }
        if answers.contains(&Answer::Fenced) {
            self.around.metrics.limits_event("fenced");
            let Owner { partition, epoch } = owner;
            tracing::warn!(partition, epoch, "Redis knows of a later owner of the partition");
        }
        Ok(answers)
    }

    fn knows(&self, owner: Owner, tenant: TenantId) -> bool {
        self.met.contains_key(&(tenant, owner.partition))
    }

    /// Makes us known to the tenants of these calls.
    async fn meet(&mut self, owner: Owner, of: &[&Call], renew: bool) -> RedisResult<()> {
        if of.is_empty() {
            return Ok(());
        }
        if self.met.len() >= MET_MAX {
            self.met.clear();
        }
        let mut pipeline = redis::pipe();
        let (mut seen, mut tenants) = (HashSet::new(), Vec::new());
        for call in of.iter().filter(|call| seen.insert(call.tenant)) {
            // A generation that nobody has used, in case there is none.
            let generation = self.around.ids.uuid().as_simple().to_string();
            let met = Met { generation, acknowledged: 0 };
            let sender = self.sender(owner, &met);
            pipeline.add_command(meet(call.tenant, sender, renew, call.today()));
            tenants.push((call.tenant, sender.sequence));
        }
        let values = self.link.send(&mut pipeline).await?;
        for ((tenant, acknowledged), value) in tenants.into_iter().zip(&values) {
            let of = (tenant, owner.partition);
            match Answer::read(Program::Meet, value) {
                Answer::Generation(generation) => {
                    self.met.insert(of, Met { generation, acknowledged });
                }
                _ => {
                    self.met.remove(&of);
                }
            }
        }
        self.has_met = true;
        Ok(())
    }

    fn sender<'m>(&mut self, owner: Owner, met: &'m Met) -> Sender<'m> {
        self.sequence += 1;
        let Owner { partition, epoch } = owner;
        Sender { partition, epoch, met, sequence: self.sequence, now: self.now() }
    }

    /// Sends the calls at these places. Those of tenants that would not meet us are fenced.
    async fn send(
        &mut self,
        owner: Owner,
        calls: &[Call],
        places: &[usize],
        answers: &mut [Answer],
    ) -> RedisResult<()> {
        let mut pipeline = Pipeline::with_capacity(places.len());
        let mut sent = Vec::with_capacity(places.len());
        for place in places {
            let call = &calls[*place];
            let of = (call.tenant, owner.partition);
            let Some(met) = self.met.get(&of).cloned() else {
                answers[*place] = Answer::Fenced;
                continue;
            };
            let sender = self.sender(owner, &met);
            pipeline.add_command(call.command(sender));
            sent.push((*place, of, sender.sequence));
        }
        if sent.is_empty() {
            return Ok(());
        }
        let values = self.link.send(&mut pipeline).await?;
        for ((place, of, sequence), value) in sent.into_iter().zip(&values) {
            let answer = calls[place].answer(value);
            if answer.calls_for_meeting() || answer == Answer::Fenced {
                self.met.remove(&of);
            } else if let Some(met) = self.met.get_mut(&of) {
                // It has seen this call, or a later one.
                met.acknowledged = sequence;
            }
            answers[place] = answer;
        }
        Ok(())
    }
}
