//! The layers: which crate of the workspace may use which, and which crate owns which library.
//!
//! Both tables are decisions. A change to them is a change to the architecture: say why in an ADR.

use std::path::Path;

use serde_json::Value;

use super::Finding;
use super::source::words;
use super::tree::Tree;
use crate::run::{Failure, answer};

/// What each crate of the workspace may build on. In tests every crate may use `testkit` too.
const EDGES: [(&str, &[&str]); 11] = [
    ("domain", &[]),
    ("engine", &["domain"]),
    ("store", &["domain", "engine"]),
    ("bus-kafka", &["domain", "engine"]),
    ("limits-redis", &["domain", "engine"]),
    ("aggregates-redis", &["domain", "engine"]),
    ("analytics", &["domain", "engine"]),
    ("http", &["domain", "engine", "store"]),
    (
        "app",
        &[
            "domain",
            "engine",
            "store",
            "bus-kafka",
            "limits-redis",
            "aggregates-redis",
            "analytics",
            "http",
        ],
    ),
    ("testkit", &["domain", "engine"]),
    ("xtask", &[]),
];

/// What a crate's tests may build on as well: with limits in Redis nothing is decided differently,
/// and that takes a store to show.
const EDGES_OF_TESTS: [(&str, &[&str]); 1] = [("limits-redis", &["store"])];

const ANY: &[&str] = &[
    "domain",
    "engine",
    "store",
    "bus-kafka",
    "limits-redis",
    "aggregates-redis",
    "analytics",
    "http",
    "app",
    "testkit",
];
/// What waits, logs or measures has no place in `domain`.
const ABOVE_DOMAIN: &[&str] = &[
    "engine",
    "store",
    "bus-kafka",
    "limits-redis",
    "aggregates-redis",
    "analytics",
    "http",
    "app",
    "testkit",
];
const NONE: &[&str] = &[];

/// A library, the crates that own it, and those that may use it in their tests as well.
type Library = (&'static str, &'static [&'static str], &'static [&'static str]);

const LIBRARIES: &[Library] = &[
    ("axum", &["http"], NONE),
    ("base64", &["http"], NONE),
    ("bytes", &["engine", "store", "bus-kafka", "http"], NONE),
    ("cel", &["domain", "testkit"], NONE),
    ("clap", &["app"], NONE),
    ("clap_complete", &["app"], NONE),
    ("crc32fast", &["bus-kafka"], NONE),
    ("csv", &["app"], NONE),
    ("csv-core", &["app"], NONE),
    ("deadpool-postgres", &["store"], NONE),
    ("futures-util", &["http", "app"], NONE),
    ("getrandom", &["app"], NONE),
    ("hmac", &["http"], NONE),
    ("http-body-util", &["http"], NONE),
    ("hyper", &["http"], NONE),
    ("hyper-util", &["http"], NONE),
    ("indicatif", &["app"], NONE),
    ("jiff", ANY, NONE),
    ("jsonwebtoken", &["http", "app"], NONE),
    ("parquet", &["analytics"], NONE),
    ("percent-encoding", &["http", "app"], NONE),
    ("prometheus-client", &["engine", "analytics", "http", "app"], NONE),
    ("proptest", NONE, ANY),
    ("rdkafka", &["bus-kafka"], NONE),
    ("redis", &["limits-redis", "aggregates-redis"], NONE),
    ("rusqlite", &["store"], &["app"]),
    ("rust_decimal", ANY, NONE),
    ("serde", ANY, NONE),
    ("serde-saphyr", &["app"], NONE),
    ("serde_avro_fast", &["bus-kafka"], NONE),
    (
        "serde_json",
        &["domain", "engine", "store", "bus-kafka", "analytics", "http", "app", "testkit", "xtask"],
        &["limits-redis"],
    ),
    ("sha2", &["domain", "store", "http", "app"], NONE),
    ("subtle", &["http"], NONE),
    ("thiserror", ANY, NONE),
    ("tokio", ABOVE_DOMAIN, NONE),
    ("tokio-postgres", &["store"], NONE),
    ("tokio-tungstenite", &["app", "http"], NONE),
    ("tokio-util", ABOVE_DOMAIN, NONE),
    ("tower", &["http"], NONE),
    ("tracing", ABOVE_DOMAIN, NONE),
    ("tungstenite", &["http"], NONE),
    ("tracing-subscriber", &["app"], NONE),
    ("ureq", &["bus-kafka", "http", "app"], NONE),
    ("uuid", ANY, NONE),
];

/// What cargo says about the workspace, libraries left unresolved.
pub fn metadata(root: &Path) -> Result<Vec<Use>, Failure> {
    let command = "cargo metadata --no-deps --format-version 1";
    let text = answer(root, &command.split(' ').collect::<Vec<_>>())?;
    uses(&text).map_err(|what| Failure::Answer { from: command.to_owned(), what })
}

/// One line of a crate's manifest: who uses what.
#[derive(Debug, PartialEq, Eq)]
pub struct Use {
    /// The crate's folder in `crates/`.
    user: String,
    /// The folder of a workspace crate, or the name of a library.
    what: String,
    /// How the code calls it.
    alias: String,
    is_ours: bool,
    is_for_tests: bool,
}

impl Use {
    fn manifest(&self) -> String {
        format!("crates/{}/Cargo.toml", self.user)
    }
}

pub(super) fn uses(metadata: &str) -> Result<Vec<Use>, String> {
    let metadata: Value = serde_json::from_str(metadata).map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for package in array(&metadata, "packages")? {
        let user = folder(&text(package, "manifest_path")?.replace("/Cargo.toml", ""));
        for dependency in array(package, "dependencies")? {
            let name = text(dependency, "name")?;
            let path = dependency["path"].as_str();
            let what = path.map_or_else(|| name.to_owned(), folder);
            found.push(Use {
                user: user.clone(),
                alias: dependency["rename"].as_str().unwrap_or(name).replace('-', "_"),
                what,
                is_ours: path.is_some(),
                is_for_tests: dependency["kind"].as_str() == Some("dev"),
            });
        }
    }
    Ok(found)
}

fn folder(path: &str) -> String {
    path.rsplit(['/', '\\']).next().unwrap_or(path).to_owned()
}

fn array<'a>(of: &'a Value, name: &str) -> Result<&'a Vec<Value>, String> {
    of[name].as_array().ok_or_else(|| format!("`{name}` is not a list"))
}

fn text<'a>(of: &'a Value, name: &str) -> Result<&'a str, String> {
    of[name].as_str().ok_or_else(|| format!("`{name}` is not a text"))
}

/// Compares what the crates use with the two tables.
pub fn examine(tree: &Tree, uses: &[Use]) -> Vec<Finding> {
    let mut findings: Vec<Finding> = uses.iter().filter_map(|u| forbidden(tree, u)).collect();
    findings.extend(uses.iter().filter(|u| !is_named(tree, u)).map(|u| {
        let say = format!("`{}` is declared and its code never names it; take it out", u.what);
        Finding::note(&u.manifest(), line_of(tree, u), "unused-dependency", say)
    }));
    for (library, ..) in LIBRARIES {
        if !uses.iter().any(|u| u.what == *library) {
            let say = format!("no crate uses `{library}` any more; take its row out");
            findings.push(Finding::new(SELF, 1, "crate-owner", say));
        }
    }
    findings
}

const SELF: &str = "crates/xtask/src/tidy/edges.rs";

fn forbidden(tree: &Tree, u: &Use) -> Option<Finding> {
    let (rule, say) = if u.is_ours {
        let allowed = EDGES.iter().find(|(user, _)| *user == u.user).map(|(_, used)| *used);
        let say = match allowed {
            None => format!("`{}` is not in the table of layers; see {SELF}", u.user),
            Some(_) if u.is_for_tests && u.what == "testkit" => return None,
            Some(_)
                if u.is_for_tests
                    && EDGES_OF_TESTS
                        .iter()
                        .any(|(user, used)| *user == u.user && used.contains(&u.what.as_str())) =>
            {
                return None;
            }
            Some(used) if used.contains(&u.what.as_str()) => return None,
            Some(used) => format!(
                "`{}` must not use `{}`; it may use: {}",
                u.user,
                u.what,
                if used.is_empty() { "none of ours".to_owned() } else { used.join(", ") }
            ),
        };
        ("crate-edge", say)
    } else {
        let row = LIBRARIES.iter().find(|(name, ..)| *name == u.what);
        let say = match row {
            None => format!("`{}` is new: say why in an ADR and add it to {SELF}", u.what),
            Some((_, owners, _)) if owners.contains(&u.user.as_str()) => return None,
            Some((_, _, testers)) if u.is_for_tests && testers.contains(&u.user.as_str()) => {
                return None;
            }
            Some((_, owners, testers)) => {
                let owners = [*owners, *testers].concat().join(", ");
                format!("`{}` belongs to {owners}; call it through its owner", u.what)
            }
        };
        ("crate-owner", say)
    };
    Some(Finding::new(&u.manifest(), line_of(tree, u), rule, say))
}

/// The line of the manifest that declares the use, in the section it stands in.
fn line_of(tree: &Tree, u: &Use) -> usize {
    let Some(manifest) = tree.file(&u.manifest()) else { return 1 };
    let mut section = "";
    for (n, line) in manifest.text.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let key = line.split(['=', '.']).next().unwrap_or("").trim();
        let is_for_tests = section.contains("dev-dependencies");
        if key.replace('-', "_") == u.alias && is_for_tests == u.is_for_tests {
            return n + 1;
        }
    }
    1
}

/// Whether any Rust file of the crate names it.
fn is_named(tree: &Tree, u: &Use) -> bool {
    let folder = format!("crates/{}/", u.user);
    let mut files = tree.files.iter().filter(|file| file.path.starts_with(&folder));
    files.any(|file| {
        file.rust.as_ref().is_some_and(|rust| words(&rust.code).any(|(_, word)| word == u.alias))
    })
}
