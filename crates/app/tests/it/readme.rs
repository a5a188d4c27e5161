//! The README does what it says: its commands are taken from it and run as they stand there.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use testkit::dir::TempDir;

use crate::support::{Platform, incent};

const README: &str = include_str!("../../../../README.md");
/// Where commands that need a running platform begin.
const WALK: &str = "\n## Walk through\n";
/// So many seconds may the whole walk take; a hang is longer.
const WALK_SECONDS: &str = "240";

/// The shell commands of a text, block by block.
fn shell(text: &str) -> Vec<&str> {
    let after = text.split("\n```sh\n").skip(1);
    after.map(|rest| rest.split_once("\n```").expect("an end of the block").0).collect()
}

fn parts() -> (&'static str, &'static str) {
    README.split_once(WALK).expect("a walk-through")
}

/// What each block of the walk-through answers with, in order.
const ANSWERS: &[&[&str]] = &[
    &[],
    &["\"maxPerDay\":3"],
    &["\"name\":\"Five back\"", "\"status\":\"ACTIVE\""],
    &[
        "\"reason\":\"GRANTED\"",
        "\"type\":\"CASHBACK\"",
        "\"amount\":\"2.11\"",
        "\"userId\":\"ada\"",
    ],
    &["\"reason\":\"RULE_FALSE\"", "event.amount", "39"],
];

/// A directory in which the binary lies where cargo would have put it.
fn as_built() -> TempDir {
    let dir = TempDir::new();
    let release = dir.path().join("target/release");
    std::fs::create_dir_all(&release).expect("a directory");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_incent"), release.join("incent"))
        .expect("a link to the binary");
    dir
}

/// Runs shell commands in a directory, as a newcomer's shell would; gives what they print.
fn typed(dir: &Path, script: &str) -> String {
    // No call of curl may hang; the commands themselves stay as they are.
    std::fs::write(dir.join(".curlrc"), "max-time = 60\n").expect("a file can be written");
    std::fs::write(dir.join("typed.sh"), script).expect("a file can be written");
    let mut command = Command::new("timeout");
    command.args([WALK_SECONDS, "sh", "typed.sh"]).current_dir(dir).env_clear();
    command.env("HOME", dir).env("PATH", "/usr/local/bin:/usr/bin:/bin");
    let output = command.output().expect("timeout and sh");
    let (out, err) = (
        String::from_utf8(output.stdout).expect("UTF-8"),
        String::from_utf8(output.stderr).expect("UTF-8"),
    );
    assert!(
        output.status.success() && !err.contains("not found"),
        "{} of\n{script}\nstdout:\n{out}\nstderr:\n{err}",
        output.status
    );
    out
}

#[test]
fn the_walk_through_works_word_for_word() {
    let blocks = shell(parts().1);
    assert_eq!(blocks.len(), ANSWERS.len(), "each block of the walk-through has its answer here");
    let mut script = String::new();
    for block in &blocks {
        write!(script, "{block}\necho '\n=== end of block'\n").expect("a text grows");
    }
    // "Send it again: it is a `DUPLICATE`": the command that sent the first event.
    let again = blocks[3].split("\ncurl ").find(|call| call.contains("o-4711")).expect("an event");
    writeln!(script, "curl {again}").expect("a text grows");

    let dir = as_built();
    let mut dev = incent(dir.path(), &["dev", "--listen", "127.0.0.1:0", "--purchases", "300"]);
    let _platform = Platform::ready(dev.env("INCENT_LOG", "error"), dir.path());
    let said = typed(dir.path(), &script);
    let answers: Vec<&str> = said.split("=== end of block").collect();
    for ((block, wanted), answer) in blocks.iter().zip(ANSWERS).zip(&answers) {
        for words in *wanted {
            assert!(answer.contains(words), "no {words:?} from\n{block}\nbut\n{answer}");
        }
        assert!(!answer.contains("/problems/"), "a problem from\n{block}:\n{answer}");
    }
    assert!(answers[ANSWERS.len()].contains("DUPLICATE"), "sent again: {said}");
}

#[test]
fn the_command_that_starts_it_is_one() {
    let before = parts().0;
    let blocks = shell(before);
    let starts: Vec<&str> =
        blocks.iter().filter_map(|block| block.strip_prefix("cargo run --release -- ")).collect();
    let [start] = starts.as_slice() else { panic!("one command starts the platform: {blocks:?}") };
    // What stands after it is run for real, only small, elsewhere, and not for ever.
    let small = ["--exit", "--ephemeral", "--purchases", "50", "--listen", "127.0.0.1:0"];
    let dir = TempDir::new();
    let args: Vec<&str> = start.split(' ').chain(small).collect();
    let ended = incent(dir.path(), &args).env("TMPDIR", dir.path()).output().expect("incent runs");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));

    // `cargo run` without a name runs this binary and no other; `cargo x` exists.
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("JSON");
    let runs = metadata["workspace_default_members"].as_array().expect("default members");
    let binaries: Vec<&Value> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .filter(|package| runs.contains(&package["id"]))
        .flat_map(|package| package["targets"].as_array().expect("targets"))
        .filter(|target| target["kind"][0] == "bin")
        .map(|target| &target["name"])
        .collect();
    assert_eq!(binaries, ["incent"], "what cargo run would run");
}

#[test]
fn its_documents_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut links = 0;
    for after in README.split("](").skip(1) {
        let (path, _) = after.split_once(')').expect("an end of the link");
        if !path.contains("://") {
            assert!(root.join(path).exists(), "{path} is not there");
            links += 1;
        }
    }
    assert!(links >= 5, "the README leads on");
}

fn cargo(args: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(args).current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."));
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}
