//! In the background: looks through reservations for those that nobody will settle, and compares
//! users' uses with the store, a hundred at a time. It reads by itself; what it finds wrong the
//! courier sets right.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use domain::decide::{Loaded, Needs};
use domain::id::{TenantId, UserId, UserRef, user_id};
use domain::limit::{TENANT_LIMIT_KEY, Window};
use domain::time::{Day, Period};
use engine::ports::PortError;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisError};
use tokio::sync::mpsc::WeakSender;
use tokio::time::Instant;

use crate::call::{CALL_MAX, Mend};
use crate::gate::{InUse, Job, Settings, Shared, Surroundings};
use crate::keys;

/// Answers of Redis may take longer here: nobody waits.
const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) struct Scrubber {
    client: Client,
    around: Surroundings,
    jobs: WeakSender<Job>,
    shared: Arc<Shared>,
    sweep_every: Duration,
    scrub_every: Duration,
    pause: Duration,
}

/// Why a round ended early. The next one tries again.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    #[error("the store: {0}")]
    Store(#[from] PortError),
    #[error("nobody takes what is found")]
    Queue,
}

/// A tenant whose keys are looked at.
type Of = (TenantId, i32);

impl Scrubber {
    pub fn new(
        client: Client,
        settings: &Settings,
        around: Surroundings,
        (jobs, shared): (WeakSender<Job>, Arc<Shared>),
    ) -> Self {
        let Settings { sweep_every, scrub_every, scrub_pause: pause, .. } = *settings;
        Self { client, around, jobs, shared, sweep_every, scrub_every, pause }
    }

    /// Works until it is dropped.
    pub async fn run(self) {
        let mut sweep_at = Instant::now() + self.sweep_every;
        let mut scrub_at = Instant::now() + self.scrub_every;
        loop {
            let is_scrub = tokio::select! {
                () = self.shared.sweep.notified() => false,
                () = self.shared.scrub.notified() => true,
                () = tokio::time::sleep_until(sweep_at) => false,
                () = tokio::time::sleep_until(scrub_at) => true,
            };
            let done = match is_scrub {
                true => self.sweep_and_scrub().await,
                false => self.sweep().await,
            };
            match done {
                Ok(()) => {
                    let kind = if is_scrub { "scrubbed" } else { "swept" };
                    self.around.metrics.limits_event(kind);
                }
                Err(why) => tracing::debug!(%why, "limits in Redis were not compared to the end"),
            }
            sweep_at = Instant::now() + self.sweep_every;
            if is_scrub {
                scrub_at = Instant::now() + self.scrub_every;
            }
        }
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        self.client.get_multiplexed_async_connection_with_config(&config).await
    }

    /// Our tenants whose day is not over.
    fn current(&self) -> HashMap<Of, InUse> {
        let now = self.around.clock.now();
        let mut in_use = self.shared.in_use();
        in_use.retain(|_, of| of.today.ends_at > now);
        in_use
    }

    async fn sweep_and_scrub(&self) -> Result<(), Broken> {
        self.sweep().await?;
        self.scrub().await
    }

    /// Ends reservations of older epochs, and of batches that are settled.
    async fn sweep(&self) -> Result<(), Broken> {
        let current = self.current();
        if current.is_empty() {
            return Ok(());
        }
        let mut connection = self.connect().await?;
        for (of, in_use) in current {
            let pending = keys::pending(of.0, in_use.today.day);
            let mut cursor = 0_u64;
            loop {
                let (next, fields): (u64, Vec<(String, String)>) = redis::cmd("HSCAN")
                    .arg(&pending)
                    .arg(cursor)
                    .arg("COUNT")
                    .arg(CALL_MAX)
                    .query_async(&mut connection)
                    .await?;
                let found = fields.iter().filter_map(|(id, entry)| {
                    let user = void(of.1, in_use, entry)?;
                    Some((user, id.clone()))
                });
                let found: Vec<_> = found.collect();
                for part in found.chunks(CALL_MAX) {
                    self.around.metrics.limits_event("leaked");
                    let (users, ids) = part.iter().cloned().unzip();
                    self.compare(of, in_use, users, ids).await?;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Compares the uses of all users who have a key.
    async fn scrub(&self) -> Result<(), Broken> {
        let current = self.current();
        if current.is_empty() {
            return Ok(());
        }
        // Any partition of ours that the tenant is on will do.
        let of_tenant: HashMap<TenantId, (Of, InUse)> =
            current.into_iter().map(|(of, in_use)| (of.0, (of, in_use))).collect();
        let mut connection = self.connect().await?;
        let mut cursor = 0_u64;
        loop {
            let (next, names): (u64, Vec<String>) = redis::cmd("SCAN")
                .arg(cursor)
                .arg("MATCH")
                .arg(keys::USERS_PATTERN)
                .arg("COUNT")
                .arg(CALL_MAX)
                .query_async(&mut connection)
                .await?;
            let mut found: HashMap<TenantId, Vec<UserRef>> = HashMap::new();
            for (tenant, user) in names.iter().filter_map(|name| keys::of_user(name)) {
                found.entry(tenant).or_default().push(user);
            }
            for (tenant, users) in found {
                let Some((of, in_use)) = of_tenant.get(&tenant) else { continue };
                for part in users.chunks(CALL_MAX) {
                    self.compare(*of, *in_use, part.to_vec(), Vec::new()).await?;
                }
            }
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
            tokio::time::sleep(self.pause).await;
        }
    }

    /// Has the courier set these users' uses to what the store says.
    async fn compare(
        &self,
        (tenant, partition): Of,
        in_use: InUse,
        mut users: Vec<UserRef>,
        void: Vec<String>,
    ) -> Result<(), Broken> {
        users.sort();
        users.dedup();
        let day = in_use.today.day;
        let ids: Vec<UserId> = users.iter().map(|user| user_id(tenant, user)).collect();
        let limit = (tenant, TENANT_LIMIT_KEY.to_owned());
        let needs = Needs {
            users: ids.iter().copied().collect(),
            usage: [(limit.clone(), day)].into(),
            tenants: [tenant].into(),
            ..Needs::default()
        };
        let loaded = self.around.store.load(Arc::new(needs)).await?;
        let used = ids.iter().map(|user| user_use(&loaded, *user, day));
        let mend = Mend {
            partition,
            epoch: in_use.epoch,
            tenant,
            today: in_use.today,
            lane_version: loaded.lanes.get(&tenant).map_or(0, |lane| lane.version),
            settled_batch: in_use.settled_batch,
            tenant_use: loaded
                .usage
                .get(&limit)
                .map_or(0, |meter| u64::try_from(meter.used(TODAY, day)).unwrap_or(0)),
            users: users.iter().cloned().zip(used).collect(),
            void,
        };
        let jobs = self.jobs.upgrade().ok_or(Broken::Queue)?;
        jobs.send(Job::Mend(Box::new(mend))).await.map_err(|_| Broken::Queue)
    }
}

const TODAY: Window = Window::Period(Period::Day);

fn user_use(loaded: &Loaded, user: UserId, day: Day) -> u64 {
    loaded.users.get(&user).map_or(0, |stored| stored.state.limit.used(TODAY, day))
}

/// Whose reservation an entry of the partition is, if nobody will settle it. Entries are
/// `partition:epoch:batch:key`; others are counts.
fn void(partition: i32, in_use: InUse, entry: &str) -> Option<UserRef> {
    let mut words = entry.splitn(4, ':');
    let mut number = || words.next()?.parse::<i64>().ok();
    let (of, epoch, batch) = (number()?, number()?, number()?);
    let is_void = epoch < in_use.epoch || (epoch == in_use.epoch && batch <= in_use.settled_batch);
    if of != i64::from(partition) || !is_void {
        return None;
    }
    keys::of_user(words.next()?).map(|(_, user)| user)
}
