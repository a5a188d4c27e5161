//! Makes a tenant's aggregates anew from the ledger, beside those in use, and then puts them into
//! use. Counting goes on meanwhile; what was counted after the ledger was read is added from the
//! ledger before the switch. One process at a time does it for a tenant; one that dies in the middle
//! is succeeded after a moment, and what it left is removed.

use std::collections::BTreeMap;

use domain::id::TenantId;
use engine::aggregates::UserSums;
use engine::captured::Applied;
use engine::ports::{PortError, PortErrorKind};
use redis::Pipeline;
use tokio::sync::mpsc;

use crate::keeper::{Keeper, ROWS_MAX, place_text};
use crate::keys::{self, Generation};
use crate::link::next;
use crate::scripts::Program;
use crate::tally::{Change, Write, of_all};

/// How long the one who makes a generation may be silent before somebody else does.
const SILENT_MAX_MS: u64 = 30_000;
/// Writes sent at once.
const WRITES_MAX: usize = 500;
/// Users read ahead.
const USERS_AHEAD: usize = 64;
/// Keys looked at in one step of a search.
const SCAN_COUNT: usize = 1000;
/// How often the generation in use may be exchanged under us.
const SWITCHES_MAX: usize = 100;

impl Keeper {
    /// Makes a tenant's aggregates anew. Errors: Redis or the ledger do not answer; another process
    /// does the same at the moment. Whatever was in use stays so.
    pub async fn rebuild(&self, tenant: TenantId) -> Result<(), PortError> {
        let generation = Generation::new(tenant, &self.ids.uuid().as_simple().to_string());
        let is_unclean = self.begin(&generation).await?;
        let made = self.make(&generation).await;
        let replaced = match made {
            Ok(()) => self.switch(&generation).await,
            Err(error) => Err(error),
        };
        match replaced {
            Ok(had_one) => {
                if had_one || is_unclean {
                    self.clean(&generation).await?;
                }
                self.end(&generation).await
            }
            Err(error) => {
                // Its keys stay, marked as unclean; the next one removes them.
                _ = self.give_up(&generation).await;
                Err(error)
            }
        }
    }

    /// Takes the making for itself. Returns whether something may be left of an earlier one.
    async fn begin(&self, generation: &Generation) -> Result<bool, PortError> {
        let tenant = generation.tenant;
        let mut pipeline = redis::pipe();
        let take = pipeline.cmd("SET").arg(keys::making(tenant)).arg(&generation.id);
        take.arg("NX").arg("PX").arg(SILENT_MAX_MS);
        pipeline.cmd("GET").arg(keys::unclean(tenant));
        let mut answers = self.link.ask(&pipeline).await?.into_iter();
        let is_taken: Option<String> = next(&mut answers)?;
        let left: Option<String> = next(&mut answers)?;
        if is_taken.is_none() {
            return Err(elsewhere(tenant));
        }
        let mut mark = redis::cmd("SET");
        mark.arg(keys::unclean(tenant)).arg("1");
        let _: String = self.link.ask_one(mark).await?;
        Ok(left.is_some())
    }

    async fn make(&self, generation: &Generation) -> Result<(), PortError> {
        let (sender, sums) = mpsc::channel(USERS_AHEAD);
        let (places, written) = tokio::join!(
            self.ledger.users(generation.tenant, sender),
            self.write_users(generation, sums)
        );
        written?;
        let places = places?;
        let mut pipeline = redis::pipe();
        for ((_, partition), place) in places.iter() {
            let set = pipeline.cmd("HSET").arg(generation.places());
            set.arg(partition).arg(place_text(place));
        }
        self.send(generation, &mut pipeline).await?;
        self.catch_up(generation, places).await
    }

    async fn write_users(
        &self,
        generation: &Generation,
        mut sums: mpsc::Receiver<UserSums>,
    ) -> Result<(), PortError> {
        let (mut all, mut pipeline) = (BTreeMap::new(), redis::pipe());
        while let Some(user) = sums.recv().await {
            let change = Change::of_user(user, &mut all);
            self.put(generation, &change, &mut pipeline).await?;
        }
        self.put(generation, &of_all(all), &mut pipeline).await?;
        self.send(generation, &mut pipeline).await
    }

    async fn put(
        &self,
        generation: &Generation,
        change: &Change,
        pipeline: &mut Pipeline,
    ) -> Result<(), PortError> {
        for write in change.writes(generation) {
            match &write {
                Write::Hash { key, fields } => {
                    for part in fields.chunks(WRITES_MAX) {
                        pipeline.cmd("HSET").arg(key).arg(part);
                    }
                }
                Write::Board { key, moves } => {
                    for part in moves.come.chunks(WRITES_MAX) {
                        pipeline.cmd("ZADD").arg(key).arg(part);
                    }
                }
            }
            if pipeline.len() >= WRITES_MAX {
                self.send(generation, pipeline).await?;
            }
        }
        Ok(())
    }

    /// Sends what has gathered, if the making is still ours, and keeps it so.
    async fn send(
        &self,
        generation: &Generation,
        pipeline: &mut Pipeline,
    ) -> Result<(), PortError> {
        let making = keys::making(generation.tenant);
        let mut get = redis::cmd("GET");
        get.arg(&making);
        let maker: Option<String> = self.link.ask_one(get).await?;
        if maker.as_deref() != Some(&generation.id) {
            return Err(elsewhere(generation.tenant));
        }
        pipeline.cmd("PEXPIRE").arg(&making).arg(SILENT_MAX_MS);
        self.link.ask(pipeline).await?;
        pipeline.clear();
        Ok(())
    }

    /// Counts what the ledger has got since it was read. Returns when it has nothing more.
    async fn catch_up(
        &self,
        generation: &Generation,
        mut places: Applied,
    ) -> Result<(), PortError> {
        loop {
            let rows = self.ledger.beyond(generation.tenant, &places, ROWS_MAX as u32).await?;
            if rows.is_empty() {
                return Ok(());
            }
            self.keep_in(generation, &rows).await?;
            for row in &rows {
                places.advance(row);
            }
            self.send(generation, &mut redis::pipe()).await?;
        }
    }

    /// Puts the generation into use. Returns whether there was one before.
    async fn switch(&self, generation: &Generation) -> Result<bool, PortError> {
        let tenant = generation.tenant;
        let mut has_all = false;
        for _ in 0..SWITCHES_MAX {
            let used = self.in_use(tenant).await?;
            let used_places = match &used {
                Some(id) => Generation::new(tenant, id).places(),
                None => generation.places(),
            };
            let keys = [keys::pointer(tenant), keys::making(tenant), generation.places()];
            let keys = [&keys[..], &[used_places]].concat();
            let had_one = used.is_some();
            let force = if has_all { "1" } else { "0" };
            let args = [used.unwrap_or_default(), generation.id.clone(), force.to_owned()];
            let said: String = self.link.ask_one(Program::Switch.call(&keys, &args)).await?;
            match said.as_str() {
                "DONE" => {
                    self.in_use(tenant).await?;
                    return Ok(had_one);
                }
                "BEHIND" => {
                    let places = self.places(generation).await?;
                    // Read after the answer, the ledger has all that was counted by then.
                    has_all = self.ledger.beyond(tenant, &places, 1).await?.is_empty();
                    self.catch_up(generation, places).await?;
                }
                "MOVED" => {}
                _ => return Err(elsewhere(tenant)),
            }
        }
        Err(elsewhere(tenant))
    }

    /// Removes all keys of other generations.
    async fn clean(&self, generation: &Generation) -> Result<(), PortError> {
        let pattern = keys::generations(generation.tenant);
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_COUNT);
            let (next, found): (u64, Vec<String>) = self.link.ask_one(scan).await?;
            let old: Vec<String> = found.into_iter().filter(|key| !generation.has(key)).collect();
            let mut pipeline = redis::pipe();
            if !old.is_empty() {
                pipeline.cmd("UNLINK").arg(&old);
            }
            // Whoever else makes one by now has keys of its own, which must not go.
            self.send(generation, &mut pipeline).await?;
            cursor = next;
            if cursor == 0 {
                return Ok(());
            }
        }
    }

    async fn end(&self, generation: &Generation) -> Result<(), PortError> {
        let mut delete = redis::cmd("DEL");
        delete.arg(keys::unclean(generation.tenant));
        let _: u64 = self.link.ask_one(delete).await?;
        self.give_up(generation).await
    }

    /// Lets others make one. If the making is another's by now, its end is awaited in vain, for a
    /// moment: it notices and begins again.
    async fn give_up(&self, generation: &Generation) -> Result<(), PortError> {
        let mut get = redis::cmd("GET");
        get.arg(keys::making(generation.tenant));
        let maker: Option<String> = self.link.ask_one(get).await?;
        if maker.as_deref() == Some(&generation.id) {
            let mut delete = redis::cmd("DEL");
            delete.arg(keys::making(generation.tenant));
            let _: u64 = self.link.ask_one(delete).await?;
        }
        Ok(())
    }

    /// The places of a generation.
    pub(crate) async fn places(&self, generation: &Generation) -> Result<Applied, PortError> {
        let mut ask = redis::cmd("HGETALL");
        ask.arg(generation.places());
        let pairs: Vec<(i32, String)> = self.link.ask_one(ask).await?;
        Ok(applied(generation.tenant, pairs))
    }
}

/// Places as they are kept.
pub(crate) fn applied(tenant: TenantId, pairs: Vec<(i32, String)>) -> Applied {
    let place = |(partition, text): (i32, String)| {
        Some(((tenant, partition), crate::keeper::read_place(&text)?))
    };
    Applied::from_kept(pairs.into_iter().filter_map(place))
}

fn elsewhere(tenant: TenantId) -> PortError {
    PortError {
        kind: PortErrorKind::Unavailable,
        message: format!(
            "the aggregates of tenant {tenant} are being made anew by another process"
        ),
    }
}
