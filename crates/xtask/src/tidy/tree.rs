//! The files of the project: what git tracks or would track.

use std::path::Path;

use super::source::RustFile;
use crate::run::{Failure, answer};

/// All text files of the project.
pub struct Tree {
    /// In the order of their paths.
    pub files: Vec<File>,
    /// Every path, binary files included.
    paths: Vec<String>,
}

/// A text file.
pub struct File {
    /// From the project's folder, with slashes.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its parts, if it is Rust.
    pub rust: Option<RustFile>,
}

/// A comment that excuses one place from one rule.
#[derive(Debug, PartialEq, Eq)]
pub struct Exception {
    /// The line of the comment, from 1.
    pub line: usize,
    /// The rule it names.
    pub rule: String,
    /// Whether it says why.
    pub has_reason: bool,
}

impl Tree {
    /// Reads the files that git tracks or would track; in a tree without git, all files but those
    /// of the build. Errors: git or a file cannot be read.
    pub fn read(root: &Path) -> Result<Self, Failure> {
        let paths = if root.join(".git").exists() { tracked(root)? } else { walked(root)? };
        let mut pairs = Vec::new();
        for path in paths {
            let full = root.join(&path);
            // A file deleted but not yet committed is still listed.
            if full.is_file() {
                let bytes = std::fs::read(&full).map_err(|source| Failure::io(&full, source))?;
                pairs.push((path, bytes));
            }
        }
        Ok(Self::new(pairs))
    }

    /// From paths and contents; what is not UTF-8 counts as binary.
    pub fn new(mut pairs: Vec<(String, Vec<u8>)>) -> Self {
        pairs.sort();
        pairs.dedup();
        let paths = pairs.iter().map(|(path, _)| path.clone()).collect();
        let files = pairs
            .into_iter()
            .filter_map(|(path, bytes)| Some(File::new(path, String::from_utf8(bytes).ok()?)))
            .collect();
        Self { files, paths }
    }

    /// Whether a file, or a folder with a file in it, exists.
    pub fn has(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        path.is_empty()
            || self.paths.iter().any(|known| {
                known
                    .strip_prefix(path)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    }

    /// A text file by its path.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }
}

impl File {
    /// A text file; Rust is taken apart.
    pub fn new(path: String, text: String) -> Self {
        let rust = path.ends_with(".rs").then(|| RustFile::new(&text, is_test_path(&path)));
        Self { path, text, rust }
    }

    /// The name without folders.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }

    /// Whether it was made elsewhere and is kept as it came.
    pub fn is_foreign(&self) -> bool {
        self.path.contains("/vendor/") || self.name() == "LICENSE" || self.path == "Cargo.lock"
    }

    /// The comments that excuse a place of this file.
    pub fn exceptions(&self) -> Vec<Exception> {
        const MARK: &str = "tidy-allow(";
        let text = self.rust.as_ref().map_or(&self.text, |rust| &rust.comments);
        let mut found = Vec::new();
        for (n, line) in text.lines().enumerate() {
            let Some((_, rest)) = line.split_once(MARK) else { continue };
            let Some((rule, reason)) = rest.split_once(')') else { continue };
            // Where the form itself is explained, the rule stands in capitals.
            if rule.is_empty() || !rule.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') {
                continue;
            }
            let reason = reason.strip_prefix(':').unwrap_or("").trim();
            found.push(Exception {
                line: n + 1,
                rule: rule.to_owned(),
                has_reason: reason.len() >= 5,
            });
        }
        found
    }
}

fn tracked(root: &Path) -> Result<Vec<String>, Failure> {
    // A checkout may belong to another account than the one that runs the checks; reading its
    // list of files is no risk.
    let list = "git -c safe.directory=* ls-files -z --cached --others --exclude-standard";
    let list = answer(root, &list.split(' ').collect::<Vec<_>>())?;
    Ok(list.split_terminator('\0').map(str::to_owned).collect())
}

fn walked(root: &Path) -> Result<Vec<String>, Failure> {
    const BUILD: [&str; 2] = ["target", "incent-data"];
    let (mut folders, mut files) = (vec![String::new()], Vec::new());
    while let Some(folder) = folders.pop() {
        let full = root.join(&folder);
        let entries = std::fs::read_dir(&full).map_err(|source| Failure::io(&full, source))?;
        for entry in entries {
            let entry = entry.map_err(|source| Failure::io(&full, source))?;
            let path = format!("{folder}{}", entry.file_name().to_string_lossy());
            // Links are not followed: a loop would never end.
            match entry.file_type() {
                Ok(kind) if kind.is_dir() && !BUILD.contains(&path.as_str()) => {
                    folders.push(format!("{path}/"));
                }
                Ok(kind) if kind.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    Ok(files)
}

/// Test code lives in `tests/` folders, in files named `tests.rs`, in the crate of test tools and in
/// the benchmark programs.
fn is_test_path(path: &str) -> bool {
    path.ends_with("/tests.rs")
        || path.contains("/tests/")
        || path.starts_with("crates/testkit/")
        || path.contains("/examples/")
        || path.starts_with("bench/")
}
