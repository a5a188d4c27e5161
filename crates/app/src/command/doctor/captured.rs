//! Capturing of changes: what PostgreSQL and Kafka need for it, and whether what is kept of it is
//! right.

use aggregates_redis::Comparison;
use bus_kafka::topics;
use store::PgDb;
use store::postgres::{Capture, PUBLICATION, Slot, capture};

use super::Check;
use crate::failure::Outcome;
use crate::platform::{Connect, Connector, keeper};
use crate::table::grouped;

/// How far a reader may be behind before it is told.
const BEHIND_BYTES_MAX: u64 = 1 << 30;

/// Looks at what the database has for those who capture changes.
pub(super) async fn database(db: &PgDb, checks: &mut Vec<Check>) {
    const ASKED: &str = "PostgreSQL tells about its replication slots";
    match capture(db).await {
        Ok(capture) => checks.extend(of(&capture)),
        Err(error) => {
            let mend = "see that the database's user may read pg_replication_slots";
            checks.push(Check::bad(ASKED, error.to_string(), mend));
        }
    }
}

fn of(capture: &Capture) -> Vec<Check> {
    const LEVEL: &str = "PostgreSQL's log can be captured from";
    let mut checks = vec![match capture.wal_level.as_str() {
        "logical" => Check::well(format!("{LEVEL} (wal_level is logical)")),
        other => Check::bad(
            LEVEL,
            format!("its wal_level is {other}"),
            "set wal_level=logical and restart the server: until then Debezium cannot connect, \
             and the roles aggregator and analytics get nothing",
        ),
    }];
    let published = format!("the publication {PUBLICATION} tells rows of the whole ledger");
    let mend = format!("alter publication {PUBLICATION} set (publish_via_partition_root = true)");
    checks.push(match capture.is_by_root {
        Some(true) => Check::well(published),
        Some(false) => Check::bad(
            &published,
            "it tells the rows of each partition under a name of its own",
            &mend,
        ),
        None => Check::bad(&published, "there is none", "run incent migrate as the tables' owner"),
    });
    checks.push(match capture.slots.len() {
        0 => Check::well("nothing is captured: no replication slot reads this database"),
        n => Check::well(format!("{n} replication slots read this database")),
    });
    checks.extend(capture.slots.iter().map(slot));
    checks
}

fn slot(slot: &Slot) -> Check {
    let Slot { name, is_active, behind_bytes, kept_bytes, is_lost } = slot;
    let states = format!("the reader of slot {name} keeps up");
    let bytes = grouped(*behind_bytes);
    if *is_lost {
        return Check::bad(
            &states,
            "the server has thrown away what it had not read (max_slot_wal_keep_size)",
            "drop the slot, restart its connector, then make anew what was kept: incent aggregates \
             rebuild; see docs/operations.md",
        );
    }
    if !is_active {
        return Check::bad(
            &states,
            format!(
                "nobody reads from it; {} bytes of the log are kept for it",
                grouped(*kept_bytes)
            ),
            "restart its connector (GET /connectors?expand=status of Kafka Connect says what ails \
             it), or drop a slot that nobody needs: it fills the disk",
        );
    }
    if *behind_bytes > BEHIND_BYTES_MAX {
        return Check::bad(
            &states,
            format!("it is {bytes} bytes behind"),
            "see that Kafka Connect has time and memory; the disk must hold what is kept for it",
        );
    }
    Check::well(format!("{states}: {bytes} bytes behind"))
}

/// Looks for the topics of captured changes.
pub(super) async fn kafka(settings: &bus_kafka::Settings, checks: &mut Vec<Check>) {
    for name in [&settings.analytics_topic, &settings.aggregates_topic] {
        let states = format!("topic {name} is there for captured changes");
        checks.push(match topics::partitions_of(settings, name).await {
            Ok(n) => Check::well(format!("{states}, with {n} partitions")),
            Err(error) => Check::bad(&states, error.to_string(), "run incent topics create"),
        });
    }
}

/// Looks at the connectors that write these topics, each named like its own.
pub(super) async fn connectors(
    connect: &Connect,
    settings: &bus_kafka::Settings,
    checks: &mut Vec<Check>,
) {
    for name in [&settings.analytics_topic, &settings.aggregates_topic] {
        let states = format!("connector {name} runs");
        let url = connect.url();
        checks.push(match connect.connector(name).await {
            Ok(Some(found)) => connector(&states, &found, &format!("{url}/connectors/{name}")),
            // Not everybody captures for both.
            Ok(None) => Check::well(format!("there is no connector {name} at {url}")),
            Err(error) => {
                let mend = "see that it runs and that connectUrl is right";
                checks.push(Check::bad("Kafka Connect answers", error.to_string(), mend));
                return;
            }
        });
    }
}

fn connector(states: &str, found: &Connector, itself: &str) -> Check {
    if let Some(first) = found.failed.first() {
        let mend = format!(
            "mend what it says; processes that read its topic start it again by themselves where \
             connectUrl is set, or do it by hand: curl -X POST \
             '{itself}/restart?includeTasks=true&onlyFailed=true'"
        );
        return Check::bad(states, format!("it has failed: {first}"), &mend);
    }
    match found.is_halted {
        true => Check::bad(
            states,
            "it was told to pause or to stop; the log is kept for it meanwhile",
            &format!("curl -X PUT {itself}/resume, or drop it with its slot if nobody needs it"),
        ),
        false => Check::well(states),
    }
}

/// Compares the aggregates of all tenants with the ledger.
pub(super) async fn aggregates(url: &str, db: &PgDb, checks: &mut Vec<Check>) -> Outcome {
    const AGREE: &str = "the aggregates in Redis agree with the ledger";
    let keeper = keeper(url, db)?;
    let (mut after, mut kept, mut missing, mut behind) = (None, 0, 0, 0);
    let mut wrong = Vec::new();
    loop {
        let compared = async {
            let some = keeper.tenants(after).await?;
            let mut found = Vec::new();
            for id in &some {
                let compared = keeper.compare(*id, None).await?;
                found.push((*id, compared));
            }
            Ok::<_, engine::ports::PortError>((some.last().copied(), found))
        };
        let (last, found) = match compared.await {
            Ok(found) => found,
            Err(error) => {
                let mend = "see that Redis runs and that its address is right";
                checks.push(Check::bad(AGREE, error.to_string(), mend));
                return Ok(());
            }
        };
        let Some(last) = last else { break };
        after = Some(last);
        for (id, compared) in found {
            match compared.comparison {
                // Nothing is kept where no aggregator runs, nor of a tenant before its first row.
                Comparison::Missing => missing += 1,
                Comparison::Right => kept += 1,
                Comparison::Drift(n) => {
                    wrong.push(format!("tenant {id} by {} incentives", grouped(n)));
                }
            }
            behind += compared.behind;
        }
    }
    checks.push(match wrong.first() {
        None => Check::well(format!(
            "{AGREE}: {kept} tenants, {missing} without any, {} incentives still to be counted",
            grouped(behind)
        )),
        Some(first) => Check::bad(
            AGREE,
            format!("{} tenants differ, such as {first}", wrong.len()),
            "run incent aggregates rebuild; where an aggregator runs it does so by itself",
        ),
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn well() -> Capture {
        let slot = Slot {
            name: "incent_aggregator".to_owned(),
            is_active: true,
            behind_bytes: 56,
            kept_bytes: 4096,
            is_lost: false,
        };
        Capture { wal_level: "logical".to_owned(), is_by_root: Some(true), slots: vec![slot] }
    }

    #[test]
    fn a_connector_that_does_not_run_is_told() {
        let told = |failed: &[&str], is_halted| {
            let failed = failed.iter().map(|why| (*why).to_owned()).collect();
            let found = Connector { failed, is_halted };
            connector("it runs", &found, "http://connect:8083/connectors/x").trouble
        };
        assert_eq!(told(&[], false), None);
        let (why, mend) = told(&["no database"], false).expect("it has failed");
        assert!(why.ends_with("no database") && mend.contains("connectors/x/restart?"), "{mend}");
        let (_, mend) = told(&[], true).expect("it is paused");
        assert!(mend.contains("connectors/x/resume"), "{mend}");
    }

    #[test]
    fn what_is_wrong_is_told_with_its_remedy() {
        let check = |change: fn(&mut Capture), says: &str| {
            let mut capture = well();
            change(&mut capture);
            let bad: Vec<String> = of(&capture)
                .into_iter()
                .filter_map(|check| check.trouble)
                .map(|(why, mend)| format!("{why}: {mend}"))
                .collect();
            assert_eq!(bad.len(), usize::from(!says.is_empty()), "{bad:?}");
            assert!(bad.concat().contains(says), "{bad:?}");
        };
        check(|_| {}, "");
        check(|c| c.slots.clear(), "");
        check(|c| c.wal_level = "replica".to_owned(), "set wal_level=logical");
        check(|c| c.is_by_root = None, "incent migrate");
        check(|c| c.is_by_root = Some(false), "publish_via_partition_root = true");
        check(|c| c.slots[0].is_active = false, "4,096 bytes of the log are kept");
        check(|c| c.slots[0].behind_bytes = 2 << 30, "2,147,483,648 bytes behind");
        check(|c| c.slots[0].is_lost = true, "drop the slot");
    }
}
