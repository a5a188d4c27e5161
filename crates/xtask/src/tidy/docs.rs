//! Rules on documents: links lead somewhere, paths that are named exist, the map stays short.

use std::collections::BTreeMap;

use super::Finding;
use super::tree::{File, Tree};

/// Longest `ARCHITECTURE.md`: what nobody reads to the end is not a map.
const ARCHITECTURE_LINES_MAX: usize = 150;

/// A path in back quotes that begins with one of these is a promise that it exists.
const ROOTS: [&str; 7] = [".ci/", "crates/", "demo/", "deploy/", "docs/", "fuzz/", "schemas/"];

/// Applies the rules of this module to a file.
pub fn examine(tree: &Tree, file: &File, findings: &mut Vec<Finding>) {
    if !file.path.ends_with(".md") || file.is_foreign() {
        return;
    }
    for (n, line) in prose(&file.text) {
        links(tree, file, n, line, findings);
        paths(tree, file, n, line, findings);
    }
    let lines = file.text.lines().count();
    if file.path == "ARCHITECTURE.md" && lines > ARCHITECTURE_LINES_MAX {
        let say = format!(
            "{lines} lines, at most {ARCHITECTURE_LINES_MAX} are allowed; move detail into docs/"
        );
        findings.push(Finding::new(&file.path, lines, "architecture-length", say));
    }
}

/// The lines outside fenced blocks, each with its number.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(n, line)| {
        let is_fence = line.trim_start().starts_with("```");
        fenced ^= is_fence;
        (!fenced && !is_fence).then_some((n + 1, line))
    })
}

fn links(tree: &Tree, file: &File, n: usize, line: &str, findings: &mut Vec<Finding>) {
    for (at, open) in line.match_indices("](") {
        let Some(target) = line[at + open.len()..].split(')').next() else { continue };
        if target.contains("://") || target.starts_with("mailto:") {
            continue;
        }
        let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
        let path = if path.is_empty() { file.path.clone() } else { resolve(&file.path, path) };
        let say = if !tree.has(&path) {
            format!("the link `{target}` leads nowhere: there is no `{path}`")
        } else if !anchor.is_empty() && !has_heading(tree, &path, anchor) {
            format!("the link `{target}` leads nowhere: `{path}` has no heading `#{anchor}`")
        } else {
            continue;
        };
        findings.push(Finding::new(&file.path, n, "dead-link", say));
    }
}

/// A path as seen from the folder of a file.
fn resolve(from: &str, path: &str) -> String {
    if let Some(absolute) = path.strip_prefix('/') {
        return absolute.to_owned();
    }
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn has_heading(tree: &Tree, path: &str, anchor: &str) -> bool {
    tree.file(path).is_some_and(|file| {
        prose(&file.text).any(|(_, line)| {
            line.starts_with('#') && slug(line.trim_start_matches('#').trim()) == anchor
        })
    })
}

/// The anchor that the common renderers make of a heading.
fn slug(heading: &str) -> String {
    heading
        .chars()
        .filter_map(|c| match c {
            ' ' => Some('-'),
            '-' | '_' => Some(c),
            c if c.is_alphanumeric() => Some(c.to_ascii_lowercase()),
            _ => None,
        })
        .collect()
}

fn paths(tree: &Tree, file: &File, n: usize, line: &str, findings: &mut Vec<Finding>) {
    for quoted in line.split('`').skip(1).step_by(2) {
        // A pattern such as `crates/*/src` or `docs/adr/NNNN-title.md` names no single file.
        let is_pattern = quoted.contains(['*', '<', '{', ' ', '…']) || quoted.contains("NNNN");
        let path = quoted.split("::").next().unwrap_or(quoted);
        if ROOTS.iter().any(|root| path.starts_with(root)) && !is_pattern && !tree.has(path) {
            let say = format!("`{path}` does not exist; say what is, not what was or will be");
            findings.push(Finding::new(&file.path, n, "dead-path", say));
        }
    }
}

const CODES: &str = "crates/domain/src/decide/outcome.rs";
const GLOSSARY: &str = "docs/glossary.md";

/// The codes that the decision can give and those that the glossary explains are the same.
pub fn examine_codes(tree: &Tree, findings: &mut Vec<Finding>) {
    let Some(code) = tree.file(CODES).and_then(|file| file.rust.as_ref()) else { return };
    let Some(glossary) = tree.file(GLOSSARY) else { return };
    let mut given = BTreeMap::new();
    for (at, text) in code.strings.iter().filter(|(_, text)| is_code(text)) {
        given.insert(text.as_str(), code.line(*at));
    }
    let mut explained = BTreeMap::new();
    for (n, line) in prose(&glossary.text) {
        let first = line.strip_prefix("| `").and_then(|rest| rest.split('`').next());
        if let Some(first) = first.filter(|text| is_code(text)) {
            explained.insert(first, n);
        }
    }
    for (code, line) in given.iter().filter(|(code, _)| !explained.contains_key(*code)) {
        let say = format!("`{code}` has no line in {GLOSSARY}; say there what it means");
        findings.push(Finding::new(CODES, *line, "code-undocumented", say));
    }
    for (code, line) in explained.iter().filter(|(code, _)| !given.contains_key(*code)) {
        let say = format!("`{code}` is not given by {CODES}; take its line out");
        findings.push(Finding::new(GLOSSARY, *line, "code-undocumented", say));
    }
}

fn is_code(text: &str) -> bool {
    text.len() > 3 && text.bytes().all(|b| b.is_ascii_uppercase() || b == b'_')
}
