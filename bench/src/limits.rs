//! What limits cost Redis: CHECK_AND_INCR and SETTLE as calculators send them, against scripts that
//! issue the same commands and do nothing else, in turns on a Redis of this program's own.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::id::{IncentiveId, TenantId, UserRef};
use domain::time::{Day, Zone};
use engine::metrics::Metrics;
use engine::ports::{Advice, Clock as _, DayUse, LimitGate as _, LimitMove, Reservation, UserUse};
use limits_redis::{RedisLimits, Settings, Surroundings};
use redis::aio::MultiplexedConnection;
use store::hot::SqliteHotStore;
use store::{DbOptions, SqliteDb};
use testkit::dir::TempDir;
use testkit::redis::RedisServer;
use uuid::Uuid;

use crate::distributed::Now;
use crate::pipeline::Ids;

/// Incentives of a batch.
const BATCH: u64 = 500;
/// Incentives of a call.
const CALL: usize = 100;
/// Each way is measured so often, in turns; the first time warms up.
const ROUNDS: u64 = 11;
/// A cap that is never reached.
const CAP: u64 = 1 << 40;

const RESERVE: &str = "
local call = redis.call
call('HMGET', KEYS[1], 'generation', 'lane', 'day', ARGV[1], ARGV[2], ARGV[3])
local asked, writes = tonumber(ARGV[10]), tonumber(ARGV[11])
call('HMGET', KEYS[2], unpack(ARGV, 12, asked))
call('HSET', KEYS[2], unpack(ARGV, asked + 1, writes))
call('PEXPIREAT', KEYS[2], ARGV[8])
for i = 3, #KEYS do call('SET', KEYS[i], ARGV[writes + i - 2], 'PXAT', ARGV[8]) end
call('HSET', KEYS[1], 'lane', ARGV[4], 'day', ARGV[5], ARGV[1], ARGV[6], ARGV[2], ARGV[7], ARGV[3], ARGV[4])
call('PEXPIREAT', KEYS[1], ARGV[9])
return {'DONE'}";
const SETTLE: &str = "
local call = redis.call
call('HMGET', KEYS[1], 'generation', 'lane', 'day', ARGV[1], ARGV[2], ARGV[3])
local asked, gone = tonumber(ARGV[10]), tonumber(ARGV[11])
call('HMGET', KEYS[2], unpack(ARGV, 12, asked))
call('HDEL', KEYS[2], unpack(ARGV, 12, gone))
if asked < #ARGV then call('HSET', KEYS[2], unpack(ARGV, asked + 1)) end
call('MGET', unpack(KEYS, 3))
call('HSET', KEYS[1], 'lane', ARGV[4], 'day', ARGV[5], ARGV[1], ARGV[6], ARGV[2], ARGV[7], ARGV[3], ARGV[4])
call('PEXPIREAT', KEYS[1], ARGV[9])
return {'DONE', 0}";
/// What of their arguments stands before those of the incentives.
const HEAD: usize = 11;

pub async fn run(incentives: u64) {
    let (server, dir) = (RedisServer::start(&[]), TempDir::new());
    let mut ask = redis::Client::open(server.url()).unwrap().get_connection().unwrap();
    let gate = RedisLimits::start(&quiet(&server.url()), around(dir.path())).unwrap();
    while !gate.is_asking() {
        // tidy-allow(sleep-in-test): it connects by itself
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut bare = Bare::new(&server.url()).await;
    println!("{incentives} incentives of as many users, {BATCH} a batch, {CALL} a call, reserved and settled");
    let mut costs = Vec::new();
    for round in 0..ROUNDS {
        let ours = measured(&mut ask, incentives, through(&gate, 2 * round, incentives)).await;
        let plain = measured(&mut ask, incentives, bare.run(2 * round + 1, incentives)).await;
        for (name, count) in &ours.commands {
            // An owner makes itself known once.
            let bare = plain.commands.get(name).copied().unwrap_or(0);
            assert!(count.abs_diff(bare) <= 4, "both issue the same commands: {:?}, {:?}", ours.commands, plain.commands);
        }
        if round == 0 {
            println!("commands of both: {:?}", ours.commands);
            continue;
        }
        println!(
            "  ours {:.1} us of Redis's processor time and {:.1} us in all, bare {:.1} us and {:.1} us, an incentive",
            ours.cpu, ours.wall, plain.cpu, plain.wall
        );
        costs.push([ours.cpu, ours.wall, plain.cpu, plain.wall]);
    }
    // The least of all: what else the machine did only adds.
    let least = |of: usize| costs.iter().map(|c| c[of]).fold(f64::MAX, f64::min);
    println!(
        "of the bare scripts, each at its best: {:.0} % by Redis's processor time, {:.0} % by time (goal: 80 % or more)",
        least(2) / least(0) * 100.0, least(3) / least(1) * 100.0
    );
    println!("Redis's processor time: {:.1} us an incentive (goal: 20 us or less)", least(0));
}

/// Nothing happens by itself.
fn quiet(url: &str) -> Settings {
    const LONG: Duration = Duration::from_secs(3600);
    Settings { patience: LONG, look_every: LONG, sweep_every: LONG, scrub_every: LONG, ..Settings::new(url) }
}

fn around(dir: &Path) -> Surroundings {
    // Nobody asks it anything.
    let store = SqliteDb::open(&dir.join("incent.db"), &DbOptions::default()).unwrap();
    Surroundings {
        store: Arc::new(SqliteHotStore::new(store)),
        clock: Arc::new(Now),
        ids: Arc::new(Ids(1.into())),
        metrics: Metrics::detached(),
    }
}

/// What a run cost, in microseconds an incentive.
struct Cost {
    cpu: f64,
    wall: f64,
    /// How often each command was called.
    commands: BTreeMap<String, u64>,
}

/// Seconds of processor time that Redis has used.
fn used(redis: &mut redis::Connection) -> f64 {
    let said: String = redis::cmd("INFO").arg("cpu").query(redis).unwrap();
    let of = |name: &str| said.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap();
    of("used_cpu_user_main_thread:") + of("used_cpu_sys_main_thread:")
}

async fn measured(redis: &mut redis::Connection, incentives: u64, work: impl Future<Output = ()>) -> Cost {
    redis::cmd("CONFIG").arg("RESETSTAT").exec(redis).unwrap();
    let (begun, before) = (Instant::now(), used(redis));
    work.await;
    let (wall, used) = (begun.elapsed().as_secs_f64(), used(redis) - before);
    let said: String = redis::cmd("INFO").arg("commandstats").query(redis).unwrap();
    let commands = said.lines().filter_map(|line| {
        let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let count = rest.split(',').next()?.parse().ok()?;
        ["hmget", "hset", "hdel", "mget", "set", "get", "pexpireat", "pexpiretime", "evalsha"]
            .contains(&name)
            .then(|| (name.to_owned(), count))
    });
    let each = 1e6 / incentives as f64;
    Cost { cpu: used * each, wall: wall * each, commands: commands.collect() }
}

/// Incentive number `n`'s user, as the tenant calls them.
fn user(n: u64) -> UserRef {
    UserRef::new(&format!("user-{n}")).unwrap()
}

fn incentive(n: u64) -> Uuid {
    Uuid::from_u128(0x0199_0000_0000_8000_8000_0000_0000_0000 | u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
}

fn tenant(run: u64) -> TenantId {
    TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0000 + u128::from(run)))
}

/// As calculators do, for a tenant of this run alone.
async fn through(gate: &RedisLimits, run: u64, incentives: u64) {
    let (zone, partition) = (Zone::utc(), run as i32);
    gate.taken_over(partition, 1);
    for batch in 0..incentives / BATCH {
        let today = zone.day(Now.now());
        let moved = |from: u64, by: u64| LimitMove { from, to: from + by, cap: Some(CAP) };
        let range = batch * BATCH..(batch + 1) * BATCH;
        let day = DayUse {
            tenant: tenant(run),
            day: today,
            starts_at: zone.start_of(today),
            ends_at: zone.start_of(Day(today.0 + 1)),
            lane_version: batch as i64,
            tenant_day: moved(batch * BATCH, BATCH),
            tenant_total: moved(batch * BATCH, BATCH),
            users: range.clone().map(|n| UserUse { user_ref: user(n), day: moved(0, 1), total: moved(0, 1) }).collect(),
            incentives: range.enumerate().map(|(place, n)| (IncentiveId(incentive(n)), place)).collect(),
        };
        let reservation = Reservation { partition, epoch: 1, batch_seq: batch as i64 + 1, days: vec![day] };
        let reservation = Arc::new(reservation);
        assert_eq!(gate.reserve(&reservation).await, Advice::Room);
        gate.settle(reservation);
    }
    // The courier does one thing after the other: when it answers this, all is settled.
    let nothing = Reservation { partition, epoch: 1, batch_seq: i64::MAX, days: Vec::new() };
    gate.reserve(&Arc::new(nothing)).await;
}

/// Sends the bare scripts.
struct Bare {
    link: MultiplexedConnection,
    reserve: String,
    settle: String,
}

impl Bare {
    async fn new(url: &str) -> Self {
        let client = redis::Client::open(url).unwrap();
        let mut link = client.get_multiplexed_async_connection().await.unwrap();
        let mut load = async |script| redis::cmd("SCRIPT").arg("LOAD").arg(script).query_async(&mut link).await.unwrap();
        let (reserve, settle) = (load(RESERVE).await, load(SETTLE).await);
        Self { link, reserve, settle }
    }

    async fn run(&mut self, run: u64, incentives: u64) {
        let (tenant, partition) = (tenant(run).0, run);
        let today = Zone::utc().day(Now.now());
        let ends = Zone::utc().start_of(Day(today.0 + 1)).micros() / 1000;
        let state = format!("limit:{{{tenant}}}:state");
        let pending = format!("limit:{{{tenant}}}:pending:{}", today.0);
        let daily = format!("limit:{{{tenant}}}:daily");
        let names: Vec<String> = ["epoch", "sequence", "batch"].map(|n| format!("{n}:{partition}")).into();
        // Makes the tenant known, as its owner does.
        let mut met = redis::pipe();
        met.cmd("HSET").arg(&state).arg("generation").arg(incentive(run).as_simple().to_string());
        met.cmd("PEXPIREAT").arg(&state).arg(ends + 86_400_000);
        let mut sequence = 0;
        for batch in 0..incentives / BATCH {
            let (mut reserve, mut settle) = (redis::pipe(), redis::pipe());
            let calls = BATCH / CALL as u64;
            for call in 0..calls {
                let from = batch * BATCH + call * CALL as u64;
                let range = from..from + CALL as u64;
                let users: Vec<String> = range.clone().map(|n| format!("limit:{{{tenant}}}:{{{}}}:daily", user(n))).collect();
                let ids: Vec<String> = range.map(|n| incentive(n).as_simple().to_string()).collect();
                let mut keys = vec![&*state, &*pending, &*daily];
                keys.extend(users.iter().map(String::as_str));
                sequence += 1;
                let head = [
                    names[0].clone(), names[1].clone(), names[2].clone(), batch.to_string(), today.0.to_string(),
                    "1".to_owned(), sequence.to_string(), ends.to_string(), (ends + 86_400_000).to_string(),
                ];
                let asked = HEAD + ids.len() + users.len() + 1;
                let one = |program: &str| {
                    let mut cmd = redis::cmd("EVALSHA");
                    cmd.arg(program).arg(keys.len()).arg(&keys).arg(&head).arg(asked);
                    cmd
                };

                let mut cmd = one(&self.reserve);
                let waits = ((call + 1) * CALL as u64).to_string();
                cmd.arg(asked + 2 * (ids.len() + users.len() + 1)).arg(&ids).arg(&daily).arg(&users);
                for (id, user) in ids.iter().zip(&users) {
                    cmd.arg(id).arg(format!("{partition}:1:{batch}:{user}")).arg(user).arg(1);
                }
                cmd.arg(&daily).arg(&waits);
                cmd.arg((batch * BATCH + (call + 1) * CALL as u64).to_string()).arg(vec![1; users.len()]);
                reserve.add_command(cmd);

                // The last call ends the tenant's count too, the others set it.
                let is_last = call + 1 == calls;
                let mut cmd = one(&self.settle);
                cmd.arg(if is_last { asked } else { asked - 1 }).arg(&ids).arg(&users).arg(&daily);
                if !is_last {
                    cmd.arg(&daily).arg(BATCH - (call + 1) * CALL as u64);
                }
                settle.add_command(cmd);
            }
            if batch == 0 {
                met.exec_async(&mut self.link).await.unwrap();
            }
            reserve.exec_async(&mut self.link).await.unwrap();
            settle.exec_async(&mut self.link).await.unwrap();
        }
    }
}
