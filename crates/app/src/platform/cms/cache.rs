//! Configurations as the CMS answered them, and how long they may be decided by.
//!
//! One that is used is asked about again in the background as soon as it is some seconds old; who
//! uses it does not wait. When the CMS does not answer, it is used on for a bounded time. When the
//! store turns out to have another version, nothing that was asked for before is given any more.
//! Who needs the same tenant at the same time waits for the same answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::config::TenantConfig;
use domain::id::TenantId;
use domain::time::{SECOND_US, Timestamp};
use engine::metrics::Metrics;
use engine::ports::{Clock, PortError, PortErrorKind, PortFuture};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Age from which a configuration in use is asked about again, microseconds; also the least time
/// between two such questions.
pub(super) const REVALIDATED_AFTER_US: i64 = 10 * SECOND_US;
/// Age up to which a configuration is used while the CMS does not answer, microseconds.
pub(super) const USED_WITHIN_US: i64 = 15 * 60 * SECOND_US;
/// How long `/readyz` tells of a tenant that nobody asks for any more, microseconds.
pub(super) const TROUBLE_TOLD_US: i64 = 60 * SECOND_US;
/// Questions in the background at the same time, less than the link has turns: those for whom
/// somebody waits find one. A tenant left out is asked about when it is used next.
pub(super) const BACKGROUND_MAX: usize = 2;
/// How long an answer is waited for; longer than a question may take, for it may have to wait its
/// turn. Who comes again waits for the same question.
const WAIT_WITHIN: Duration = Duration::from_secs(10);
/// Tenants kept; beyond it the one that was not used for the longest time is dropped.
pub(super) const TENANTS_MAX: usize = 4096;

/// An answer of the CMS.
#[derive(Debug)]
pub(super) enum Answer {
    /// The version that was held is in force.
    Unchanged,
    /// This is in force.
    Changed(Box<TenantConfig>),
    /// There is no such tenant.
    NoTenant,
}

/// Asks for a tenant's configuration, unless it is still of the version held.
pub(super) type Ask =
    Box<dyn Fn(TenantId, Option<i64>) -> PortFuture<'static, Answer> + Send + Sync>;

/// What came of a question, for all who wait for it; `Err` says why nothing did.
type Told = Result<Option<Arc<TenantConfig>>, Arc<str>>;

/// What is known of all tenants.
pub(super) struct Cache {
    ask: Ask,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
    background: Arc<Semaphore>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    tenants: HashMap<TenantId, Slot>,
    /// When it was last said that a question failed, and that one no longer does.
    said: [Timestamp; 2],
}

/// What is known of a tenant.
#[derive(Default)]
struct Slot {
    known: Option<Known>,
    /// The question under way, if it was asked in this round.
    asking: Option<watch::Receiver<Option<Told>>>,
    /// Rises when what was asked for before is not to be given any more.
    round: u64,
    /// The version that the store was seen not to have any more.
    outdated: Option<i64>,
    /// The last question failed.
    is_failing: bool,
    /// Why somebody waits for it.
    trouble: Option<Arc<str>>,
    asked_at: Timestamp,
    used_at: Timestamp,
}

struct Known {
    config: Arc<TenantConfig>,
    /// When the question was asked to which the CMS said that it is in force.
    confirmed_at: Timestamp,
    /// It has to be confirmed before it is given again.
    is_doubted: bool,
}

impl Known {
    fn is_usable(&self, now: Timestamp) -> bool {
        // A clock that was set back must not keep it for longer.
        !self.is_doubted && since(self.confirmed_at, now).abs() < USED_WITHIN_US
    }
}

fn since(then: Timestamp, now: Timestamp) -> i64 {
    now.micros().saturating_sub(then.micros())
}

fn is_old(then: Timestamp, now: Timestamp) -> bool {
    !(0..REVALIDATED_AFTER_US).contains(&since(then, now))
}

impl Cache {
    /// Knowing nothing yet.
    pub fn new(ask: Ask, clock: Arc<dyn Clock>, metrics: Metrics) -> Arc<Self> {
        let background = Arc::new(Semaphore::new(BACKGROUND_MAX));
        Arc::new(Self { ask, clock, metrics, background, kept: Mutex::default() })
    }

    /// A tenant's configuration: what is known where that may be used, or else what the CMS answers
    /// now. `None` when there is no such tenant. Errors: the CMS was asked in vain.
    pub async fn config(
        self: &Arc<Self>,
        tenant: TenantId,
    ) -> Result<Option<Arc<TenantConfig>>, PortError> {
        let mut told = {
            let now = self.clock.now();
            let mut kept = self.lock();
            let slot = kept.slot(tenant, now);
            if let Some(known) = slot.known.as_ref().filter(|known| known.is_usable(now)) {
                let config = known.config.clone();
                self.used(tenant, slot, now);
                return Ok(Some(config));
            }
            match slot.under_way() {
                Some(told) => {
                    self.metrics.cms_given("coalesced");
                    told
                }
                None => {
                    self.metrics.cms_given("cms");
                    self.begin(tenant, slot, now, None)
                }
            }
        };
        let told =
            async { told.wait_for(Option::is_some).await.ok().and_then(|told| told.clone()) };
        let why = match tokio::time::timeout(WAIT_WITHIN, told).await {
            Ok(Some(Ok(given))) => return Ok(given),
            Ok(Some(Err(why))) => why,
            Ok(None) => "the question to the CMS broke off by a defect of ours".into(),
            Err(_) => "the CMS takes too long to answer".into(),
        };
        if let Some(slot) = self.lock().tenants.get_mut(&tenant) {
            slot.trouble = Some(why.clone());
        }
        let message = format!("nothing to decide tenant {tenant} by: {why}");
        Err(PortError { kind: PortErrorKind::Unavailable, message })
    }

    /// Whether a tenant may still be decided by this version.
    pub fn still_holds(self: &Arc<Self>, tenant: TenantId, config_version: i64) -> bool {
        let now = self.clock.now();
        let mut kept = self.lock();
        let Some(slot) = kept.tenants.get_mut(&tenant) else { return false };
        slot.used_at = now;
        let holds =
            |known: &Known| known.is_usable(now) && known.config.config_version == config_version;
        let holds = slot.known.as_ref().is_some_and(holds);
        if holds {
            self.used(tenant, slot, now);
        }
        holds
    }

    /// The store has another version than this one: it is not given again unless the CMS, asked
    /// anew, insists.
    pub fn outdated(&self, tenant: TenantId, config_version: i64) {
        let mut kept = self.lock();
        let Some(slot) = kept.tenants.get_mut(&tenant) else { return };
        let is_other =
            slot.known.as_ref().is_some_and(|known| known.config.config_version != config_version);
        // Told twice, by two workers: what was asked for since the first time is good.
        if !is_other && slot.outdated != Some(config_version) {
            slot.outdated = Some(config_version);
            slot.begin_round();
        }
    }

    /// The store may have another version: what is known is to be confirmed before it is given.
    pub fn doubt(&self, tenant: TenantId) {
        if let Some(slot) = self.lock().tenants.get_mut(&tenant) {
            slot.begin_round();
        }
    }

    /// Why somebody waits, if anybody does.
    pub fn trouble(&self) -> Option<String> {
        let now = self.clock.now();
        let kept = self.lock();
        let mut waiting = kept.tenants.iter().filter_map(|(tenant, slot)| {
            let why = slot.trouble.as_ref()?;
            let is_wanted = since(slot.used_at, now).abs() < TROUBLE_TOLD_US;
            is_wanted.then(|| format!("nothing to decide tenant {tenant} by: {why}"))
        });
        let first = waiting.next()?;
        match waiting.count() {
            0 => Some(first),
            more => Some(format!("{first}; and {more} more tenants")),
        }
    }

    /// Counts a use, and asks again in the background when it is time.
    fn used(self: &Arc<Self>, tenant: TenantId, slot: &mut Slot, now: Timestamp) {
        self.metrics.cms_given(if slot.is_failing { "stale" } else { "cache" });
        let confirmed_at = slot.known.as_ref().map_or(now, |known| known.confirmed_at);
        let is_due = is_old(confirmed_at, now) && is_old(slot.asked_at, now);
        if is_due
            && slot.under_way().is_none()
            && let Ok(permit) = self.background.clone().try_acquire_owned()
        {
            drop(self.begin(tenant, slot, now, Some(permit)));
        }
    }

    /// Asks, for whoever waits for what is told.
    fn begin(
        self: &Arc<Self>,
        tenant: TenantId,
        slot: &mut Slot,
        now: Timestamp,
        permit: Option<OwnedSemaphorePermit>,
    ) -> watch::Receiver<Option<Told>> {
        let (sender, told) = watch::channel(None);
        let (cache, round) = (self.clone(), slot.round);
        let held = slot.known.as_ref().map(|known| known.config.clone());
        slot.asking = Some(told.clone());
        slot.asked_at = now;
        // On its own, so that it comes to an end when the one who asked gives up.
        tokio::spawn(async move {
            let version = held.as_ref().map(|held| held.config_version);
            let answer = (cache.ask)(tenant, version).await;
            let told = cache.understood(answer, held);
            sender.send_replace(Some(cache.learn(tenant, (round, now), told)));
            drop(permit);
        });
        told
    }

    /// What an answer says to those who hold this.
    fn understood(
        &self,
        answer: Result<Answer, PortError>,
        held: Option<Arc<TenantConfig>>,
    ) -> Told {
        let (word, told) = match (answer, held) {
            (Ok(Answer::Changed(config)), _) => ("changed", Ok(Some(config.into()))),
            (Ok(Answer::Unchanged), Some(held)) => ("unchanged", Ok(Some(held))),
            (Ok(Answer::Unchanged), None) => {
                ("failed", Err("the CMS says that what we have not is unchanged".into()))
            }
            (Ok(Answer::NoTenant), _) => ("no_tenant", Ok(None)),
            (Err(error), _) => ("failed", Err(error.message.into())),
        };
        self.metrics.cms_asked(word);
        told
    }

    /// Keeps what came of a question, unless its round is over. Returns what its askers are told.
    fn learn(&self, tenant: TenantId, (round, asked_at): (u64, Timestamp), told: Told) -> Told {
        let mut kept = self.lock();
        let Some(slot) = kept.tenants.get_mut(&tenant) else { return told };
        if slot.round != round {
            return told;
        }
        slot.asking = None;
        let told = match told {
            Ok(Some(config)) if slot.outdated == Some(config.config_version) => {
                // Should the database have been set back to it, the next question is believed.
                slot.outdated = None;
                let version = config.config_version;
                Err(format!(
                    "the CMS answers version {version} of its configuration, and our database has \
                     another one: see that both use the same database"
                )
                .into())
            }
            told => told,
        };
        let was_failing = std::mem::replace(&mut slot.is_failing, told.is_err());
        match &told {
            Ok(Some(config)) => {
                let config = config.clone();
                slot.known = Some(Known { config, confirmed_at: asked_at, is_doubted: false });
                slot.outdated = None;
                slot.trouble = None;
            }
            Ok(None) => _ = kept.tenants.remove(&tenant),
            Err(_) => {}
        }
        if was_failing != told.is_err() {
            kept.say(tenant, &told, self.clock.now());
        }
        told
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// A tenant's slot, used now; made where there is none.
    fn slot(&mut self, tenant: TenantId, now: Timestamp) -> &mut Slot {
        if self.tenants.len() >= TENANTS_MAX && !self.tenants.contains_key(&tenant) {
            let longest = self.tenants.iter().min_by_key(|(_, slot)| slot.used_at);
            if let Some(longest) = longest.map(|(id, _)| *id) {
                self.tenants.remove(&longest);
            }
        }
        let slot = self.tenants.entry(tenant).or_default();
        slot.used_at = now;
        slot
    }

    /// Says that the CMS has begun to fail for a tenant, or has ceased to; of many tenants at once,
    /// only of the first.
    fn say(&mut self, tenant: TenantId, told: &Told, now: Timestamp) {
        let said = &mut self.said[usize::from(told.is_ok())];
        if !is_old(*said, now) {
            return;
        }
        *said = now;
        match told {
            Err(why) => tracing::warn!(
                %tenant, %why,
                "the CMS does not help; what is known is decided by for at most {} minutes",
                USED_WITHIN_US / 60 / SECOND_US
            ),
            Ok(_) => tracing::info!(%tenant, "the CMS answers again"),
        }
    }
}

impl Slot {
    /// The question under way in this round.
    fn under_way(&self) -> Option<watch::Receiver<Option<Told>>> {
        // One that broke off tells nothing any more.
        self.asking.clone().filter(|asking| asking.has_changed().is_ok())
    }

    fn begin_round(&mut self) {
        self.round += 1;
        self.asking = None;
        if let Some(known) = &mut self.known {
            known.is_doubted = true;
        }
    }
}
