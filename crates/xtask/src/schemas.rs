//! The published documents in `schemas/`: written by the binary from the code, and compared.
//!
//! The program's own subcommand does the work (`incent schemas --out DIR`), so that what is checked
//! in is exactly what a user's binary would print.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use crate::out;
use crate::run::{Failure, answer};

const FOLDER: &str = "schemas";
const FRESH: &str = "target/schemas";
/// The program, built for the purpose.
const BUILD: &str = "cargo run --quiet --package incent --";
/// The binary that the tests of the workspace were run with.
const BUILT: &str = "target/debug/incent";

/// Writes `schemas/*.json` from the code. What is there stays untouched until the code has spoken.
pub fn write(root: &Path) -> Result<(), Failure> {
    generate(root, BUILD)?;
    let (kept, fresh) = (root.join(FOLDER), root.join(FRESH));
    std::fs::create_dir_all(&kept).map_err(|source| Failure::io(&kept, source))?;
    clear(&kept)?;
    for name in documents(&fresh)? {
        let path = kept.join(&name);
        std::fs::copy(fresh.join(&name), &path).map_err(|source| Failure::io(&path, source))?;
        out::data(format_args!("{FOLDER}/{name}"));
    }
    Ok(())
}

/// Compares `schemas/*.json` with what the code says. Fails with the files that differ.
pub fn check(root: &Path) -> Result<(), Failure> {
    compared(root, BUILD)
}

/// The same after the tests of the workspace. Building the program by itself chooses other features
/// of its dependencies than building it with all the rest: minutes, for the same documents.
pub fn check_built(root: &Path) -> Result<(), Failure> {
    compared(root, if root.join(BUILT).is_file() { BUILT } else { BUILD })
}

fn compared(root: &Path, program: &str) -> Result<(), Failure> {
    generate(root, program)?;
    let differing = compare(&root.join(FOLDER), &root.join(FRESH))?;
    if differing.is_empty() {
        return Ok(());
    }
    for difference in &differing {
        out::talk(format_args!("{FOLDER}/{}: {}", difference.file, difference.what));
    }
    Err(Failure::Schemas(differing.into_iter().map(|d| format!("{FOLDER}/{}", d.file)).collect()))
}

fn generate(root: &Path, program: &str) -> Result<(), Failure> {
    let fresh = root.join(FRESH);
    std::fs::create_dir_all(&fresh).map_err(|source| Failure::io(&fresh, source))?;
    clear(&fresh)?;
    let command = format!("{program} schemas --out {FRESH}");
    // What it prints, the names of the documents, is said by us where it was asked for.
    answer(root, &command.split(' ').collect::<Vec<_>>())?;
    if documents(&fresh)?.is_empty() {
        return Err(Failure::Answer { from: command, what: "it wrote no document".to_owned() });
    }
    Ok(())
}

/// Removes the documents: one that the code no longer writes would pass for a current one.
fn clear(folder: &Path) -> Result<(), Failure> {
    for name in documents(folder)? {
        let old = folder.join(name);
        std::fs::remove_file(&old).map_err(|source| Failure::io(&old, source))?;
    }
    Ok(())
}

/// A document that is not the same on both sides.
#[derive(Debug, PartialEq, Eq)]
struct Difference {
    file: String,
    what: String,
}

fn compare(kept: &Path, fresh: &Path) -> Result<Vec<Difference>, Failure> {
    let names: BTreeSet<String> = documents(kept)?.union(&documents(fresh)?).cloned().collect();
    let mut differing = Vec::new();
    for file in names {
        let (old, new) = (read(&kept.join(&file))?, read(&fresh.join(&file))?);
        let what = match (old, new) {
            (None, _) => "is missing".to_owned(),
            (_, None) => "is no longer written by the code".to_owned(),
            (Some(old), Some(new)) if old == new => continue,
            (Some(old), Some(new)) => first_difference(&old, &new),
        };
        differing.push(Difference { file, what });
    }
    Ok(differing)
}

/// The names of the JSON documents that lie directly in a folder; none where there is no folder.
fn documents(folder: &Path) -> Result<BTreeSet<String>, Failure> {
    if !folder.exists() {
        return Ok(BTreeSet::new());
    }
    let entries = std::fs::read_dir(folder).map_err(|source| Failure::io(folder, source))?;
    let mut names = BTreeSet::new();
    for entry in entries {
        let entry = entry.map_err(|source| Failure::io(folder, source))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".json") && entry.path().is_file() {
            names.insert(name);
        }
    }
    Ok(names)
}

fn read(path: &Path) -> Result<Option<String>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Failure::io(path, source)),
    }
}

fn first_difference(old: &str, new: &str) -> String {
    let mut pairs = old.lines().zip(new.lines()).enumerate();
    match pairs.find(|(_, (old, new))| old != new) {
        Some((n, (old, new))) => {
            format!("line {} is `{}`, the code says `{}`", n + 1, old.trim(), new.trim())
        }
        None => format!("has {} lines, the code says {}", old.lines().count(), new.lines().count()),
    }
}
