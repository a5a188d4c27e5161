use super::{Sum, but_chaos, names_package, needed};
use crate::chaos;
use crate::services::Service;

fn sum(lines: &[&str]) -> Sum {
    let mut sum = Sum::default();
    lines.iter().for_each(|line| sum.take(line));
    sum
}

#[test]
fn adds_the_closing_lines_up() {
    let sum = sum(&[
        "running 2 tests",
        "test limit::a ... ok",
        "test limit::b ... FAILED",
        "test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.01s",
        "test result: ok. 7 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 1.20s",
    ]);
    assert_eq!((sum.programs, sum.passed, sum.failed, sum.ignored), (2, 8, 1, 2));
    assert_eq!(sum.failures, ["limit::b"]);
}

#[test]
fn nothing_run_is_no_success() {
    let none = "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 9 filtered out";
    let one = "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
    assert!(sum(&[none]).verdict().is_err());
    assert!(sum(&[none, one]).verdict().is_ok());
    assert!(sum(&[]).verdict().is_err());
}

#[test]
fn a_named_package_replaces_the_workspace() {
    for (arg, expect) in
        [("-p", true), ("--package=incent-domain", true), ("--release", false), ("limit", false)]
    {
        assert_eq!(names_package(&[arg]), expect, "{arg}");
    }
}

#[test]
fn only_those_who_ask_services_get_them() {
    assert!(needed(&[]).contains(&Service::Postgres));
    assert_eq!(needed(&["-p", "incent-store"]), [Service::Postgres]);
    assert!(needed(&["--package", "incent-bus-kafka"]).contains(&Service::Kafka));
    assert!(needed(&["-p", "incent-limits-redis"]).contains(&Service::Redis));
    use Service::{Clients, Connect, Kafka, Postgres, Redis};
    let all = [Kafka, Postgres, Connect, Redis, Clients];
    assert_eq!(needed(&["-p", "incent"]), all);
    assert_eq!(needed(&["-p", "incent-domain", "--", "incent-store"]), []);
}

#[test]
fn the_fault_test_runs_only_where_it_is_named() {
    let skips = ["--skip", chaos::TEST];
    for (args, before) in [
        (&[][..], &["--"][..]),
        (&["-p", "incent"], &["-p", "incent", "--"]),
        (&["--", "limit"], &["--", "limit"]),
    ] {
        assert_eq!(but_chaos(args), [before, &skips].concat(), "{args:?}");
    }
    assert_eq!(but_chaos(&["--", "chaos::"]), ["--", "chaos::"]);
}
