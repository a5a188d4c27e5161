//! `incent schemas`: the documents in `schemas/`, written from the code.

use std::path::{Path, PathBuf};

use domain::shape::schema;
use serde_json::Value;

use crate::config::server::ServerFile;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::reading::mapping::MappingFile;

/// Flags of `schemas`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Directory to write them into; made when it is not there
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// Writes every document and prints its name.
pub fn run(args: Args, out: &Output) -> Outcome {
    std::fs::create_dir_all(&args.out).map_err(|e| Failure::file("make", &args.out, &e))?;
    for (name, document) in documents() {
        write(&args.out.join(name), &document)?;
        out.data(name)?;
    }
    Ok(())
}

fn documents() -> Vec<(&'static str, Value)> {
    vec![
        ("config.schema.json", schema::document::<ServerFile>("config")),
        ("openapi.json", http::openapi()),
        ("import-mapping.schema.json", schema::document::<MappingFile>("import-mapping")),
    ]
}

fn write(path: &Path, document: &Value) -> Outcome {
    std::fs::write(path, format!("{document:#}\n")).map_err(|e| Failure::file("write", path, &e))
}
