//! Limits that no compiler holds. Each rule is a function from the tree to findings; a finding
//! names the place, the rule and how to mend it.
//!
//! Where a rule is wrong about a place, say so there, with the reason, in a comment on the same
//! line or on the line above: `tidy-allow(RULE): why`. An exception that excuses nothing is a
//! finding itself, so that none outlives its cause.
//!
//! To add a rule: write it in the module it belongs to, add its name to [`RULES`], call it from
//! [`examine`], and show in `tests.rs` one sample that it finds and one that it lets pass.

mod docs;
mod edges;
mod names;
mod rust;
mod source;
mod sql;
#[cfg(test)]
mod tests;
mod text;
mod tree;

use std::fmt;
use std::path::Path;

use crate::out;
use crate::run::Failure;

use tree::Tree;

/// The names of all rules, as findings and exceptions write them.
const RULES: [&str; 26] = [
    "architecture-length",
    "banned-name",
    "banned-word",
    "code-undocumented",
    "crate-edge",
    "crate-owner",
    "dead-file",
    "dead-link",
    "dead-path",
    "exception",
    "file-length",
    "function-length",
    "glossary-word",
    "ignored-test",
    "machine-path",
    "migration-name",
    "panic",
    "registry-host",
    "sleep-in-test",
    "sql-case",
    "sql-place",
    "sql-subset",
    "test-binary",
    "trailing-space",
    "unfinished",
    "unused-dependency",
];

/// Something to mend, or only to know.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    path: String,
    line: usize,
    rule: &'static str,
    /// What is wrong and how to mend it.
    say: String,
    /// A note does not fail the run.
    is_note: bool,
}

impl Finding {
    fn new(path: &str, line: usize, rule: &'static str, say: impl Into<String>) -> Self {
        Self { path: path.to_owned(), line, rule, say: say.into(), is_note: false }
    }

    fn note(path: &str, line: usize, rule: &'static str, say: impl Into<String>) -> Self {
        Self { is_note: true, ..Self::new(path, line, rule, say) }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_note { "note: " } else { "" };
        write!(f, "{}:{}: {kind}[{}] {}", self.path, self.line, self.rule, self.say)
    }
}

/// Checks the whole tree and prints what it finds; notes are counted.
pub fn run(root: &Path) -> Result<(), Failure> {
    report(&everything(root)?)
}

/// Checks the whole tree and prints the notes as well.
pub fn run_with_notes(root: &Path) -> Result<(), Failure> {
    let findings = everything(root)?;
    for note in findings.iter().filter(|finding| finding.is_note) {
        out::data(format_args!("{note}"));
    }
    report(&findings)
}

fn everything(root: &Path) -> Result<Vec<Finding>, Failure> {
    let tree = Tree::read(root)?;
    let mut findings = examine(&tree);
    findings.extend(edges::examine(&tree, &edges::metadata(root)?));
    findings = except(&tree, findings);
    findings.sort();
    Ok(findings)
}

fn report(findings: &[Finding]) -> Result<(), Failure> {
    let (notes, wrong): (Vec<_>, Vec<_>) = findings.iter().partition(|finding| finding.is_note);
    for finding in &wrong {
        out::data(format_args!("{finding}"));
    }
    if !notes.is_empty() {
        out::talk(format_args!("tidy: {} notes, see `cargo x tidy --notes`", notes.len()));
    }
    if wrong.is_empty() { Ok(()) } else { Err(Failure::Untidy(wrong.len())) }
}

/// All rules that need nothing but the files.
fn examine(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in &tree.files {
        text::examine(file, &mut findings);
        names::examine(file, &mut findings);
        rust::examine(tree, file, &mut findings);
        sql::examine(file, &mut findings);
        docs::examine(tree, file, &mut findings);
    }
    sql::examine_migrations(tree, &mut findings);
    docs::examine_codes(tree, &mut findings);
    findings
}

/// Takes out what a comment in the tree excuses, and finds the comments that excuse nothing.
fn except(tree: &Tree, mut findings: Vec<Finding>) -> Vec<Finding> {
    for file in &tree.files {
        for exception in file.exceptions() {
            let before = findings.len();
            findings.retain(|finding| {
                finding.path != file.path
                    || finding.rule != exception.rule
                    || !(exception.line..=exception.line + 1).contains(&finding.line)
            });
            let say = if !RULES.contains(&exception.rule.as_str()) {
                format!("there is no rule `{}`; the rules are: {}", exception.rule, RULES.join(" "))
            } else if !exception.has_reason {
                "an exception needs its reason: `tidy-allow(RULE): why`".to_owned()
            } else if findings.len() == before {
                "excuses nothing any more; take it out".to_owned()
            } else {
                continue;
            };
            findings.push(Finding::new(&file.path, exception.line, "exception", say));
        }
    }
    findings
}
