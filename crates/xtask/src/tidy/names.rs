//! Rules on names: no drawers for leftovers, and the words of `docs/glossary.md`.

use super::Finding;
use super::source::{RustFile, words};
use super::tree::File;

/// Names that say nothing about what is inside.
const DRAWERS: [&str; 10] = [
    "common", "helper", "helpers", "manager", "managers", "misc", "stuff", "util", "utils",
    "utility",
];

/// Words that a type must not be named by, each with the word of the glossary, or none.
const TYPE_WORDS: [(&str, &str); 16] = [
    ("Account", "Tenant or User"),
    ("Challenge", "Quest"),
    ("Customer", "User"),
    ("Helper", ""),
    ("Manager", ""),
    ("Misc", ""),
    ("Org", "Tenant"),
    ("Organisation", "Tenant"),
    ("Organization", "Tenant"),
    ("Participant", "User"),
    ("Processor", ""),
    ("Promo", "Campaign"),
    ("Promotion", "Campaign"),
    ("Quota", "Limit"),
    ("Util", ""),
    ("Utils", ""),
];

/// Names of fields, variables and columns that stand for a thing with another name.
const IDENTIFIERS: [(&str, &str); 9] = [
    ("account_id", "tenant_id or user_id"),
    ("challenge_id", "campaign_id"),
    ("customer_id", "user_id"),
    ("member_id", "user_id"),
    ("org_id", "tenant_id"),
    ("organization_id", "tenant_id"),
    ("participant_id", "user_id"),
    ("promotion_id", "campaign_id"),
    ("segment_id", "cohort_id"),
];

/// Applies the rules of this module to a file.
pub fn examine(file: &File, findings: &mut Vec<Finding>) {
    path_names(file, findings);
    if let Some(rust) = &file.rust {
        module_names(file, rust, findings);
        type_names(file, rust, findings);
        identifiers(file, rust, findings);
    }
}

fn path_names(file: &File, findings: &mut Vec<Finding>) {
    if file.is_foreign() {
        return;
    }
    for part in file.path.split('/') {
        let stem = part.split('.').next().unwrap_or(part);
        if DRAWERS.contains(&stem) {
            findings.push(drawer(&file.path, 1, stem));
        }
    }
}

fn module_names(file: &File, rust: &RustFile, findings: &mut Vec<Finding>) {
    let mut before = "";
    for (at, word) in words(&rust.code) {
        if before == "mod" && DRAWERS.contains(&word) {
            findings.push(drawer(&file.path, rust.line(at), word));
        }
        before = word;
    }
}

fn drawer(path: &str, line: usize, name: &str) -> Finding {
    let say = format!("`{name}` is a drawer for leftovers; name it by what is inside");
    Finding::new(path, line, "banned-name", say)
}

fn type_names(file: &File, rust: &RustFile, findings: &mut Vec<Finding>) {
    let mut before = "";
    for (at, name) in words(&rust.code) {
        if matches!(before, "struct" | "enum" | "trait" | "type") {
            for (word, instead) in TYPE_WORDS {
                if camel_words(name).any(|part| part == word) {
                    let say = match instead {
                        "" => format!("`{name}`: `{word}` says nothing; name what it does"),
                        _ => format!("`{name}`: the glossary's word for `{word}` is {instead}"),
                    };
                    let line = rust.line(at);
                    findings.push(Finding::new(&file.path, line, "banned-word", say));
                }
            }
        }
        before = name;
    }
}

/// `QuotaStore` → `Quota`, `Store`.
fn camel_words(name: &str) -> impl Iterator<Item = &str> {
    let starts: Vec<usize> =
        name.char_indices().filter(|(_, c)| c.is_uppercase()).map(|(at, _)| at).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([name.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| &name[start..end])
}

fn identifiers(file: &File, rust: &RustFile, findings: &mut Vec<Finding>) {
    for (at, name) in words(&rust.code) {
        if let Some((_, instead)) = IDENTIFIERS.iter().find(|(banned, _)| *banned == name) {
            let say = format!("`{name}`: the glossary's word is {instead}");
            findings.push(Finding::new(&file.path, rust.line(at), "glossary-word", say));
        }
    }
}
