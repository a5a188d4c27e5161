//! Counts rows: reads what is there, works out what it becomes, and writes that if nobody has been
//! there meanwhile. So a row counts once, whoever delivers it how often, and whoever dies when.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use domain::id::TenantId;
use engine::aggregates::{Ledger, Sum};
use engine::captured::CapturedIncentive;
use engine::ports::{IdGen, Place, PortError, PortErrorKind};
use redis::Value;

use crate::keys::{self, Generation};
use crate::link::{Link, Settings, SettingsError, next};
use crate::scripts::Program;
use crate::tally::{Change, Found, Needed, Tally, Trust, Write, tally};

/// Most rows counted in one call of a script: it keeps everybody waiting.
pub(crate) const ROWS_MAX: usize = 200;
/// Tenants whose generation is remembered; beyond it all are asked for again.
const KNOWN_MAX: usize = 10_000;
/// Tenants told at once.
const TENANTS_MAX: u32 = 200;
/// How often somebody else may have been there first before we wait a little.
const TRIES_MAX: usize = 20;

/// Keeps aggregates in Redis; clones of the `Arc` share the connection.
pub struct Keeper {
    pub(crate) link: Link,
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) ids: Arc<dyn IdGen>,
    /// The generation last seen in use.
    known: Mutex<HashMap<TenantId, String>>,
}

/// What became of rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// They are counted, so many of them only now.
    Done(usize),
    /// Redis has nothing of the tenant: it is new to it, or Redis was emptied.
    Unknown,
    /// Rows before them are missing, or what is there cannot be read; says which.
    Broken(String),
}

/// What became of one part of them.
enum Step {
    Done(usize),
    Broken(String),
    /// Somebody else was there first.
    Moved,
}

/// Whose generation is written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The one in use.
    InUse,
    /// One that we are making.
    Making,
}

impl Keeper {
    /// Nothing is asked of Redis yet. Errors: its address is none.
    pub fn new(
        settings: &Settings,
        ledger: Arc<dyn Ledger>,
        ids: Arc<dyn IdGen>,
    ) -> Result<Self, SettingsError> {
        let link = Link::new(settings)?;
        Ok(Self { link, ledger, ids, known: Mutex::default() })
    }

    /// Tenants by their id, after one, some at a time; none when there are no more. Errors: those of
    /// the ledger.
    pub async fn tenants(&self, after: Option<TenantId>) -> Result<Vec<TenantId>, PortError> {
        self.ledger.tenants(after, TENANTS_MAX).await
    }

    /// Counts rows of one tenant, in their order.
    pub(crate) async fn keep(
        &self,
        tenant: TenantId,
        rows: &[CapturedIncentive],
        trust: Trust,
    ) -> Result<Kept, PortError> {
        let mut counted = 0;
        for part in rows.chunks(ROWS_MAX) {
            match self.keep_part(tenant, part, trust).await? {
                Kept::Done(more) => counted += more,
                other => return Ok(other),
            }
        }
        Ok(Kept::Done(counted))
    }

    async fn keep_part(
        &self,
        tenant: TenantId,
        rows: &[CapturedIncentive],
        trust: Trust,
    ) -> Result<Kept, PortError> {
        for _ in 0..TRIES_MAX {
            let known = self.known().get(&tenant).cloned();
            let id = match known {
                Some(id) => id,
                None => match self.in_use(tenant).await? {
                    Some(id) => id,
                    None => return Ok(Kept::Unknown),
                },
            };
            let generation = Generation::new(tenant, &id);
            match self.step(&generation, Stage::InUse, rows, trust).await? {
                Step::Done(counted) => return Ok(Kept::Done(counted)),
                Step::Broken(why) => return Ok(Kept::Broken(why)),
                Step::Moved => {
                    self.known().remove(&tenant);
                }
            }
        }
        Err(busy(tenant))
    }

    /// Counts rows, at most [`ROWS_MAX`], in a generation that we are making.
    pub(crate) async fn keep_in(
        &self,
        generation: &Generation,
        rows: &[CapturedIncentive],
    ) -> Result<(), PortError> {
        match self.step(generation, Stage::Making, rows, Trust::Ledger).await? {
            Step::Done(_) => Ok(()),
            Step::Moved | Step::Broken(_) => Err(busy(generation.tenant)),
        }
    }

    async fn step(
        &self,
        generation: &Generation,
        stage: Stage,
        rows: &[CapturedIncentive],
        trust: Trust,
    ) -> Result<Step, PortError> {
        let needed = Needed::of(rows);
        let found = match self.find(generation, stage, &needed).await? {
            Ok(found) => found,
            Err(step) => return Ok(step),
        };
        match tally(rows, &found, trust) {
            Tally::Nothing => Ok(Step::Done(0)),
            Tally::Gap(why) => Ok(Step::Broken(why)),
            Tally::Change(change) => self.write(generation, stage, &change).await,
        }
    }

    /// Places come first: whoever counts after they were read moves them, and we notice.
    async fn find(
        &self,
        generation: &Generation,
        stage: Stage,
        needed: &Needed,
    ) -> Result<Result<Found, Step>, PortError> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("GET").arg(keys::pointer(generation.tenant));
        let partitions: Vec<i32> = needed.partitions.iter().copied().collect();
        pipeline.cmd("HMGET").arg(generation.places()).arg(&partitions);
        for user in &needed.users {
            pipeline.cmd("HGET").arg(generation.user(user)).arg(keys::SEQ);
        }
        for cell in &needed.cells {
            pipeline.cmd("HGET").arg(generation.hash(cell)).arg(keys::field(cell));
        }
        let mut answers = self.link.ask(&pipeline).await?.into_iter();
        let in_use: Option<String> = next(&mut answers)?;
        if stage == Stage::InUse && in_use.as_deref() != Some(&generation.id) {
            return Ok(Err(Step::Moved));
        }
        let places: Vec<Option<String>> = next(&mut answers)?;
        Ok(read(needed, &places, &mut answers)?.map_err(Step::Broken))
    }

    async fn write(
        &self,
        generation: &Generation,
        stage: Stage,
        change: &Change,
    ) -> Result<Step, PortError> {
        let mut keys = vec![keys::pointer(generation.tenant), generation.places()];
        let must_be = if stage == Stage::InUse { generation.id.clone() } else { String::new() };
        let mut args = vec![must_be, change.places.len().to_string()];
        for (partition, (before, after)) in &change.places {
            let before = before.map(place_text).unwrap_or_default();
            args.extend([partition.to_string(), before, place_text(*after)]);
        }
        for write in change.writes(generation) {
            keys.push(write.key().to_owned());
            tell(write, &mut args);
        }
        let said: String = self.link.ask_one(Program::Write.call(&keys, &args)).await?;
        Ok(if said == "DONE" { Step::Done(change.rows) } else { Step::Moved })
    }

    /// The generation in use; `None` where Redis has nothing of the tenant.
    pub(crate) async fn in_use(&self, tenant: TenantId) -> Result<Option<String>, PortError> {
        let mut get = redis::cmd("GET");
        get.arg(keys::pointer(tenant));
        let id: Option<String> = self.link.ask_one(get).await?;
        let mut known = self.known();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        match &id {
            Some(id) => known.insert(tenant, id.clone()),
            None => known.remove(&tenant),
        };
        Ok(id)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, HashMap<TenantId, String>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn busy(tenant: TenantId) -> PortError {
    PortError {
        kind: PortErrorKind::Unavailable,
        message: format!("the aggregates of tenant {tenant} are being written by somebody else"),
    }
}

/// Reads the answers in the order in which they were asked for. The inner error: something is there
/// that we did not write.
fn read(
    needed: &Needed,
    places: &[Option<String>],
    answers: &mut impl Iterator<Item = Value>,
) -> Result<Result<Found, String>, PortError> {
    let mut found = Found::default();
    for (partition, text) in needed.partitions.iter().zip(places) {
        let Some(text) = text else { continue };
        match read_place(text) {
            Some(place) => found.places.insert(*partition, place),
            None => return Ok(Err(format!("the place {text:?} cannot be read"))),
        };
    }
    for user in &needed.users {
        let text: Option<String> = next(answers)?;
        match text.map(|text| text.parse().map_err(|_| text)) {
            None => {}
            Some(Ok(seq)) => {
                found.seqs.insert(user.clone(), seq);
            }
            Some(Err(text)) => return Ok(Err(format!("the number {text:?} cannot be read"))),
        }
    }
    for cell in &needed.cells {
        let text: Option<String> = next(answers)?;
        match text.map(|text| text.parse::<Sum>().map_err(|_| text)) {
            None => {}
            Some(Ok(sum)) => {
                found.sums.insert(cell.clone(), sum);
            }
            Some(Err(text)) => return Ok(Err(format!("the sum {text:?} cannot be read"))),
        }
    }
    Ok(Ok(found))
}

/// A place as it is kept.
pub(crate) fn place_text(place: Place) -> String {
    format!("{}:{}", place.batch_seq, place.ordinal)
}

/// Reads it.
pub(crate) fn read_place(text: &str) -> Option<Place> {
    let (batch_seq, ordinal) = text.split_once(':')?;
    Some(Place { batch_seq: batch_seq.parse().ok()?, ordinal: ordinal.parse().ok()? })
}

/// Says a write as the script reads it.
fn tell(write: Write, args: &mut Vec<String>) {
    match write {
        Write::Hash { fields, .. } => {
            args.extend(["h".to_owned(), (2 * fields.len()).to_string()]);
            args.extend(fields.into_iter().flat_map(|(field, value)| [field, value]));
        }
        Write::Board { moves, .. } => {
            args.extend(["t".to_owned(), moves.gone.len().to_string()]);
            args.extend(moves.gone);
            args.push((2 * moves.come.len()).to_string());
            args.extend(moves.come.into_iter().flat_map(|(score, m)| [score.to_string(), m]));
        }
    }
}
