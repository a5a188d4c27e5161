//! The whole sequence as it runs in production, each role a process of its own, two of those that
//! decide and two of those that push: the real purchases come through REST and from a producer in
//! Python at once. In the end everybody tells the same story, row by row: PostgreSQL, the topic, the
//! frames, the counters and aggregates in Redis, the Parquet files, the slow reference, and an
//! embedded platform that decides the exported log again.

mod crowd;
mod embedded;
mod purchases;

use std::time::Instant;

use serde_json::{Value, json};
use testkit::redis::RedisServer;
use testkit::services::kafka_brokers;

use super::aggregates;
use super::connector::Connector;
use super::foreign::Foreign;
use super::happening::Happening;
use super::landing::{LANDS, doctor_agrees, landed_row_by_row, until_landed};
use super::ledger::{self, Batches};
use super::rest::{Rest, Sent};
use super::shop;
use super::stage::Stage;
use super::{invariants, topic};
use crate::support::Platform;
use crowd::Crowd;

const SHOPS: usize = 3;
/// Events in a request, all of one tenant.
const BATCH: usize = 100;
/// One batch in so many comes from Python.
const FOREIGN_EVERY: usize = 4;
/// One batch in so many is sent twice.
const REPEATED_EVERY: usize = 7;
/// Records that the producer in Python has on their way.
const UNFLUSHED: usize = 20;
/// One user in so many listens.
const LISTENS: usize = 100;
/// Users whose counters are looked at in Redis, by tenant.
const COUNTED_USERS: usize = 200;
const SERVICE_TOKEN: &str = "a-token-that-the-processes-share-of-32-bytes-or-more";

/// A tenant of the run.
struct Shop {
    document: Value,
    tenant: String,
}

#[test]
fn everybody_tells_the_same_story() {
    let begin = Instant::now();
    let phase = |name: &str| println!("{:6.1} s  {name}", begin.elapsed().as_secs_f32());
    // Of its own: it leaves many keys behind.
    let redis = RedisServer::start(&[]);
    let stage = Stage::with_redis(&redis.url());
    stage.prepare("4");
    let _captured = [
        Connector::start(&stage, "db.incentives.redis.json", &stage.aggregates_topic),
        Connector::start(&stage, "db.incentives.json", &stage.analytics_topic),
    ];
    let shared = ("INCENT_SERVICE_TOKEN", SERVICE_TOKEN);
    let cms = stage.serve_as("cms", "cms,cohorts", &[shared]);
    let asks = [shared, ("INCENT_CMS_URL", &*cms.url)];
    let calculators = ["ic-1", "ic-2"].map(|name| stage.serve_as(name, "ic", &asks));
    let pushes = ["dcm-1", "dcm-2"].map(|name| stage.serve(name, "dcm"));
    let events = stage.serve("events", "events");
    let aggregator = stage.serve("aggregator", "aggregator");
    let analytics = stage.serve_as("analytics", "analytics", &LANDS);

    let shops = open(&Rest::new(&cms.url), &stage);
    let settings = shops.each_ref().map(|shop| ledger::setting(&stage.db, &shop.tenant));
    let purchases = purchases::by_shop(SHOPS);
    let urls = pushes.each_ref().map(|push| push.url.as_str());
    let crowd = Crowd::listen(&urls, listeners(&shops, &purchases), now_s(&stage));
    phase("all is set up, the devices listen");

    let sent = send_all(&stage, &events, &shops, &purchases);
    phase("all is sent");
    let total = purchases.iter().map(|of| of.len() as i64).sum::<i64>();
    stage.until("select count(*) from events where outcome is not null", total);
    let unpublished = "select count(*) from incentives i where not exists (
        select 1 from incentive_event_log l where l.incentive_id = i.incentive_id)";
    stage.until(unpublished, 0);
    phase("all is decided and announced");
    let granted = stage.number("select count(*) from incentives");
    assert!(granted > total, "{granted} incentives for {total} events");
    let repeated = "select sum((counts ->> 'DUPLICATE')::bigint) from batches";
    assert_eq!(stage.number(repeated), sent.repeated, "what was sent twice is a duplicate");

    crowd.has_heard(&stage);
    phase("the devices have heard");
    for shop in &shops {
        redis_counts(&stage, &shop.tenant);
        aggregates::agrees(&stage.db, &Rest::new(&cms.url), &shop.tenant, "USD");
    }
    phase("counters and aggregates in Redis agree");
    until_landed(stage.dir(), granted);
    landed_row_by_row(&stage.db, stage.dir());
    doctor_agrees(stage.dir());
    phase("the Parquet files agree, and so does the doctor");
    for process in calculators.into_iter().chain(pushes).chain([cms, events]) {
        assert!(process.stop().success(), "it stops in order");
    }
    assert!(aggregator.stop().success() && analytics.stop().success(), "they stop in order");

    topic::has_each_once(&stage.db, &kafka_brokers(), &stage.incentives_topic);
    phase("the topic agrees");
    invariants::hold(&stage.db);
    let batches = Batches::read(&stage.db);
    let mut logs = Vec::new();
    for (shop, setting) in shops.iter().zip(settings) {
        let story = ledger::story(&stage.db, &batches, &shop.tenant);
        story.equals_reference(&[(setting.config.config_version, setting)].into());
        logs.push((&shop.document, story.log));
    }
    phase("the invariants hold, the reference agrees");
    embedded::decides_the_same(&stage, &logs);
    phase("an embedded platform decides the same");
    println!("{total} events, {granted} incentives, {} from Python", sent.foreign);
}

/// Tenants with limits of several kinds, in a zone where it is day now: at midnight their limits
/// would begin anew, which another run over the same log could not know.
fn open(rest: &Rest, stage: &Stage) -> [Shop; SHOPS] {
    let hour = stage.number("select extract(hour from now() at time zone 'utc')::bigint");
    let zone = if (1..13).contains(&hour) { "Asia/Kolkata" } else { "America/New_York" };
    let limit = |day: Option<u32>, total: Option<u32>, window: Option<u32>| json!({ "maxPerDay": day, "maxTotal": total, "windowDays": window });
    let none = || limit(None, None, None);
    [
        ("Plenty", json!({ "tenant": none(), "perUser": none() })),
        (
            "Careful",
            json!({ "tenant": limit(Some(40_000), None, None),
                            "perUser": limit(Some(5), Some(6), Some(30)) }),
        ),
        (
            "Scarce",
            json!({ "tenant": limit(Some(6_000), None, None),
                           "perUser": limit(None, Some(4), None) }),
        ),
    ]
    .map(|(name, limits)| {
        let document = json!({
            "name": name, "timeZone": zone, "limits": limits, "allowedLateness": "P3000D",
        });
        let tenant = shop::open(rest, &document).tenant;
        Shop { document, tenant }
    })
}

fn now_s(stage: &Stage) -> i64 {
    stage.number("select extract(epoch from now())::bigint")
}

/// Tenant and user of each device.
fn listeners(shops: &[Shop], purchases: &[Vec<Happening>]) -> Vec<(String, String)> {
    let of = |(shop, purchases): (&Shop, &Vec<Happening>)| {
        let mut users: Vec<&str> = purchases.iter().map(|p| p.user.as_str()).collect();
        users.sort_unstable();
        users.dedup();
        let some = users.into_iter().step_by(LISTENS);
        some.map(|user| (shop.tenant.clone(), user.to_owned())).collect::<Vec<_>>()
    };
    shops.iter().zip(purchases).flat_map(of).collect()
}

struct SentInAll {
    repeated: i64,
    foreign: usize,
}

/// Sends everything: by two senders through REST, and from Python past it.
fn send_all(
    stage: &Stage,
    events: &Platform,
    shops: &[Shop],
    purchases: &[Vec<Happening>],
) -> SentInAll {
    let mut batches: Vec<(&str, &[Happening])> = Vec::new();
    let longest = purchases.iter().map(Vec::len).max().unwrap_or(0);
    for from in (0..longest).step_by(BATCH) {
        for (shop, purchases) in shops.iter().zip(purchases) {
            let to = purchases.len().min(from + BATCH);
            batches.extend((from < to).then(|| (&*shop.tenant, &purchases[from..to])));
        }
    }
    let times = |n: usize| 1 + usize::from(n.is_multiple_of(REPEATED_EVERY));
    let is_foreign = |n: usize| n % FOREIGN_EVERY == FOREIGN_EVERY - 1;
    let all = || batches.iter().enumerate();
    std::thread::scope(|scope| {
        for turn in 0..2 {
            let rest = Rest::new(&events.url);
            scope.spawn(move || {
                let own = all().filter(|(n, _)| !is_foreign(*n) && n % 2 == turn);
                for (n, (tenant, events)) in own {
                    for _ in 0..times(n) {
                        let sent = rest.send(tenant, events);
                        assert!(matches!(sent, Sent::Acknowledged), "nobody is in its way");
                    }
                }
            });
        }
        scope.spawn(|| {
            let mut producer = Foreign::start(&kafka_brokers(), &stage.events_topic);
            for (n, (tenant, events)) in all().filter(|(n, _)| is_foreign(*n)) {
                for event in (0..times(n)).flat_map(|_| events.iter()) {
                    // By the partitioner of librdkafka: most tenants come to lie on two partitions.
                    producer.event(tenant, event, true);
                }
                if (n / FOREIGN_EVERY).is_multiple_of(UNFLUSHED) {
                    producer.flush();
                }
            }
            producer.flush();
        });
    });
    let repeated = all().map(|(n, (_, events))| (times(n) - 1) * events.len()).sum::<usize>();
    let foreign = all().filter(|(n, _)| is_foreign(*n)).map(|(_, (_, events))| events.len()).sum();
    SentInAll { repeated: repeated as i64, foreign }
}

/// The plain integers of the day: the tenant's, and those of users.
fn redis_counts(stage: &Stage, tenant: &str) {
    let granted =
        stage.number(&format!("select count(*) from incentives where tenant_id = '{tenant}'"));
    stage.until_redis(&format!("limit:{{{tenant}}}:daily"), &granted.to_string());
    let of_users = format!(
        "from incentives where tenant_id = '{tenant}' group by user_ref order by user_ref
         limit {COUNTED_USERS}"
    );
    let keys = format!("select 'limit:{{{tenant}}}:{{' || user_ref || '}}:daily' {of_users}");
    let counts = stage.rows(&format!("select count(*)::text {of_users}"));
    let keys = stage.rows(&keys);
    assert!(!keys.is_empty() && stage.redis(&["mget"], &keys) == counts, "use of users in Redis");
}
