//! One batch, one closure on the writer thread: compare what was read, then write everything.

use domain::id::TenantId;
use domain::incentive::{Completion, Incentive};
use engine::crash::{self, CrashPoint};
use engine::ports::{BatchCommit, DeadLetter, StateWrite};
use rusqlite::{CachedStatement, Connection, params};

use super::encode::EncodedBatch;
use super::rows::{EVER, TOPIC, blob};
use super::written::{Stored, Written};
use crate::error::{Result, StoreError};

const POSITION: &str = "
    select epoch, next_offset, batch_seq from positions where topic = ?1 and partition = ?2";
const CONFIG_VERSION: &str = "select config_version from tenant_states where tenant_id = ?1";
const OUTCOME: &str = "update events set outcome = ?2 where log_offset = ?1";
const NEW_STATE: &str = "
    insert into user_states (user_id, tenant_id, version, seq, state) values (?1, ?2, 1, ?3, ?4)
    on conflict (user_id) do nothing";
const STATE: &str = "
    update user_states set version = version + 1, seq = ?3, state = ?4
    where user_id = ?1 and version = ?2";
const NEW_USER: &str = "
    insert into users (user_id, tenant_id, external_ref, created_at) values (?1, ?2, ?3, ?4)
    on conflict (user_id) do nothing";
const USER: &str = "
    insert into users (user_id, tenant_id, external_ref, attributes, created_at)
    values (?1, ?2, ?3, ?4, ?5)
    on conflict (user_id) do update set attributes = excluded.attributes";
const USAGE: &str = "
    insert into limit_usage (tenant_id, limit_key, bucket, used) values (?1, ?2, ?3, ?4)
    on conflict (tenant_id, limit_key, bucket) do update set used = excluded.used";
const MARK: &str = "
    insert into user_marks (user_id, mark_key, campaign_id, marked_at) values (?1, ?2, ?3, ?4)
    on conflict (user_id, mark_key) do nothing";
const INCENTIVE: &str = "
    insert into incentives (
        incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id, type,
        reward_currency, reward_amount, coupon_code, issued_at, seq,
        source_partition, batch_seq, ordinal,
        tenant_day_used, tenant_day_cap, tenant_total_used, tenant_total_cap,
        user_day_used, user_day_cap, user_total_used, user_total_cap, limit_day, budgets)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
            ?20, ?21, ?22, ?23, ?24, ?25, ?26)";
const COMPLETION: &str = "
    insert into user_aggregations (
        aggregation_id, tenant_id, user_id, campaign_id, step_id, cycle, action_code,
        incentive_id, unpaid_reason, completed_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    on conflict (aggregation_id) do nothing";
/// Most actions that register themselves, per tenant.
const ACTIONS_MAX: i64 = 1000;
const ACTION: &str = "
    insert into actions (tenant_id, action_code, first_seen_at)
    select ?1, ?2, ?3 where (select count(*) from actions where tenant_id = ?1) < ?4
    on conflict (tenant_id, action_code) do nothing";
const DEAD_LETTER: &str = "
    insert into dead_letters (dead_letter_id, tenant_id, source, reason, detail, raw, received_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7)
    on conflict (dead_letter_id) do nothing";
const BATCH: &str = "
    insert into batches (
        partition, batch_seq, epoch, offset_from, offset_to, config_versions, counts, committed_at)
    values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)";
const ADVANCE: &str = "
    update positions set next_offset = ?3, batch_seq = ?4 where topic = ?1 and partition = ?2";

pub(super) fn commit(
    conn: &Connection,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<Written> {
    if let Some(refused) = compare(conn, batch)? {
        return Ok(refused);
    }
    states(conn, batch, encoded)?;
    outcomes(conn, batch)?;
    crash::point(CrashPoint::InCommit);
    usage_and_marks(conn, batch, encoded)?;
    incentives(conn, batch, encoded)?;
    completions(conn, batch, encoded)?;
    registrations(conn, batch)?;
    for letter in &batch.dead_letters {
        dead_letter(conn, letter)?;
    }
    position(conn, batch, encoded)?;
    Ok(Written::Done)
}

/// Compares position, epoch and configuration with what the batch was decided under.
fn compare(conn: &Connection, batch: &BatchCommit) -> Result<Option<Written>> {
    let mut query = conn.prepare_cached(POSITION)?;
    let stored = query.query_row((TOPIC, batch.partition), |r| {
        Ok(Stored { epoch: r.get(0)?, next_offset: r.get(1)?, batch_seq: r.get(2)? })
    })?;
    if let Some(refused) = stored.refuses(batch)? {
        return Ok(Some(refused));
    }
    let mut query = conn.prepare_cached(CONFIG_VERSION)?;
    for (tenant, expected) in &batch.config_versions {
        let version: i64 = query.query_row([blob(&tenant.0)], |r| r.get(0))?;
        if version != *expected {
            return Ok(Some(Written::Stale));
        }
    }
    Ok(None)
}

fn states(conn: &Connection, batch: &BatchCommit, encoded: &EncodedBatch) -> Result<()> {
    let mut new = conn.prepare_cached(NEW_STATE)?;
    let mut changed = conn.prepare_cached(STATE)?;
    for (write, state) in batch.states.iter().zip(&encoded.states) {
        let (user, seq) = (blob(&write.user.0), integer(write.state.seq));
        let rows = if write.expected_version == 0 {
            new.execute(params![user, blob(&write.tenant.0), seq, state])?
        } else {
            changed.execute(params![user, write.expected_version, seq, state])?
        };
        if rows == 0 {
            // Rolls back what is written so far.
            return Err(StoreError::Stale {
                what: format!("the state of user {}", write.user),
                expected: u32::try_from(write.expected_version).unwrap_or(u32::MAX),
                actual: 0,
            });
        }
    }
    let mut users = Users { new: conn.prepare_cached(NEW_USER)?, any: conn.prepare_cached(USER)? };
    batch.states.iter().try_for_each(|write| users.write(write))
}

struct Users<'c> {
    new: CachedStatement<'c>,
    any: CachedStatement<'c>,
}

impl Users<'_> {
    fn write(&mut self, write: &StateWrite) -> Result<()> {
        let [user, tenant] = [blob(&write.user.0), blob(&write.tenant.0)];
        let (user_ref, seen_at) = (write.user_ref.as_str(), write.seen_at.micros());
        if let Some(attributes) = &write.attributes {
            self.any.execute(params![user, tenant, user_ref, attributes, seen_at])?;
        } else if write.expected_version == 0 {
            self.new.execute(params![user, tenant, user_ref, seen_at])?;
        }
        Ok(())
    }
}

fn outcomes(conn: &Connection, batch: &BatchCommit) -> Result<()> {
    let mut update = conn.prepare_cached(OUTCOME)?;
    for write in &batch.outcomes {
        if update.execute((write.offset, &write.outcome))? != 1 {
            return Err(StoreError::Corrupt {
                table: "events".to_owned(),
                column: "log_offset".to_owned(),
                row: write.offset.to_string(),
                detail: "the record that was decided is not there".to_owned(),
            });
        }
    }
    Ok(())
}

fn usage_and_marks(conn: &Connection, batch: &BatchCommit, encoded: &EncodedBatch) -> Result<()> {
    let mut upsert = conn.prepare_cached(USAGE)?;
    for (write, used) in batch.usage.iter().zip(&encoded.used) {
        let bucket = write.bucket.map_or(EVER, |day| i64::from(day.0));
        upsert.execute(params![blob(&write.tenant.0), write.key, bucket, used])?;
    }
    let mut insert = conn.prepare_cached(MARK)?;
    for mark in &batch.marks {
        let [user, campaign] = [blob(&mark.user.0), blob(&mark.campaign.0)];
        insert.execute(params![user, mark.key, campaign, mark.at.micros()])?;
    }
    Ok(())
}

fn incentives(conn: &Connection, batch: &BatchCommit, encoded: &EncodedBatch) -> Result<()> {
    let mut insert = conn.prepare_cached(INCENTIVE)?;
    let texts = encoded.amounts.iter().zip(&encoded.budgets);
    for ((ordinal, incentive), (amount, budgets)) in (0_i64..).zip(&batch.incentives).zip(texts) {
        let place = (batch.partition, batch.batch_seq, ordinal);
        insert_incentive(&mut insert, incentive, place, (amount, budgets.as_deref()))?;
    }
    Ok(())
}

fn insert_incentive(
    insert: &mut CachedStatement<'_>,
    i: &Incentive,
    (partition, batch_seq, ordinal): (i32, i64, i64),
    (amount, budgets): (&str, Option<&str>),
) -> Result<()> {
    let limits = &i.limits;
    let cap = |cap: Option<u64>| cap.map(integer);
    insert.execute(params![
        blob(&i.id.0),
        blob(&i.tenant.0),
        blob(&i.user.0),
        i.user_ref.as_str(),
        blob(&i.campaign.0),
        i.campaign_version,
        i.event_id.as_str(),
        i.kind.as_str(),
        i.currency,
        amount,
        i.coupon_code,
        i.issued_at.micros(),
        integer(i.seq),
        partition,
        batch_seq,
        ordinal,
        integer(limits.tenant_day.used),
        cap(limits.tenant_day.cap),
        integer(limits.tenant_total.used),
        cap(limits.tenant_total.cap),
        integer(limits.user_day.used),
        cap(limits.user_day.cap),
        integer(limits.user_total.used),
        cap(limits.user_total.cap),
        limits.day.0,
        budgets,
    ])?;
    Ok(())
}

fn completions(conn: &Connection, batch: &BatchCommit, encoded: &EncodedBatch) -> Result<()> {
    let mut insert = conn.prepare_cached(COMPLETION)?;
    for ((tenant, done), id) in batch.completions.iter().zip(&encoded.completions) {
        insert.execute(completion_params(*tenant, done, id))?;
    }
    Ok(())
}

type CompletionParams<'a> = (
    &'a [u8],
    [u8; 16],
    &'a [u8],
    &'a [u8],
    Option<&'a str>,
    u32,
    &'a str,
    Option<&'a [u8]>,
    Option<&'static str>,
    i64,
);

fn completion_params<'a>(
    tenant: TenantId,
    done: &'a Completion,
    id: &'a uuid::Uuid,
) -> CompletionParams<'a> {
    (
        blob(id),
        *tenant.0.as_bytes(),
        blob(&done.user.0),
        blob(&done.campaign.0),
        done.step.as_deref(),
        done.cycle,
        done.action.as_str(),
        done.incentive.as_ref().map(|i| blob(&i.0)),
        done.unpaid_reason,
        done.completed_at.micros(),
    )
}

fn registrations(conn: &Connection, batch: &BatchCommit) -> Result<()> {
    let mut insert = conn.prepare_cached(ACTION)?;
    for (tenant, action, at) in &batch.actions {
        insert.execute((blob(&tenant.0), action.as_str(), at.micros(), ACTIONS_MAX))?;
    }
    Ok(())
}

/// Keeps a record that cannot be decided or accepted.
pub(crate) fn dead_letter(conn: &Connection, letter: &DeadLetter) -> Result<()> {
    conn.prepare_cached(DEAD_LETTER)?.execute(params![
        blob(&letter.id),
        letter.tenant.as_ref().map(|t| blob(&t.0)),
        letter.source,
        letter.reason,
        letter.detail,
        letter.raw,
        letter.received_at.micros(),
    ])?;
    Ok(())
}

fn position(conn: &Connection, batch: &BatchCommit, encoded: &EncodedBatch) -> Result<()> {
    conn.prepare_cached(BATCH)?.execute(params![
        batch.partition,
        batch.batch_seq,
        batch.epoch,
        batch.offset_from,
        batch.offset_to,
        encoded.config_versions,
        encoded.counts,
        batch.committed_at.micros(),
    ])?;
    let mut advance = conn.prepare_cached(ADVANCE)?;
    advance.execute((TOPIC, batch.partition, batch.offset_to, batch.batch_seq))?;
    Ok(())
}

/// Counts are far below 2^63.
fn integer(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
