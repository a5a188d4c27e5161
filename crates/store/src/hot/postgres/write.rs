//! Writing a batch. Events and their ids go in by COPY, straight into their tables; the rest by one
//! statement a table, all sent together.

use deadpool_postgres::Transaction;
use domain::incentive::{Completion, Incentive};
use engine::crash::{self, CrashPoint};
use engine::guard::{self, Guard};
use engine::ports::{BatchCommit, EventWrite, StateWrite};
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::super::encode::EncodedBatch;
use super::repeats::Repeats;
use super::rows::{EVER, TOPIC, integer};
use super::{Params, copy};
use crate::error::{Result, StoreError};
use crate::postgres::values::{Amount, Document, Instant};

const EVENTS: &str = "
    copy events (log_offset, tenant_id, event_id, user_id, user_ref, action_code, event_ts,
                 payload, append_time, kind, outcome, source_partition) from stdin (format binary)";
const EVENT_TYPES: [Type; 12] = [
    Type::INT8,
    Type::UUID,
    Type::TEXT,
    Type::UUID,
    Type::TEXT,
    Type::TEXT,
    Type::TIMESTAMPTZ,
    Type::JSONB,
    Type::TIMESTAMPTZ,
    Type::INT8,
    Type::TEXT,
    Type::INT4,
];
/// Not by COPY: its rows share log positions, several to a record, and Debezium, which goes on behind
/// the last position that it has told of, would leave out the rest of a record (ADR 0022). In the
/// order of the places, which who captures them relies on.
const INCENTIVES: &str = "
    insert into incentives (
        incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id, type,
        reward_currency, reward_amount, coupon_code, issued_at, seq,
        source_partition, batch_seq, ordinal,
        tenant_day_used, tenant_day_cap, tenant_total_used, tenant_total_cap,
        user_day_used, user_day_cap, user_total_used, user_total_cap, limit_day, budgets)
    select incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id, type,
        reward_currency, reward_amount, coupon_code, issued_at, seq,
        $1::integer, $2::bigint, (place - 1)::integer,
        tenant_day_used, tenant_day_cap, tenant_total_used, tenant_total_cap,
        user_day_used, user_day_cap, user_total_used, user_total_cap, limit_day, budgets
    from unnest(
        $3::uuid[], $4::uuid[], $5::uuid[], $6::text[], $7::uuid[], $8::bigint[], $9::text[],
        $10::text[], $11::text[], $12::numeric[], $13::text[], $14::timestamptz[], $15::bigint[],
        $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[],
        $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[], $24::integer[], $25::jsonb[])
        with ordinality as n (
            incentive_id, tenant_id, user_id, user_ref, campaign_id, campaign_version, event_id,
            type, reward_currency, reward_amount, coupon_code, issued_at, seq,
            tenant_day_used, tenant_day_cap, tenant_total_used, tenant_total_cap,
            user_day_used, user_day_cap, user_total_used, user_total_cap, limit_day, budgets, place)
    order by place";
const EVENT_IDS: &str = "
    copy event_ids (tenant_id, event_key, content_hash, log_offset, append_time, source_partition)
    from stdin (format binary)";
const EVENT_ID_TYPES: [Type; 6] =
    [Type::UUID, Type::UUID, Type::UUID, Type::INT8, Type::TIMESTAMPTZ, Type::INT4];
const NEW_STATES: &str = "
    insert into user_states (user_id, tenant_id, version, seq, state)
    select n.user_id, n.tenant_id, 1, n.seq, n.state
    from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::text[])
        as n (user_id, tenant_id, seq, state)
    on conflict (user_id) do nothing";
const STATES: &str = "
    update user_states s set version = s.version + 1, seq = n.seq, state = n.state
    from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[])
        as n (user_id, version, seq, state)
    where s.user_id = n.user_id and s.version = n.version";
const NEW_USERS: &str = "
    insert into users (user_id, tenant_id, external_ref, created_at)
    select n.user_id, n.tenant_id, n.external_ref, n.created_at
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[])
        as n (user_id, tenant_id, external_ref, created_at)
    on conflict (user_id) do nothing";
const USERS: &str = "
    insert into users (user_id, tenant_id, external_ref, created_at, attributes)
    select n.user_id, n.tenant_id, n.external_ref, n.created_at, n.attributes::jsonb
    from unnest($1::uuid[], $2::uuid[], $3::text[], $4::timestamptz[], $5::text[])
        as n (user_id, tenant_id, external_ref, created_at, attributes)
    on conflict (user_id) do update set attributes = excluded.attributes";
const USAGE: &str = "
    insert into limit_usage (tenant_id, limit_key, bucket, used)
    select n.tenant_id, n.limit_key, n.bucket, n.used::numeric
    from unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[])
        as n (tenant_id, limit_key, bucket, used)
    on conflict (tenant_id, limit_key, bucket) do update set used = excluded.used";
const MARKS: &str = "
    insert into user_marks (user_id, mark_key, campaign_id, marked_at)
    select n.user_id, n.mark_key, n.campaign_id, n.marked_at
    from unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::timestamptz[])
        as n (user_id, mark_key, campaign_id, marked_at)
    on conflict (user_id, mark_key) do nothing";
const COMPLETION: &str = "
    insert into user_aggregations (
        aggregation_id, tenant_id, user_id, campaign_id, step_id, cycle, action_code,
        incentive_id, unpaid_reason, completed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
    on conflict (aggregation_id) do nothing";
/// Most actions that register themselves, per tenant.
const ACTIONS_MAX: i64 = 1000;
const ACTIONS: &str = "
    insert into actions (tenant_id, action_code, first_seen_at)
    select n.tenant_id, n.action_code, n.first_seen_at
    from (
        select n.*, row_number() over (partition by n.tenant_id order by n.place) as nth
        from unnest($1::uuid[], $2::text[], $3::timestamptz[]) with ordinality
            as n (tenant_id, action_code, first_seen_at, place)
        where not exists (
            select 1 from actions a
            where a.tenant_id = n.tenant_id and a.action_code = n.action_code)
    ) n
    where n.nth + (select count(*) from actions a where a.tenant_id = n.tenant_id) <= $4
    on conflict (tenant_id, action_code) do nothing";
const DEAD_LETTER: &str = "
    insert into dead_letters (dead_letter_id, tenant_id, source, reason, detail, raw, received_at)
    values ($1, $2, $3, $4, $5, $6, $7)
    on conflict (dead_letter_id) do nothing";
const LANES: &str = "
    update tenant_states s set last_append_time = n.at, lane_version = s.lane_version + 1
    from unnest($1::uuid[], $2::timestamptz[]) as n (tenant_id, at)
    where s.tenant_id = n.tenant_id";
const BATCH: &str = "
    insert into batches (
        partition, batch_seq, epoch, offset_from, offset_to, config_versions, counts, committed_at)
    values ($1, $2, $3, $4, $5, $6, $7, $8)";
const ADVANCE: &str = "
    update positions set next_offset = $3, batch_seq = $4, mark_log = $5, mark_check = $6
    where topic = $1 and partition = $2";

/// Writes a batch that was compared. False when a row is not as it was loaded: then nothing of it
/// may stay.
pub(super) async fn write(
    transaction: &Transaction<'_>,
    repeats: &Repeats,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<bool> {
    if !event_ids(transaction, batch).await? {
        repeats.seen();
        return Ok(false);
    }
    events(transaction, batch).await?;
    crash::point(CrashPoint::InCommit);
    let written: [Result<bool>; 12] = tokio::join!(
        incentives(transaction, batch, encoded),
        new_states(transaction, batch, encoded),
        changed_states(transaction, batch, encoded),
        new_users(transaction, batch),
        changed_users(transaction, batch),
        usage(transaction, batch, encoded),
        marks(transaction, batch),
        completions(transaction, batch, encoded),
        actions(transaction, batch),
        dead_letters(transaction, batch),
        lanes(transaction, batch),
        position(transaction, batch, encoded),
    )
    .into();
    let [_, new, changed, ..] = all(written)?;
    Ok(new && changed)
}

/// What statements said that were sent together. The first that fails ends the transaction, and
/// those behind it say no more than that, in whatever order they are heard: its error is the one
/// that tells.
fn all<const N: usize>(said: [Result<bool>; N]) -> Result<[bool; N]> {
    let mut values = [false; N];
    let mut vague = None;
    for (value, said) in values.iter_mut().zip(said) {
        match said {
            Ok(said) => *value = said,
            Err(error @ StoreError::Unavailable { .. }) => _ = vague.get_or_insert(error),
            Err(error) => return Err(error),
        }
    }
    vague.map_or(Ok(values), Err)
}

/// Runs a statement on so many rows, none of which is no work. True when it changed all of them.
async fn run(
    transaction: &Transaction<'_>,
    sql: &str,
    (rows, params): (usize, Params<'_>),
) -> Result<bool> {
    if rows == 0 {
        return Ok(true);
    }
    let statement = transaction.prepare_cached(sql).await?;
    let changed = transaction.execute(&statement, params).await?;
    Ok(changed == rows as u64)
}

async fn events(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<()> {
    if batch.events.is_empty() {
        return Ok(());
    }
    let mut writer = copy(transaction, EVENTS, &EVENT_TYPES).await?;
    for EventWrite { record, outcome, is_readable, .. } in &batch.events {
        let event = &record.event;
        let payload = is_readable.then_some(Document(&event.payload));
        writer
            .as_mut()
            .write(&[
                &record.offset,
                &event.tenant_id.0,
                &event.event_id.as_str(),
                &event.user().0,
                &event.user_id.as_str(),
                &event.action.as_str(),
                &Instant(event.event_ts),
                &payload,
                &Instant(record.append_time),
                &record.kind.code(),
                &outcome.as_str(),
                &batch.partition,
            ])
            .await?;
    }
    writer.as_mut().finish().await?;
    Ok(())
}

/// Places follow from the order in the batch: ordinals are dense.
async fn incentives(
    transaction: &Transaction<'_>,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<bool> {
    fn column<'a, T>(batch: &'a BatchCommit, of: impl Fn(&'a Incentive) -> T) -> Vec<T> {
        batch.incentives.iter().map(|one| of(one)).collect()
    }
    let budgets: Vec<_> = encoded.budgets.iter().map(|b| b.as_deref().map(Document)).collect();
    let params: Params<'_> = &[
        &batch.partition,
        &batch.batch_seq,
        &column(batch, |one| one.id.0),
        &column(batch, |one| one.tenant.0),
        &column(batch, |one| one.user.0),
        &column(batch, |one| one.user_ref.as_str()),
        &column(batch, |one| one.campaign.0),
        &column(batch, |one| i64::from(one.campaign_version)),
        &column(batch, |one| one.event_id.as_str()),
        &column(batch, |one| one.kind.as_str()),
        &column(batch, |one| &*one.currency),
        &column(batch, |one| Amount(one.amount)),
        &column(batch, |one| one.coupon_code.as_deref()),
        &column(batch, |one| Instant(one.issued_at)),
        &column(batch, |one| integer(one.seq)),
        &column(batch, |one| integer(one.limits.tenant_day.used)),
        &column(batch, |one| one.limits.tenant_day.cap.map(integer)),
        &column(batch, |one| integer(one.limits.tenant_total.used)),
        &column(batch, |one| one.limits.tenant_total.cap.map(integer)),
        &column(batch, |one| integer(one.limits.user_day.used)),
        &column(batch, |one| one.limits.user_day.cap.map(integer)),
        &column(batch, |one| integer(one.limits.user_total.used)),
        &column(batch, |one| one.limits.user_total.cap.map(integer)),
        &column(batch, |one| one.limits.day.0),
        &budgets,
    ];
    run(transaction, INCENTIVES, (batch.incentives.len(), params)).await
}

/// Writes the ids of a batch's events. False when one of them was decided before and the batch was
/// loaded without a lookup, or since.
async fn event_ids(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<bool> {
    if batch.events.is_empty() || !guard::holds(Guard::Dedupe) {
        return Ok(true);
    }
    let mut writer = copy(transaction, EVENT_IDS, &EVENT_ID_TYPES).await?;
    for EventWrite { record, key, content_hash, .. } in &batch.events {
        writer
            .as_mut()
            .write(&[
                &record.event.tenant_id.0,
                &Uuid::from_bytes(key.0),
                &Uuid::from_bytes(*content_hash),
                &record.offset,
                &Instant(record.append_time),
                &batch.partition,
            ])
            .await?;
    }
    match writer.as_mut().finish().await.map_err(StoreError::from) {
        Ok(_) => Ok(true),
        Err(StoreError::Conflict { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

fn states<'a>(
    batch: &'a BatchCommit,
    encoded: &'a EncodedBatch,
    is_new: bool,
) -> Vec<(&'a StateWrite, &'a str)> {
    let all = batch.states.iter().zip(encoded.states.iter().map(String::as_str));
    all.filter(|(write, _)| (write.expected_version == 0) == is_new).collect()
}

async fn new_states(
    transaction: &Transaction<'_>,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<bool> {
    let new = states(batch, encoded, true);
    let users: Vec<Uuid> = new.iter().map(|(write, _)| write.user.0).collect();
    let tenants: Vec<Uuid> = new.iter().map(|(write, _)| write.tenant.0).collect();
    let seqs: Vec<i64> = new.iter().map(|(write, _)| integer(write.state.seq)).collect();
    let texts: Vec<&str> = new.iter().map(|(_, text)| *text).collect();
    run(transaction, NEW_STATES, (new.len(), &[&users, &tenants, &seqs, &texts])).await
}

async fn changed_states(
    transaction: &Transaction<'_>,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<bool> {
    let changed = states(batch, encoded, false);
    let users: Vec<Uuid> = changed.iter().map(|(write, _)| write.user.0).collect();
    let versions: Vec<i64> = changed.iter().map(|(write, _)| write.expected_version).collect();
    let seqs: Vec<i64> = changed.iter().map(|(write, _)| integer(write.state.seq)).collect();
    let texts: Vec<&str> = changed.iter().map(|(_, text)| *text).collect();
    run(transaction, STATES, (changed.len(), &[&users, &versions, &seqs, &texts])).await
}

async fn new_users(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<bool> {
    let is_new = |write: &&StateWrite| write.expected_version == 0 && write.attributes.is_none();
    let new: Vec<_> = batch.states.iter().filter(is_new).collect();
    let users: Vec<Uuid> = new.iter().map(|write| write.user.0).collect();
    let tenants: Vec<Uuid> = new.iter().map(|write| write.tenant.0).collect();
    let refs: Vec<&str> = new.iter().map(|write| write.user_ref.as_str()).collect();
    let seen: Vec<Instant> = new.iter().map(|write| Instant(write.seen_at)).collect();
    run(transaction, NEW_USERS, (new.len(), &[&users, &tenants, &refs, &seen])).await
}

async fn changed_users(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<bool> {
    let changed: Vec<_> = batch.states.iter().filter(|w| w.attributes.is_some()).collect();
    let users: Vec<Uuid> = changed.iter().map(|write| write.user.0).collect();
    let tenants: Vec<Uuid> = changed.iter().map(|write| write.tenant.0).collect();
    let refs: Vec<&str> = changed.iter().map(|write| write.user_ref.as_str()).collect();
    let seen: Vec<Instant> = changed.iter().map(|write| Instant(write.seen_at)).collect();
    let texts: Vec<Option<&str>> = changed.iter().map(|w| w.attributes.as_deref()).collect();
    run(transaction, USERS, (changed.len(), &[&users, &tenants, &refs, &seen, &texts])).await
}

async fn usage(
    transaction: &Transaction<'_>,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<bool> {
    let all = &batch.usage;
    let tenants: Vec<Uuid> = all.iter().map(|write| write.tenant.0).collect();
    let keys: Vec<&str> = all.iter().map(|write| write.key.as_str()).collect();
    let bucket = |day: Option<domain::time::Day>| day.map_or(EVER, |day| i64::from(day.0));
    let buckets: Vec<i64> = all.iter().map(|write| bucket(write.bucket)).collect();
    run(transaction, USAGE, (all.len(), &[&tenants, &keys, &buckets, &encoded.used])).await
}

async fn marks(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<bool> {
    let all = &batch.marks;
    let users: Vec<Uuid> = all.iter().map(|mark| mark.user.0).collect();
    let keys: Vec<Uuid> = all.iter().map(|mark| Uuid::from_bytes(mark.key)).collect();
    let campaigns: Vec<Uuid> = all.iter().map(|mark| mark.campaign.0).collect();
    let times: Vec<Instant> = all.iter().map(|mark| Instant(mark.at)).collect();
    run(transaction, MARKS, (all.len(), &[&users, &keys, &campaigns, &times])).await
}

async fn completions(
    transaction: &Transaction<'_>,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<bool> {
    for ((tenant, done), id) in batch.completions.iter().zip(&encoded.completions) {
        let Completion { user, campaign, step, cycle, action, incentive, .. } = done;
        let params: Params<'_> = &[
            id,
            &tenant.0,
            &user.0,
            &campaign.0,
            step,
            &i64::from(*cycle),
            &action.as_str(),
            &incentive.map(|i| i.0),
            &done.unpaid_reason,
            &Instant(done.completed_at),
        ];
        run(transaction, COMPLETION, (1, params)).await?;
    }
    Ok(true)
}

async fn actions(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<bool> {
    let all = &batch.actions;
    let tenants: Vec<Uuid> = all.iter().map(|(tenant, ..)| tenant.0).collect();
    let codes: Vec<&str> = all.iter().map(|(_, action, _)| action.as_str()).collect();
    let times: Vec<Instant> = all.iter().map(|(.., at)| Instant(*at)).collect();
    run(transaction, ACTIONS, (all.len(), &[&tenants, &codes, &times, &ACTIONS_MAX])).await
}

async fn dead_letters(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<bool> {
    for letter in &batch.dead_letters {
        let params: Params<'_> = &[
            &letter.id,
            &letter.tenant.map(|tenant| tenant.0),
            &letter.source,
            &letter.reason,
            &letter.detail,
            &letter.raw,
            &Instant(letter.received_at),
        ];
        run(transaction, DEAD_LETTER, (1, params)).await?;
    }
    Ok(true)
}

async fn lanes(transaction: &Transaction<'_>, batch: &BatchCommit) -> Result<bool> {
    let tenants: Vec<Uuid> = batch.lanes.keys().map(|tenant| tenant.0).collect();
    let times: Vec<Instant> = batch.lanes.values().map(|moved| Instant(moved.to)).collect();
    run(transaction, LANES, (batch.lanes.len(), &[&tenants, &times])).await
}

async fn position(
    transaction: &Transaction<'_>,
    batch: &BatchCommit,
    encoded: &EncodedBatch,
) -> Result<bool> {
    let row: Params<'_> = &[
        &batch.partition,
        &batch.batch_seq,
        &batch.epoch,
        &batch.offset_from,
        &batch.offset_to,
        &Document(&encoded.config_versions),
        &Document(&encoded.counts),
        &Instant(batch.committed_at),
    ];
    run(transaction, BATCH, (1, row)).await?;
    let (log, check) = (batch.mark.map(|m| m.log), batch.mark.map(|m| i64::from(m.check)));
    let (to, seq) = (batch.offset_to, batch.batch_seq);
    let row: Params<'_> = &[&TOPIC, &batch.partition, &to, &seq, &log, &check];
    run(transaction, ADVANCE, (1, row)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_errors_the_cause_is_told_wherever_it_is_heard() {
        let aborted = || Err(StoreError::Unavailable { detail: "aborted (25P02)".to_owned() });
        let cause = || Err(StoreError::invalid("a use above its cap"));
        for said in [[cause(), aborted(), Ok(true)], [aborted(), Ok(true), cause()]] {
            let told = all(said);
            assert!(matches!(told, Err(StoreError::Invalid { .. })), "{told:?}");
        }
        let lost = all([aborted(), aborted()]);
        assert!(matches!(lost, Err(StoreError::Unavailable { .. })), "{lost:?}");
        assert_eq!(all([Ok(true), Ok(false)]).expect("well"), [true, false]);
    }
}
