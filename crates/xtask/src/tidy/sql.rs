//! Rules on SQL: lower case, in one crate only, migrations numbered without a gap.

use std::collections::{BTreeMap, BTreeSet};

use super::Finding;
use super::source::{is_word, words};
use super::tree::{File, Tree};

const MIGRATIONS: &str = "crates/store/migrations/";

/// The words that tell upper-case SQL.
const KEYWORDS: [&str; 28] = [
    "ALTER",
    "AND",
    "BEGIN",
    "BY",
    "CHECK",
    "COMMIT",
    "CONFLICT",
    "CREATE",
    "DELETE",
    "DROP",
    "FROM",
    "GROUP",
    "INDEX",
    "INSERT",
    "INTO",
    "JOIN",
    "KEY",
    "ORDER",
    "PRAGMA",
    "PRIMARY",
    "RETURNING",
    "SELECT",
    "SET",
    "TABLE",
    "UNIQUE",
    "UPDATE",
    "VALUES",
    "WHERE",
];

/// What one of the two databases does not know, or knows otherwise: none of it in the control plane.
const OUTSIDE_SUBSET: [&str; 13] = [
    "any($",
    "array[",
    "ilike",
    "now()",
    "current_timestamp",
    "for update",
    "->",
    "json_extract",
    "jsonb",
    " offset ",
    "serial",
    "insert or ",
    "strftime",
];

/// Applies the rules of this module to a file.
pub fn examine(file: &File, findings: &mut Vec<Finding>) {
    if file.path.ends_with(".sql") {
        for (n, line) in code_lines(&file.text).enumerate() {
            upper_case(file, n + 1, &line, findings);
        }
    }
    let Some(rust) = &file.rust else { return };
    for (at, text) in &rust.strings {
        let begins = text.trim_start();
        let line = rust.line(*at);
        let first = begins.split(|c| !is_word(c)).next().unwrap_or("");
        let is_loud = ["SELECT", "INSERT", "UPDATE", "DELETE", "CREATE", "WITH", "PRAGMA"]
            .contains(&first)
            && begins.split_whitespace().nth(1).is_some();
        if is_loud && file.path.starts_with("crates/store/") {
            upper_case(file, line, first, findings);
        }
        if file.path.starts_with("crates/store/src/control/") && !rust.is_test(*at) {
            subset(file, line, text, findings);
        }
        let may_hold_sql = ["store", "testkit", "xtask"]
            .iter()
            .any(|name| file.path.starts_with(&format!("crates/{name}/")));
        if !may_hold_sql && !rust.is_test(*at) && is_statement(begins) {
            let say =
                "an SQL statement; only the crate `store` knows SQL, so call a function of it";
            findings.push(Finding::new(&file.path, line, "sql-place", say));
        }
    }
}

fn upper_case(file: &File, line: usize, code: &str, findings: &mut Vec<Finding>) {
    if let Some((_, word)) = words(code).find(|(_, word)| KEYWORDS.contains(word)) {
        let say = format!("`{word}`: SQL is written in lower case");
        findings.push(Finding::new(&file.path, line, "sql-case", say));
    }
}

/// The text of a statement of the control plane must mean the same to both databases.
fn subset(file: &File, line: usize, text: &str, findings: &mut Vec<Finding>) {
    let text = text.to_ascii_lowercase();
    if !is_statement(text.trim_start()) {
        return;
    }
    if let Some(word) = OUTSIDE_SUBSET.iter().find(|word| text.contains(**word)) {
        let say = format!(
            "`{}` is outside the subset of docs/sql.md that both databases speak",
            word.trim()
        );
        findings.push(Finding::new(&file.path, line, "sql-subset", say));
    }
    // `?` is a placeholder to SQLite alone; `$1` is one to both.
    if text.contains('?') {
        let say = "`?` is a placeholder to SQLite alone; write `$1`";
        findings.push(Finding::new(&file.path, line, "sql-subset", say));
    }
}

fn is_statement(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    let has = |start: &str, part: &str| text.starts_with(start) && text.contains(part);
    has("select ", "from ")
        || has("insert into ", "(")
        || has("update ", "set ")
        || has("delete from ", "where ")
        || has("with ", " as (")
        || text.starts_with("create table ")
        || text.starts_with("pragma ")
}

/// The lines of an SQL text without comments and quoted values.
fn code_lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.lines().map(|line| {
        let code = line.split("--").next().unwrap_or(line);
        code.split('\'').step_by(2).collect::<Vec<_>>().join("''")
    })
}

/// Migrations are numbered from 0001 without a gap, and both databases have the same ones.
pub fn examine_migrations(tree: &Tree, findings: &mut Vec<Finding>) {
    let mut sets: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for file in &tree.files {
        if let Some((database, name)) =
            file.path.strip_prefix(MIGRATIONS).and_then(|rest| rest.split_once('/'))
        {
            sets.entry(database).or_default().insert(name);
        }
    }
    for (database, names) in &sets {
        for (n, name) in names.iter().enumerate() {
            if !name.starts_with(&format!("{:04}_", n + 1)) || !name.ends_with(".sql") {
                let path = format!("{MIGRATIONS}{database}/{name}");
                let say = format!("its place is {}; name it {:04}_what.sql", n + 1, n + 1);
                findings.push(Finding::new(&path, 1, "migration-name", say));
            }
        }
    }
    for (database, names) in &sets {
        for (other, theirs) in &sets {
            for missing in theirs.difference(names) {
                let path = format!("{MIGRATIONS}{other}/{missing}");
                let say = format!("{database} has no migration of this name; write it too");
                findings.push(Finding::new(&path, 1, "migration-name", say));
            }
        }
    }
}
