//! The demo's files, compiled in: `incent dev` needs nothing but the binary.

use crate::command::apply::document::{Document, read_values};
use crate::config::document;
use crate::failure::{Failure, Outcome};

/// The purchases, a CSV: `customer_id,date,units,amount_usd`.
pub const PURCHASES: &str = include_str!("../../../demo/cdnow_purchases.csv");

/// Name of the demo's tenant, as in `demo/tenant.yaml`.
pub const TENANT: &str = "CDNOW Records";

macro_rules! files {
    ($($path:literal),+ $(,)?) => {
        &[$(($path, include_str!(concat!("../../../demo/", $path)))),+]
    };
}

/// Path under `demo/` and text of each file with documents.
const FILES: &[(&str, &str)] = files![
    "tenant.yaml",
    "cohorts.yaml",
    "campaigns/01-welcome.yaml",
    "campaigns/02-vip-ladder.yaml",
    "campaigns/03-launch-cashback.yaml",
    "campaigns/04-three-in-thirty-days.yaml",
    "campaigns/05-quarter-200.yaml",
    "campaigns/06-big-spender-bonus.yaml",
    "campaigns/07-weekend-cashback.yaml",
    "campaigns/08-monthly-coupon.yaml",
    "campaigns/09-points.yaml",
    "campaigns/10-holiday-double.yaml",
    "campaigns/11-daily-points.yaml",
];

/// Tenant, limits, cohorts and campaigns of the demo. Errors: a file with a fault, which a test
/// excludes.
pub fn documents() -> Outcome<Vec<Document>> {
    let mut values = Vec::new();
    for (path, text) in FILES {
        let parsed = document::parse(text)
            .map_err(|why| Failure::usage(format!("demo/{path} is not YAML")).why(why))?;
        values.extend(parsed.into_iter().map(|value| (format!("demo/{path}"), value)));
    }
    read_values(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_is_sound_and_whole() {
        let documents = documents().unwrap();
        let count = |f: fn(&Document) -> bool| documents.iter().filter(|d| f(d)).count();
        assert_eq!(count(|d| matches!(d, Document::Tenant(t) if t.name.as_str() == TENANT)), 1);
        assert_eq!(count(|d| matches!(d, Document::Limits(_))), 1);
        assert_eq!(count(|d| matches!(d, Document::Cohort(_))), 2);
        assert_eq!(count(|d| matches!(d, Document::Campaign(_))), 11);
        assert_eq!(PURCHASES.lines().count(), 69_660);
    }

    #[test]
    fn no_file_is_forgotten() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo");
        let in_folder = |path: &str| -> usize {
            let entries = std::fs::read_dir(format!("{folder}/{path}")).unwrap();
            let names = entries.map(|e| e.unwrap().file_name().into_string().unwrap());
            names.filter(|name| name.ends_with(".yaml")).count()
        };
        assert_eq!(in_folder("") + in_folder("campaigns"), FILES.len());
    }
}
