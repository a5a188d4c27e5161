//! The published description of the API.

use std::collections::BTreeSet;

use serde_json::Value;

const PUBLISHED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../schemas/openapi.json");

fn text() -> String {
    format!("{:#}\n", http::openapi())
}

#[test]
fn the_published_document_is_that_of_the_code() {
    let published = std::fs::read_to_string(PUBLISHED).unwrap_or_default();
    assert!(published == text(), "schemas/openapi.json is out of date: run `cargo x schemas`");
}

#[test]
fn every_reference_leads_somewhere_and_every_operation_is_complete() {
    let document = http::openapi();
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 20);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a local reference");
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let paths = document["paths"].as_object().expect("paths");
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().expect("operations") {
            let named = |name: &str| operation[name].as_str().is_some_and(|text| !text.is_empty());
            assert!(named("operationId") && named("summary"), "{method} {path}");
            let parameters = operation["parameters"].as_array().expect("parameters");
            for segment in path.split(['/', ':']).filter(|s| s.starts_with('{')) {
                let name = segment.trim_matches(['{', '}']);
                let found = parameters.iter().any(|p| p["name"] == name && p["in"] == "path");
                assert!(found, "{method} {path} lacks {name}");
            }
            let answers = operation["responses"].as_object().expect("responses");
            let good = |status: &String| status.starts_with('2') || status == "101";
            assert!(answers.keys().any(good), "{method} {path}");
        }
    }
    assert_eq!(
        paths.values().map(|p| p.as_object().map_or(0, |o| o.len())).sum::<usize>(),
        http::routes::table().len()
    );
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields) => {
            if let Some(Value::String(reference)) = fields.get("$ref") {
                references.insert(reference.clone());
            }
            fields.values().for_each(|inner| collect(inner, references));
        }
        Value::Array(items) => items.iter().for_each(|inner| collect(inner, references)),
        _ => {}
    }
}
