//! What a newcomer sees first.

use testkit::dir::TempDir;

use crate::support::run;

#[test]
fn bare_incent_shows_the_way() {
    let dir = TempDir::new();
    let said = run(dir.path(), &[]).well();
    assert_eq!(said.out.lines().next(), Some("Try: incent dev"));
    for command in [
        "dev",
        "serve",
        "apply",
        "import",
        "export",
        "listen",
        "trigger",
        "explain",
        "token",
        "doctor",
        "completions",
    ] {
        assert!(
            said.out.contains(&format!("\n  {command} ")),
            "{command} is not listed:\n{}",
            said.out
        );
        let help = run(dir.path(), &[command, "--help"]).well();
        assert!(help.out.contains("Examples:"), "{command}");
        assert!(!help.out.contains('\x1b'), "{command}: colours in a pipe");
    }
    assert!(!said.out.contains("schemas"), "schemas is for the project itself");
}

#[test]
fn mistakes_are_answered_with_what_was_meant() {
    let dir = TempDir::new();
    run(dir.path(), &["imprt"]).failed(2, &["unrecognized subcommand", "import"]);
    run(dir.path(), &["import", "x.csv", "--usr", "a"]).failed(2, &["--usr", "--user"]);
    run(dir.path(), &["trigger", "purchase"]).failed(2, &["--user"]);
    run(dir.path(), &["token", "--user", "u", "--ttl", "soon"]).failed(2, &["90s, 15m"]);
}

#[test]
fn completions_name_the_commands() {
    let dir = TempDir::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = run(dir.path(), &["completions", shell]).well().out;
        assert!(script.contains("import") && script.contains("doctor"), "{shell}");
    }
}

#[test]
fn nothing_there_is_told_with_the_way_out() {
    let dir = TempDir::new();
    let away = ["--url", "http://127.0.0.1:9"];
    for command in [
        &["export", "incentives"][..],
        &["explain", "--event", "e"],
        &["trigger", "purchase", "--user", "u"],
    ] {
        let args = [command, &away].concat();
        run(dir.path(), &args).failed(7, &["cannot reach http://127.0.0.1:9", "incent dev"]);
    }
    run(dir.path(), &["token", "--user", "u", "--tenant", "t"]).failed(3, &["--secret"]);
    run(dir.path(), &["doctor"]).failed(1, &["incent.db", "--data-dir"]);
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let dir = TempDir::new();
    let mut child = crate::support::incent(dir.path(), &["completions", "zsh"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let code = child.wait().unwrap().code();
    assert_eq!((code, crate::support::errors_of(&mut child)), (Some(0), String::new()));
}
