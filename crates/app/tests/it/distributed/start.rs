//! Starting: what must be there first, and what is said when it is not.

use std::thread;

use super::stage::Stage;
use crate::support::{ADMIN, Said};

#[test]
fn a_database_without_tables_is_refused_until_it_is_migrated_once() {
    let stage = Stage::new();
    let serve = || {
        let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0"]);
        Said::of(command.env("INCENT_ADMIN_TOKEN", ADMIN).output().unwrap())
    };
    serve().failed(1, &["PostgreSQL cannot be used", "no tables of ours yet", "incent migrate"]);

    // Several at once, as when a fleet is rolled out: each step is applied by one of them.
    let runs: Vec<Said> = thread::scope(|scope| {
        let runs: Vec<_> = (0..4).map(|_| scope.spawn(|| stage.run(&["migrate"]))).collect();
        runs.into_iter().map(|run| run.join().unwrap().well()).collect()
    });
    let applied: usize = runs.iter().map(|run| run.out.lines().count()).sum();
    assert_eq!(applied, store::postgres::POSTGRES.len(), "{runs:?}");
    assert_eq!(runs.iter().filter(|run| run.out.is_empty()).count(), 3);

    // A newer version was here.
    let newer = "insert into schema_migrations (version, name, checksum, applied_at)
                 values (999, 'future', '', now()) returning name";
    stage.rows(newer);
    serve().failed(1, &["written by a newer version"]);
    stage.run(&["migrate"]).failed(1, &["written by a newer version"]);
}

#[test]
fn what_is_missing_in_the_settings_is_named() {
    let dir = testkit::dir::TempDir::new();
    let check = |config: &str, saying: &[&str]| {
        std::fs::write(dir.path().join("c.yaml"), config).unwrap();
        let args = ["serve", "--config", "c.yaml", "--admin-token", ADMIN];
        crate::support::run(dir.path(), &args).failed(2, saying);
    };
    check("databaseUrl: postgresql://db/ic_db\n", &["needs Kafka", "INCENT_KAFKA"]);
    let two = "databaseUrl: postgresql://db/ic_db\nkafka: kafka:9092\n";
    check(two, &["needs a server key", "INCENT_SERVER_KEY", "openssl rand -hex 32"]);
    check("kafka: kafka:9092\n", &["kafka is set", "INCENT_DATABASE_URL"]);
}
