//! YAML and JSON files written by people: read whole, refused with every fault and its place.

use std::path::Path;

use domain::shape::{self, Faults, Shape};
use serde_json::Value;

use crate::failure::{Failure, Outcome};

/// Largest file read, in bytes: settings and campaigns are small, anything larger is a mistake.
const FILE_BYTES_MAX: u64 = 16 << 20;

/// The documents of a file: one of JSON, or several of YAML between lines of `---`. Empty ones are
/// left out. Errors: unreadable, too large, or not YAML.
pub fn documents(path: &Path) -> Outcome<Vec<Value>> {
    let bytes = std::fs::metadata(path).map_err(|e| Failure::file("read", path, &e))?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{} is too large", path.display()))
            .why(format!("it has {bytes} bytes, at most {FILE_BYTES_MAX} are read")));
    }
    let text = std::fs::read_to_string(path).map_err(|e| Failure::file("read", path, &e))?;
    parse(&text).map_err(|why| {
        Failure::usage(format!("{} is not YAML", path.display()))
            .why(why)
            .mend("check the indentation and the quotes near that place")
    })
}

/// The documents of a text, see [`documents`]. Errors: why it is not YAML.
pub fn parse(text: &str) -> Result<Vec<Value>, String> {
    // JSON is YAML, but our own parser keeps its numbers exact and knows its duplicate keys.
    if text.trim_start().starts_with(['{', '[']) {
        return shape::parse(text.as_bytes()).map(|value| vec![value]).map_err(|e| e.to_string());
    }
    let values: Vec<Value> = serde_saphyr::from_multiple(text).map_err(|e| e.to_string())?;
    Ok(values.into_iter().filter(|value| !value.is_null()).collect())
}

/// The single document of a file, in the shape of a type. Errors: as [`documents`], and every
/// fault with its place.
pub fn read<T: Shape>(path: &Path) -> Outcome<T> {
    let documents = documents(path)?;
    let empty = Value::Object(serde_json::Map::new());
    let [value] = documents.as_slice() else {
        if documents.is_empty() {
            return shape::read(&empty).map_err(|faults| faulty(path, &faults));
        }
        return Err(Failure::usage(format!(
            "{} holds {} documents, one is wanted",
            path.display(),
            documents.len()
        )));
    };
    shape::read(value).map_err(|faults| faulty(path, &faults))
}

fn faulty(path: &Path, faults: &Faults) -> Failure {
    let failure = Failure::usage(format!("{} is not as it should be", path.display()));
    places(failure, faults)
}

/// Adds a line for each fault.
pub fn places(failure: Failure, faults: &Faults) -> Failure {
    faults.to_string().lines().fold(failure, Failure::place)
}
