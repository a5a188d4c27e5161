//! Rules on Rust code: sizes, panics, tests that hide or wait, files that nobody includes.

use super::Finding;
use super::source::{RustFile, is_word, words};
use super::tree::{File, Tree};

/// Longest function in production code, from `fn` to the closing brace.
const FUNCTION_LINES_MAX: usize = 70;
/// Longest production file; test code in it does not count.
const FILE_LINES_MAX: usize = 600;
/// From here on a file should be looked at.
const FILE_LINES_AIM: usize = 400;

/// Applies the rules of this module to a file.
pub fn examine(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    let Some(rust) = &file.rust else { return };
    lengths(file, rust, findings);
    panics(file, rust, findings);
    tests(file, rust, findings);
    dead_file(tree, file, findings);
    test_binary(file, findings);
}

fn lengths(file: &File, rust: &RustFile, findings: &mut Vec<Finding>) {
    for function in rust.functions() {
        if function.lines > FUNCTION_LINES_MAX && !rust.is_test(function.at) {
            let say = format!(
                "`{}` has {} lines, at most {FUNCTION_LINES_MAX} are allowed; cut it where a \
                 comment would begin a new paragraph",
                function.name, function.lines
            );
            let line = rust.line(function.at);
            findings.push(Finding::new(&file.path, line, "function-length", say));
        }
    }
    let lines = rust.production_lines();
    if lines > FILE_LINES_MAX {
        let say = format!(
            "{lines} lines outside tests, at most {FILE_LINES_MAX} are allowed; give the part \
             with a name of its own a file of its own"
        );
        findings.push(Finding::new(&file.path, 1, "file-length", say));
    } else if lines > FILE_LINES_AIM {
        let say = format!("{lines} lines outside tests; aim at {FILE_LINES_AIM}");
        findings.push(Finding::note(&file.path, 1, "file-length", say));
    }
}

/// `.unwrap()` and `.expect("…")` outside tests, unless the item expects the lint with a reason.
/// A method of our own called `expect` takes no text and passes.
fn panics(file: &File, rust: &RustFile, findings: &mut Vec<Finding>) {
    let excused = rust.under(|attribute| {
        attribute.contains("expect(")
            && (attribute.contains("expect_used") || attribute.contains("unwrap_used"))
    });
    for (at, word) in words(&rust.code) {
        let after = rust.code[at + word.len()..].trim_start();
        let panics = match word {
            "unwrap" => after.starts_with("()"),
            "expect" => after
                .strip_prefix('(')
                .is_some_and(|args| args.trim_start().trim_start_matches('&').starts_with('"')),
            _ => false,
        };
        let is_call = rust.code[..at].trim_end().ends_with('.');
        if panics && is_call && !rust.is_test(at) && !excused.iter().any(|r| r.contains(&at)) {
            let say = format!(
                "`.{word}` can stop the process; return an error, or state the invariant in \
                 `#[expect(clippy::{word}_used, reason = …)]`"
            );
            findings.push(Finding::new(&file.path, rust.line(at), "panic", say));
        }
    }
}

fn tests(file: &File, rust: &RustFile, findings: &mut Vec<Finding>) {
    for (at, _) in rust.code.match_indices("#[ignore") {
        let say = "a test that does not run tells nothing; mend it or take it out";
        findings.push(Finding::new(&file.path, rust.line(at), "ignored-test", say));
    }
    for (at, word) in words(&rust.code) {
        let is_call = rust.code[at + word.len()..].trim_start().starts_with('(');
        let is_declared = rust.code[..at].trim_end().ends_with("fn");
        if matches!(word, "sleep" | "sleep_until" | "sleep_ms")
            && is_call
            && !is_declared
            && rust.is_test(at)
        {
            let say = "a test that sleeps is slow on one machine and wrong on another; wait for \
                       the thing itself, with a bound";
            findings.push(Finding::new(&file.path, rust.line(at), "sleep-in-test", say));
        }
    }
}

/// A file of `src/` or `tests/it/` that no parent declares is not compiled at all.
fn dead_file(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    let Some((folder, name)) = file.path.rsplit_once('/') else { return };
    let Some(stem) = name.strip_suffix(".rs") else { return };
    if matches!(stem, "lib" | "main" | "build") || !folder.starts_with("crates/") {
        return;
    }
    let (home, module) = match stem {
        "mod" => folder.rsplit_once('/').unwrap_or(("", folder)),
        _ => (folder, stem),
    };
    // A crate root, `home/mod.rs`, or `home.rs` beside the folder.
    let parents = ["lib.rs", "main.rs", "mod.rs"].map(|root| format!("{home}/{root}"));
    let beside = format!("{home}.rs");
    let in_bin = home.ends_with("/src/bin")
        || home.ends_with("/tests")
        || home.ends_with("/benches")
        || home.ends_with("/examples");
    let declared = parents
        .iter()
        .chain([&beside])
        .filter_map(|parent| tree.file(parent)?.rust.as_ref())
        .any(|parent| declares(&parent.code, module));
    if !declared && !in_bin {
        let say = format!("nothing declares `mod {module};`, so it is never compiled");
        findings.push(Finding::new(&file.path, 1, "dead-file", say));
    }
}

fn declares(code: &str, module: &str) -> bool {
    words(code).any(|(at, word)| {
        word == module
            && code[..at].trim_end().strip_suffix("mod").is_some_and(|before| {
                !before.ends_with(is_word) && code[at + word.len()..].trim_start().starts_with(';')
            })
    })
}

/// Each file directly in `tests/` is a program of its own to link; one per crate is enough.
fn test_binary(file: &File, findings: &mut Vec<Finding>) {
    if let Some((_, rest)) = file.path.split_once("/tests/")
        && file.path.starts_with("crates/")
        && !file.path.contains("/src/")
        && !rest.contains('/')
    {
        let say = "each file here is one more program to link; put it under tests/it/ and declare \
                   it in tests/it/main.rs";
        findings.push(Finding::new(&file.path, 1, "test-binary", say));
    }
}
