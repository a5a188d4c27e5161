//! The catalogue: campaigns that shops, banks and games run, each a file with its rule and a case.

use std::collections::BTreeSet;
use std::path::Path;

use domain::compile::check_rule;
use domain::rule::CampaignType;
use serde_json::Value;

use super::case::failures;
use super::world::CampaignDoc;
use super::{assert_none, parsed};

const DESIGN: &str = include_str!("../../../../../docs/adr/0010-rule-document.md");

/// The files, by the id of their entry.
fn files() -> Vec<(String, Value)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/catalogue");
    let mut files: Vec<(String, Value)> = std::fs::read_dir(&folder)
        .expect("the folder of the catalogue")
        .map(|entry| {
            let path = entry.expect("an entry").path();
            let name = path.file_stem().and_then(|s| s.to_str()).expect("a name").to_owned();
            let text = std::fs::read_to_string(&path).expect("a file");
            let value = parsed(&text, &name);
            (name, value)
        })
        .collect();
    files.sort_by(|a, b| a.0.cmp(&b.0));
    files
}

fn text<'v>(file: &'v Value, field: &str, name: &str) -> &'v str {
    file[field].as_str().unwrap_or_else(|| panic!("{name}: {field} is missing"))
}

#[test]
fn campaigns_of_the_catalogue_decide_as_they_should() {
    let mut wrong = Vec::new();
    for (name, file) in files() {
        assert!(!text(&file, "campaign", &name).is_empty(), "{name}");
        let kind: CampaignType = text(&file, "type", &name).parse().expect("SIMPLE or QUEST");
        let rule = check_rule(&file["rule"], kind).unwrap_or_else(|e| panic!("{name}: {e}"));
        let doc = CampaignDoc {
            name: name.clone(),
            rule: rule.to_stored().to_string(),
            kind,
            priority: 0,
            start_at: None,
            end_at: None,
            cohort: None,
        };
        let case: Vec<&str> = file["case"]
            .as_array()
            .unwrap_or_else(|| panic!("{name}: case is a list of lines"))
            .iter()
            .map(|line| line.as_str().expect("a line"))
            .collect();
        for (n, why) in failures(&[doc], &case.join("\n")) {
            wrong.push(format!("{name}: {}: {why}", case[n - 1]));
        }
    }
    assert_none(&wrong);
}

#[test]
fn every_entry_has_a_file_or_a_place_in_the_design() {
    let ids: BTreeSet<String> = files().into_iter().map(|(name, _)| name).collect();
    let mut expressible = BTreeSet::new();
    let mut later = BTreeSet::new();
    for line in DESIGN.lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let [_, id, _, place, ..] = cells.as_slice() else { continue };
        let is_id = id.starts_with(['S', 'Q']) && id[1..].parse::<u32>().is_ok();
        if is_id && *place == "version 1" {
            expressible.insert((*id).to_owned());
        } else if is_id {
            later.insert((*id).to_owned());
        }
    }
    assert_eq!(ids, expressible, "files of the catalogue, entries of the ADR that name version 1");
    let all = [1, 2, 4, 5, 7, 8, 9, 10, 12, 13, 16, 17, 18, 19, 20, 21, 23, 24, 25, 27, 28]
        .map(|n| format!("S{n}"))
        .into_iter()
        .chain(
            [1, 2, 3, 4, 6, 8, 9, 10, 12, 14, 15, 16, 18, 20, 22, 23, 24, 25]
                .map(|n| format!("Q{n}")),
        );
    let listed: BTreeSet<String> = expressible.union(&later).cloned().collect();
    assert_eq!(listed, all.collect::<BTreeSet<String>>());
}
