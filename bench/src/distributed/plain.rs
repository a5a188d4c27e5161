//! The bare limit: the rows that the platform wrote, by COPY and one `update … from unnest` for 500
//! users' states, a transaction per batch, one connection per partition, with the same indexes and
//! slots, on the same server.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, TryStreamExt as _};
use store::PgDb;
use tokio::task::JoinSet;
use uuid::Uuid;

const NEW_STATES: &str = "
    insert into user_states (user_id, tenant_id, version, seq, state)
    select n.* from unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[]) as n";
const STATES: &str = "
    update user_states s set version = n.version, seq = n.seq, state = n.state
    from unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::text[]) as n (user_id, version, seq, state)
    where s.user_id = n.user_id";
/// States in one statement.
const AT_ONCE: usize = 500;

/// A user's state.
struct State {
    user: Uuid,
    tenant: Uuid,
    version: i64,
    seq: i64,
    text: String,
}

/// What one transaction writes.
struct Batch {
    /// Tables with their rows as COPY has them.
    copies: Vec<(&'static str, Vec<u8>)>,
    new: Vec<State>,
    changed: Vec<State>,
}

/// Writes what `from` has into `to`, and returns how long it took.
pub async fn write(from: &PgDb, to: &PgDb) -> Duration {
    let mut work = Vec::new();
    for (_, batches) in batches_of(from).await {
        let mut known = HashSet::new();
        let mut read = Vec::new();
        for (partition, number, range) in batches {
            read.push(read_batch(from, partition, number, range, &mut known).await);
        }
        work.push(read);
    }
    let begun = Instant::now();
    let mut writers = JoinSet::new();
    for batches in work {
        let to = to.clone();
        writers.spawn(async move {
            let client = to.client().await.unwrap();
            for batch in batches {
                write_batch(&client, batch).await;
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
    }
    begun.elapsed()
}

type Numbered = (i32, i64, (i64, i64));

async fn batches_of(from: &PgDb) -> BTreeMap<i32, Vec<Numbered>> {
    let client = from.client().await.unwrap();
    // The ids are found by their place; not part of what is timed.
    client.batch_execute("create index on event_ids (source_partition, log_offset)").await.unwrap();
    let rows = client
        .query("select partition, batch_seq, offset_from, offset_to from batches order by 1, 2", &[])
        .await
        .unwrap();
    let mut all: BTreeMap<i32, Vec<Numbered>> = BTreeMap::new();
    for row in rows {
        let partition = row.get(0);
        all.entry(partition).or_default().push((partition, row.get(1), (row.get(2), row.get(3))));
    }
    all
}

async fn read_batch(
    from: &PgDb,
    partition: i32,
    number: i64,
    (begin, end): (i64, i64),
    known: &mut HashSet<Uuid>,
) -> Batch {
    let client = from.client().await.unwrap();
    let copied = async |select: String| {
        let stream = client.copy_out(&format!("copy ({select}) to stdout (format binary)")).await.unwrap();
        let parts: Vec<_> = stream.try_collect().await.unwrap();
        parts.concat()
    };
    let range = format!("source_partition = {partition} and log_offset >= {begin} and log_offset < {end}");
    let place = format!("source_partition = {partition} and batch_seq = {number}");
    let users: Vec<Uuid> = client
        .query(&format!("select distinct user_id from events where {range}"), &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row.get(0))
        .collect();
    let fresh: HashSet<Uuid> = users.iter().copied().filter(|user| known.insert(*user)).collect();
    let list = fresh.iter().map(Uuid::to_string).collect::<Vec<_>>().join(",");
    let copies = vec![
        ("events", copied(format!("select * from events where {range}")).await),
        ("incentives", copied(format!("select * from incentives where {place} order by ordinal")).await),
        ("event_ids", copied(format!("select * from event_ids where {range}")).await),
        ("users", copied(format!("select * from users where user_id = any ('{{{list}}}'::uuid[])")).await),
        (
            "incentive_event_log",
            copied(format!(
                "select l.* from incentives i join incentive_event_log l using (incentive_id) where {}",
                place.replace("source", "i.source").replace("batch", "i.batch")
            ))
            .await,
        ),
        (
            "batches",
            copied(format!("select * from batches where partition = {partition} and batch_seq = {number}")).await,
        ),
    ];
    let rows = client
        .query("select user_id, tenant_id, version, seq, state from user_states where user_id = any ($1)", &[&users])
        .await
        .unwrap();
    let states = rows.iter().map(|row| State {
        user: row.get(0),
        tenant: row.get(1),
        version: row.get(2),
        seq: row.get(3),
        text: row.get(4),
    });
    let (new, changed) = states.partition(|state| fresh.contains(&state.user));
    Batch { copies, new, changed }
}

async fn write_batch(client: &tokio_postgres::Client, batch: Batch) {
    client.batch_execute("begin").await.unwrap();
    for (table, rows) in batch.copies {
        let sink = client.copy_in::<_, bytes::Bytes>(&format!("copy {table} from stdin (format binary)")).await.unwrap();
        let mut sink = std::pin::pin!(sink);
        sink.send(rows.into()).await.unwrap();
        sink.finish().await.unwrap();
    }
    let (new, changed) = (client.prepare(NEW_STATES).await.unwrap(), client.prepare(STATES).await.unwrap());
    for states in batch.new.chunks(AT_ONCE) {
        let users: Vec<_> = states.iter().map(|state| state.user).collect();
        let tenants: Vec<_> = states.iter().map(|state| state.tenant).collect();
        let versions: Vec<_> = states.iter().map(|state| state.version).collect();
        let seqs: Vec<_> = states.iter().map(|state| state.seq).collect();
        let texts: Vec<_> = states.iter().map(|state| &state.text).collect();
        client.execute(&new, &[&users, &tenants, &versions, &seqs, &texts]).await.unwrap();
    }
    for states in batch.changed.chunks(AT_ONCE) {
        let users: Vec<_> = states.iter().map(|state| state.user).collect();
        let versions: Vec<_> = states.iter().map(|state| state.version).collect();
        let seqs: Vec<_> = states.iter().map(|state| state.seq).collect();
        let texts: Vec<_> = states.iter().map(|state| &state.text).collect();
        client.execute(&changed, &[&users, &versions, &seqs, &texts]).await.unwrap();
    }
    client.batch_execute("commit").await.unwrap();
}
