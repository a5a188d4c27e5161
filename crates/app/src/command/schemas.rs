//! `incent schemas`: the documents in `schemas/`, written from the code.

use std::path::{Path, PathBuf};

use domain::rule::{QuestRule, SimpleRule};
use domain::shape::{Described, Schemas, schema};
use serde_json::Value;

use super::apply::document::{CampaignDocument, CohortDocument, LimitsDocument, TenantDocument};
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
        ("rule.schema.json", schema::document::<AnyRule>("rule")),
        ("apply.schema.json", schema::document::<AnyDocument>("apply")),
    ]
}

/// The rule of either type of campaign.
struct AnyRule;

impl Described for AnyRule {
    fn schema(defs: &mut Schemas) -> Value {
        schema::one_of([SimpleRule::schema(defs), QuestRule::schema(defs)])
    }
}

/// A document of any kind that `apply` takes.
struct AnyDocument;

impl Described for AnyDocument {
    fn schema(defs: &mut Schemas) -> Value {
        schema::one_of([
            TenantDocument::schema(defs),
            LimitsDocument::schema(defs),
            CohortDocument::schema(defs),
            CampaignDocument::schema(defs),
        ])
    }
}

fn write(path: &Path, document: &Value) -> Outcome {
    std::fs::write(path, format!("{document:#}\n")).map_err(|e| Failure::file("write", path, &e))
}
