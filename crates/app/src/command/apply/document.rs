//! The documents of `apply`: read and checked as a whole before anything is changed.

use std::path::{Path, PathBuf};

use domain::compile::check_rule;
use domain::id::{CohortId, REF_BYTES_MAX};
use domain::rule::CampaignType;
use domain::shape::{self, Fault, FaultCode, Faults, Many, Text, Whole};
use domain::time::{Timestamp, Zone};
use serde_json::Value;

use crate::config::document;
use crate::failure::{Failure, Outcome};

/// A name by which a document is found again.
pub type Name = Text<1, 200>;
/// An operator's own name for something, unique in the tenant.
pub type Key = Text<1, 100>;

domain::choice! {
    /// What a document describes.
    pub enum Kind {
        /// A tenant.
        Tenant = "Tenant",
        /// A tenant's limits.
        Limits = "Limits",
        /// A named set of users.
        Cohort = "Cohort",
        /// A campaign.
        Campaign = "Campaign",
    }
}

domain::shape! {
    /// A tenant, found again by its name.
    pub struct TenantDocument {
        /// `Tenant`.
        "kind" kind: Kind,
        /// Its name.
        "name" name: Name,
        /// IANA zone of its calendar day.
        "timeZone" time_zone: Zone = Zone::utc(),
    }
}

domain::shape! {
    /// A limit; a cap that is left out does not exist.
    pub struct LimitFields {
        /// Most incentives on one calendar day.
        "maxPerDay" max_per_day: Option<Whole<0, 1_000_000_000_000>>,
        /// Most incentives over the window.
        "maxTotal" max_total: Option<Whole<0, 1_000_000_000_000>>,
        /// The window of `maxTotal`: today and the days before it; for ever without it.
        "windowDays" window_days: Option<Whole<1, 366>>,
    }
}

domain::shape! {
    /// A tenant's limits. One that is left out is not touched.
    pub struct LimitsDocument {
        /// `Limits`.
        "kind" kind: Kind,
        /// Whose; the tenant of the same run, or of the connection, when left out.
        "tenant" tenant: Option<Name>,
        /// Of all users together.
        "perTenant" per_tenant: Option<LimitFields>,
        /// Of each user.
        "perUser" per_user: Option<LimitFields>,
    }
}

domain::choice! {
    /// How a cohort gets its members.
    pub enum CohortType {
        /// From a list.
        Static = "STATIC",
        /// From criteria.
        Dynamic = "DYNAMIC",
    }
}

domain::choice! {
    /// How often a dynamic cohort is computed anew as the log passes.
    pub enum Refresh {
        /// At each midnight of the tenant.
        Daily = "DAILY",
        /// On Mondays.
        Weekly = "WEEKLY",
        /// On the first of the month.
        Monthly = "MONTHLY",
    }
}

domain::shape! {
    /// A cohort, found again by its key or name.
    pub struct CohortDocument {
        /// `Cohort`.
        "kind" kind: Kind,
        /// Whose; the tenant of the same run, or of the connection, when left out.
        "tenant" tenant: Option<Name>,
        /// The operator's own name for it: with one, it is found again under another name.
        "key" key: Option<Key>,
        /// Its name.
        "name" name: Name,
        /// How it gets its members.
        "type" cohort_type: CohortType,
        /// Members of a STATIC cohort: the tenant's own ids.
        "userIds" user_ids: Option<Many<Text<1, REF_BYTES_MAX>, 0, 100_000>>,
        /// Criteria of a DYNAMIC one.
        "criteria" criteria: Option<Value>,
        /// How often a DYNAMIC one is computed anew.
        "refresh" refresh: Option<Refresh>,
    }
}

domain::choice! {
    /// What a campaign should be.
    pub enum Status {
        /// Not yet counting; only for a new one.
        Draft = "DRAFT",
        /// Counting.
        Active = "ACTIVE",
        /// Stopped for the time being.
        Paused = "PAUSED",
    }
}

domain::shape! {
    /// A campaign, found again by its key or name.
    pub struct CampaignDocument {
        /// `Campaign`.
        "kind" kind: Kind,
        /// Whose; the tenant of the same run, or of the connection, when left out.
        "tenant" tenant: Option<Name>,
        /// The operator's own name for it: with one, it is found again under another name.
        "key" key: Option<Key>,
        /// Its name.
        "name" name: Name,
        /// SIMPLE or QUEST.
        "type" campaign_type: CampaignType,
        /// What it should be; without it a new one is a DRAFT and an old one stays what it is.
        "status" status: Option<Status>,
        /// From when events count.
        "startAt" start_at: Option<Timestamp>,
        /// Until when, exclusive.
        "endAt" end_at: Option<Timestamp>,
        /// Competes first when higher.
        "priority" priority: i32 = 0,
        /// Restricts it to a cohort, by name or id.
        "cohort" cohort: Option<Name>,
        /// The rule. Cohorts in it may be named instead of given by id.
        "rule" rule: Value,
    }
}

/// A document that was understood.
#[derive(Clone, Debug)]
pub enum Document {
    /// A tenant.
    Tenant(TenantDocument),
    /// Limits.
    Limits(LimitsDocument),
    /// A cohort.
    Cohort(CohortDocument),
    /// A campaign.
    Campaign(Box<CampaignDocument>),
}

/// Reads files, and the `.yaml`, `.yml` and `.json` files under directories, in order of name.
/// Tenants come first, then limits, cohorts and campaigns. Errors: every fault in every file.
pub fn read_all(paths: &[PathBuf]) -> Outcome<Vec<Document>> {
    let mut texts = Vec::new();
    for path in files(paths)? {
        for (number, value) in document::documents(&path)?.into_iter().enumerate() {
            texts.push((format!("{} #{}", path.display(), number + 1), value));
        }
    }
    read_values(texts)
}

/// Reads documents that are at hand, each with its place for messages.
pub fn read_values(values: Vec<(String, Value)>) -> Outcome<Vec<Document>> {
    if values.is_empty() {
        return Err(Failure::usage("there is no document in these files"));
    }
    let mut read = Vec::new();
    let mut places = Vec::new();
    for (place, value) in values {
        match read_one(&value) {
            Ok(document) => read.push(document),
            Err(faults) => {
                places.extend(faults.to_string().lines().map(|fault| format!("{place}: {fault}")));
            }
        }
    }
    if !places.is_empty() {
        let mut failure = Failure::usage("nothing was changed, as some documents have faults");
        failure.places = places;
        return Err(failure);
    }
    read.sort_by_key(|document| match document {
        Document::Tenant(_) => 0,
        Document::Limits(_) => 1,
        Document::Cohort(_) => 2,
        Document::Campaign(_) => 3,
    });
    Ok(read)
}

fn files(paths: &[PathBuf]) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    for path in paths {
        if path.is_dir() {
            files_under(path, &mut files)?;
        } else {
            files.push(path.clone());
        }
    }
    Ok(files)
}

fn files_under(folder: &Path, files: &mut Vec<PathBuf>) -> Outcome {
    let failed = |e: std::io::Error| Failure::file("read", folder, &e);
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries
        .map(|entry| entry.map(|e| e.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    paths.sort();
    for path in paths {
        let extension = path.extension().and_then(|e| e.to_str());
        if path.is_dir() {
            files_under(&path, files)?;
        } else if matches!(extension, Some("yaml" | "yml" | "json")) {
            files.push(path);
        }
    }
    Ok(())
}

fn read_one(value: &Value) -> Result<Document, Faults> {
    let kind = value.get("kind").and_then(Value::as_str).unwrap_or_default();
    match Kind::ALL.iter().find(|k| k.as_str() == kind) {
        Some(Kind::Tenant) => shape::read(value).map(Document::Tenant),
        Some(Kind::Limits) => shape::read(value).map(Document::Limits),
        Some(Kind::Cohort) => shape::read(value).map(Document::Cohort),
        Some(Kind::Campaign) => {
            let campaign: CampaignDocument = shape::read(value)?;
            check_campaign(&campaign)?;
            Ok(Document::Campaign(Box::new(campaign)))
        }
        None => {
            let words = Kind::ALL.iter().map(|k| k.as_str());
            let near = shape::suggest(kind, words.clone());
            let fault = Fault::new("/kind", FaultCode::NotInSet, "must say what the document is");
            let all = words.collect::<Vec<_>>().join(", ");
            Err(Faults::one(fault.hint(match near {
                Some(near) => format!("did you mean {near}?"),
                None => format!("give one of {all}"),
            })))
        }
    }
}

/// Checks the rule as the platform will, names of cohorts aside.
fn check_campaign(campaign: &CampaignDocument) -> Result<(), Faults> {
    let mut rule = campaign.rule.clone();
    name_cohorts(&mut rule, &mut |_| Some(CohortId(uuid::Uuid::nil())));
    check_rule(&rule, campaign.campaign_type).map(drop).map_err(|faults| faults.under("/rule"))
}

/// Puts ids where a rule names cohorts. `lookup` gives the id of a name. Returns names not found.
pub fn name_cohorts(
    rule: &mut Value,
    lookup: &mut impl FnMut(&str) -> Option<CohortId>,
) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut place = |value: &mut Value| {
        let Some(name) = value.as_str() else { return };
        if name.parse::<CohortId>().is_ok() {
            return;
        }
        match lookup(name) {
            Some(id) => *value = Value::from(id.to_string()),
            None => unknown.push(name.to_owned()),
        }
    };
    for list in ["/cohorts/include", "/cohorts/exclude"] {
        if let Some(Value::Array(names)) = rule.pointer_mut(list) {
            names.iter_mut().for_each(&mut place);
        }
    }
    if let Some(Value::Array(lines)) = rule.get_mut("ladder") {
        lines.iter_mut().filter_map(|line| line.get_mut("cohort")).for_each(&mut place);
    }
    unknown
}
