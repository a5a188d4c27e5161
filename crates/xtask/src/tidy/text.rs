//! Rules on every text file: nothing unfinished, nothing of one machine, clean line ends.

use super::Finding;
use super::tree::File;

/// Applies the rules of this module to a file.
pub fn examine(file: &File, findings: &mut Vec<Finding>) {
    if file.path == "Cargo.lock" {
        lock_sources(file, findings);
    }
    if file.is_foreign() {
        return;
    }
    for (n, line) in file.text.lines().enumerate() {
        trailing_space(file, n + 1, line, findings);
        machine_path(file, n + 1, line, findings);
        registry_host(file, n + 1, line, findings);
    }
    if !file.text.is_empty() && !file.text.ends_with('\n') {
        let line = file.text.lines().count();
        let say = "the last line has no end; add a line feed";
        findings.push(Finding::new(&file.path, line, "trailing-space", say));
    }
    unfinished(file, findings);
}

fn trailing_space(file: &File, n: usize, line: &str, findings: &mut Vec<Finding>) {
    if line.ends_with([' ', '\t', '\r']) && !is_data(file) {
        let say = "blanks or a carriage return at the end of the line; take them out";
        findings.push(Finding::new(&file.path, n, "trailing-space", say));
    }
}

/// Data is kept as it came.
fn is_data(file: &File) -> bool {
    file.path.ends_with(".csv")
}

/// Marks of work that is not done. In Rust only comments count: a text may hold anything.
fn unfinished(file: &File, findings: &mut Vec<Finding>) {
    const MARKS: [&str; 3] = ["TODO", "FIXME", "XXX"];
    let text = match &file.rust {
        Some(rust) => &rust.comments,
        None if is_data(file) => return,
        None => &file.text,
    };
    for (n, line) in text.lines().enumerate() {
        let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_');
        if let Some(mark) = words.find(|word| MARKS.contains(word)) {
            let say = format!("`{mark}`: finish it, or say in docs/ what is missing and why");
            findings.push(Finding::new(&file.path, n + 1, "unfinished", say));
        }
    }
}

/// Absolute paths that exist on one machine only.
fn machine_path(file: &File, n: usize, line: &str, findings: &mut Vec<Finding>) {
    // tidy-allow(machine-path): these are the prefixes that the rule looks for
    const PREFIXES: [&str; 5] = ["/home/", "/root/", "/work/", "/Users/", "C:\\Users\\"];
    for prefix in PREFIXES {
        let absolute = line.match_indices(prefix).any(|(at, _)| {
            let before = line[..at].chars().next_back();
            !before.is_some_and(|c| c.is_alphanumeric() || "._-/~}*".contains(c))
        });
        if absolute {
            let say =
                format!("`{prefix}…` exists on one machine only; write a path of the project");
            findings.push(Finding::new(&file.path, n, "machine-path", say));
        }
    }
}

/// Where packages come from is each user's own setting and does not belong in the tree.
fn registry_host(file: &File, n: usize, line: &str, findings: &mut Vec<Finding>) {
    // tidy-allow(registry-host): these are the hosts that the rule looks for
    const RUST: [&str; 2] = ["index.crates.io", "static.crates.io"];
    // tidy-allow(registry-host): and these
    const OTHERS: [&str; 4] = ["pypi.org", "npmjs.org", "proxy.golang.org", "artifactory"];
    let is_cargo_config = file.path.starts_with(".cargo/");
    let redirects = is_cargo_config
        && ["[source.", "[registries", "[registry", "replace-with"]
            .iter()
            .any(|s| line.contains(s));
    if redirects || RUST.iter().chain(&OTHERS).any(|host| line.contains(host)) {
        let say = "where packages come from is the setting of a machine; keep it out of the tree";
        findings.push(Finding::new(&file.path, n, "registry-host", say));
    }
}

/// A lock file written behind a mirror would name it.
fn lock_sources(file: &File, findings: &mut Vec<Finding>) {
    const OFFICIAL: &str = "registry+https://github.com/rust-lang/crates.io-index";
    for (n, line) in file.text.lines().enumerate() {
        if let Some(source) = line.strip_prefix("source = ")
            && source.trim_matches('"') != OFFICIAL
        {
            let say = format!("a package from {source}; only {OFFICIAL} is allowed");
            findings.push(Finding::new(&file.path, n + 1, "registry-host", say));
        }
    }
}
