//! The platform as `apply` sees it: what is there, found by name, and how to change it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use domain::compile::check_rule;
use domain::id::CohortId;
use domain::rule::CampaignType;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::diff::{Difference, differences};
use super::document::{
    CampaignDocument, CohortDocument, CohortType, Document, Key, LimitsDocument, Name, Status,
    TenantDocument, name_cohorts,
};
use super::{Change, Progress, Verb};
use crate::client::{As, Client, encoded};
use crate::failure::{Code, Failure, Outcome};

/// Items in a page.
const PAGE: u16 = 1000;

/// How long to wait for a cohort to be computed; after that it goes on in the background.
const COMPUTED_WITHIN: Duration = Duration::from_secs(60);
/// Pause between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A running platform and what has been learnt of it.
pub struct Platform {
    client: Client,
    dry_run: bool,
    /// Sent along with each change of a quest.
    progress: Option<Progress>,
    /// The tenant of the last Tenant document.
    current: Option<String>,
    /// Ids of tenants by name, read when first asked for.
    tenants: Option<HashMap<String, Value>>,
    /// Cohorts by tenant, read when first asked for.
    cohorts: HashMap<String, Vec<Value>>,
    /// Campaigns by tenant, read when first asked for.
    campaigns: HashMap<String, Vec<Value>>,
}

impl Platform {
    /// The platform behind a client.
    pub fn new(client: Client, dry_run: bool) -> Self {
        Self {
            client,
            dry_run,
            progress: None,
            current: None,
            tenants: None,
            cohorts: HashMap::new(),
            campaigns: HashMap::new(),
        }
    }

    /// The same, telling what becomes of users' progress in quests that change.
    #[must_use]
    pub fn progress(self, progress: Option<Progress>) -> Self {
        Self { progress, ..self }
    }

    /// The tenant of the last Tenant document applied.
    pub fn current_tenant(&self) -> Option<&str> {
        self.current.as_deref()
    }

    /// Brings one thing to what its document says. Errors: the platform refuses, or is away.
    pub fn apply(&mut self, document: &Document) -> Outcome<Change> {
        match document {
            Document::Tenant(tenant) => self.tenant(tenant),
            Document::Limits(limits) => self.limits(limits),
            Document::Cohort(cohort) => self.cohort(cohort),
            Document::Campaign(campaign) => self.campaign(campaign),
        }
        .map_err(|failure| in_document(failure, document))
    }

    fn tenant(&mut self, document: &TenantDocument) -> Outcome<Change> {
        let wanted = json!({"name": document.name, "timeZone": document.time_zone});
        let name = document.name.as_str();
        let old = self.tenants()?.get(name).cloned();
        let path = "/api/v1/tenants";
        let (change, now) = match old {
            None => (created("Tenant", name), self.write("POST", path, &wanted)?),
            Some(old) => {
                let found = differences(&picked(&old, &wanted), &wanted);
                let change = updated("Tenant", name, found);
                if change.verb == Verb::Update {
                    let path = format!("{path}/{}", encoded(&id_of(&old, "tenantId")));
                    let body = merged(&old, &wanted, &["name", "timeZone", "status"]);
                    self.write("PUT", &path, &body)?;
                }
                (change, old)
            }
        };
        let id = id_of(&now, "tenantId");
        self.current = Some(id);
        self.tenants()?.insert(name.to_owned(), now);
        Ok(change)
    }

    fn limits(&mut self, document: &LimitsDocument) -> Outcome<Change> {
        let tenant = self.tenant_of(document.tenant.as_ref())?;
        let path = format!("/api/v1/tenants/{}", encoded(&tenant));
        let old = match is_made_up(&tenant) {
            true => json!({}),
            false => self.on(&tenant).get(As::Admin, &format!("{path}/limits"))?,
        };
        let mut found = Vec::new();
        for (wanted, field, route) in [
            (&document.per_tenant, "tenant", "limits"),
            (&document.per_user, "perUser", "user-limits"),
        ] {
            let Some(wanted) = wanted else { continue };
            let wanted = serde_json::to_value(wanted).unwrap_or_default();
            let is = picked(old.get(field).unwrap_or(&Value::Null), &wanted);
            let differing = differences(&is, &wanted);
            if !differing.is_empty() {
                self.write_for(&tenant, "POST", &format!("{path}/{route}"), &wanted)?;
            }
            found.extend(differing.into_iter().map(|d| under(field, d)));
        }
        Ok(updated("Limits", "", found))
    }

    fn cohort(&mut self, document: &CohortDocument) -> Outcome<Change> {
        let tenant = self.tenant_of(document.tenant.as_ref())?;
        let name = document.name.as_str();
        let mut wanted = json!({"name": name, "type": document.cohort_type});
        match document.cohort_type {
            CohortType::Static => {
                let none = Vec::new();
                let ids =
                    document.user_ids.as_ref().map_or(none, |ids| ids.iter().cloned().collect());
                wanted["userIds"] = json!(ids);
            }
            CohortType::Dynamic => {
                wanted["criteria"] = document.criteria.clone().unwrap_or_default();
                wanted["refresh"] =
                    json!(document.refresh.map_or("NONE", |refresh| refresh.as_str()));
            }
        }
        let key = document.key.as_ref();
        let old = find(self.cohorts(&tenant)?, key, name).cloned();
        let Some(old) = old else {
            wanted["tenantId"] = json!(tenant);
            wanted["key"] = json!(key);
            let now = self.write_for(&tenant, "POST", "/api/v1/cohorts", &wanted)?;
            self.computed(&tenant, &now)?;
            self.cohorts(&tenant)?.push(now);
            return Ok(created("Cohort", name));
        };
        let path = format!("/api/v1/cohorts/{}", encoded(&id_of(&old, "cohortId")));
        let mut is = picked(&old, &wanted);
        if document.cohort_type == CohortType::Static {
            is["userIds"] = self.members(&tenant, &path)?;
            sort(&mut is["userIds"]);
            sort(&mut wanted["userIds"]);
        }
        let change = updated("Cohort", name, differences(&is, &wanted));
        if change.verb == Verb::Update {
            let now = self.write_for(&tenant, "PUT", &path, &wanted)?;
            self.computed(&tenant, &now)?;
        }
        Ok(change)
    }

    /// Waits until a dynamic cohort is computed, so that campaigns on it begin with its members.
    fn computed(&self, tenant: &str, cohort: &Value) -> Outcome {
        let id = id_of(cohort, "cohortId");
        let path = format!("/api/v1/cohorts/{}", encoded(&id));
        let started = Instant::now();
        let mut status = id_of(cohort, "status");
        while status == "COMPUTING" && started.elapsed() < COMPUTED_WITHIN {
            std::thread::sleep(LOOK_AGAIN);
            let now = self.on(tenant).get(As::Admin, &path)?;
            status = id_of(&now, "status");
            if status == "FAILED" {
                return Err(Failure::new(Code::Failure, "the cohort cannot be computed")
                    .why(id_of(&now, "lastError")));
            }
        }
        Ok(())
    }

    fn campaign(&mut self, document: &CampaignDocument) -> Outcome<Change> {
        let tenant = self.tenant_of(document.tenant.as_ref())?;
        let name = document.name.as_str();
        let wanted = self.wanted_campaign(&tenant, document)?;
        let key = document.key.as_ref();
        let old = find(self.campaigns(&tenant)?, key, name).cloned();
        let (change, now) = match old {
            None => {
                let mut body = wanted.clone();
                body["tenantId"] = json!(tenant);
                body["key"] = json!(key);
                let now = self.write_for(&tenant, "POST", "/api/v1/campaigns", &body)?;
                self.campaigns(&tenant)?.push(now.clone());
                (created("Campaign", name), now)
            }
            Some(old) => {
                let mut is = picked(&old, &wanted);
                is["rule"] = normal_rule(&is["rule"], document);
                let change = updated("Campaign", name, differences(&is, &wanted));
                if change.verb == Verb::Update {
                    let path = format!("/api/v1/campaigns/{}", encoded(&id_of(&old, "campaignId")));
                    let mut body = wanted;
                    if let (Some(progress), CampaignType::Quest) =
                        (self.progress, document.campaign_type)
                    {
                        body["progress"] = json!(progress.as_str());
                    }
                    let answer = self.write_for(&tenant, "PUT", &path, &body);
                    answer.map_err(asks_for_progress)?;
                }
                (change, old)
            }
        };
        self.status(&tenant, document, &now, change)
    }

    /// Activates or pauses, if the document says so and it is not so already.
    fn status(
        &mut self,
        tenant: &str,
        document: &CampaignDocument,
        now: &Value,
        mut change: Change,
    ) -> Outcome<Change> {
        let is = now.get("status").and_then(Value::as_str).unwrap_or("DRAFT");
        let verb = match document.status {
            // One that is over stays over; its document need not be changed for that.
            Some(_) if is == "ENDED" => return Ok(change),
            Some(Status::Active) if is != "ACTIVE" => "activate",
            Some(Status::Paused) if is == "ACTIVE" => "pause",
            _ => return Ok(change),
        };
        let path = format!("/api/v1/campaigns/{}:{verb}", encoded(&id_of(now, "campaignId")));
        self.write_for(tenant, "POST", &path, &json!({}))?;
        change.differences.push(Difference {
            pointer: "/status".to_owned(),
            old: Some(json!(is)),
            new: Some(json!(document.status)),
        });
        if change.verb == Verb::Keep {
            change.verb = Verb::Update;
        }
        Ok(change)
    }

    fn wanted_campaign(&mut self, tenant: &str, document: &CampaignDocument) -> Outcome<Value> {
        let cohorts = self.cohorts(tenant)?;
        let mut lookup = |name: &str| -> Option<CohortId> {
            id_of(find(cohorts, None, name)?, "cohortId").parse().ok()
        };
        let mut rule = document.rule.clone();
        let mut unknown = name_cohorts(&mut rule, &mut lookup);
        let cohort = document.cohort.as_ref().map(|cohort| {
            let id = cohort.parse().ok().or_else(|| lookup(cohort.as_str()));
            if id.is_none() {
                unknown.push(cohort.to_string());
            }
            id
        });
        if let Some(name) = unknown.first() {
            let known: Vec<String> =
                self.cohorts[tenant].iter().map(|c| id_of(c, "name")).collect();
            let near = domain::shape::suggest(name, known.iter().map(String::as_str));
            let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            return Err(Failure::new(Code::NotFound, format!("there is no cohort {name:?}{near}"))
                .mend("apply a Cohort document of that name, in the same run or before"));
        }
        Ok(json!({
            "name": document.name,
            "type": document.campaign_type,
            "startAt": document.start_at,
            "endAt": document.end_at,
            "priority": document.priority,
            "cohortId": cohort.flatten(),
            "rule": normal_rule(&rule, document),
        }))
    }

    fn campaigns(&mut self, tenant: &str) -> Outcome<&mut Vec<Value>> {
        if !self.campaigns.contains_key(tenant) {
            let known = self.list(tenant, "campaigns")?;
            self.campaigns.insert(tenant.to_owned(), known);
        }
        Ok(self.campaigns.entry(tenant.to_owned()).or_default())
    }

    fn cohorts(&mut self, tenant: &str) -> Outcome<&mut Vec<Value>> {
        if !self.cohorts.contains_key(tenant) {
            let known = self.list(tenant, "cohorts")?;
            self.cohorts.insert(tenant.to_owned(), known);
        }
        Ok(self.cohorts.entry(tenant.to_owned()).or_default())
    }

    /// All of a tenant's things of a kind. A tenant that a dry run made up has none.
    fn list(&self, tenant: &str, kind: &str) -> Outcome<Vec<Value>> {
        let mut found = Vec::new();
        if !is_made_up(tenant) {
            let path = format!("/api/v1/tenants/{}/{kind}?pageSize={PAGE}", encoded(tenant));
            self.on(tenant).each_page(As::Admin, &path, |page| {
                found.extend(page);
                Ok(())
            })?;
        }
        Ok(found)
    }

    fn members(&self, tenant: &str, path: &str) -> Outcome<Value> {
        let mut ids = Vec::new();
        let path = format!("{path}/members?pageSize={PAGE}");
        self.on(tenant).each_page(As::Admin, &path, |page| {
            ids.extend(page.into_iter().map(|member| match member {
                Value::Object(mut member) => member.remove("userId").unwrap_or_default(),
                other => other,
            }));
            Ok(())
        })?;
        Ok(Value::Array(ids))
    }

    fn tenants(&mut self) -> Outcome<&mut HashMap<String, Value>> {
        if self.tenants.is_none() {
            let path = format!("/api/v1/tenants?pageSize={PAGE}");
            self.tenants = Some(by_name(&self.client, &path)?);
        }
        Ok(self.tenants.get_or_insert_default())
    }

    /// The tenant that a document names, else that of this run, else that of the connection.
    fn tenant_of(&mut self, name: Option<&Name>) -> Outcome<String> {
        let Some(name) = name else {
            return match &self.current {
                Some(current) => Ok(current.clone()),
                None => self.client.connection().tenant().map(str::to_owned),
            };
        };
        if name.parse::<Uuid>().is_ok() {
            return Ok(name.to_string());
        }
        let tenants = self.tenants()?;
        tenants.get(name.as_str()).map(|tenant| id_of(tenant, "tenantId")).ok_or_else(|| {
            let near = domain::shape::suggest(name, tenants.keys().map(String::as_str));
            let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
            Failure::new(Code::NotFound, format!("there is no tenant {:?}{near}", name.as_str()))
        })
    }

    fn on(&self, tenant: &str) -> Client {
        self.client.for_tenant(tenant)
    }

    fn write(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        send(&self.client, self.dry_run, (method, path), body)
    }

    fn write_for(&self, tenant: &str, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        send(&self.on(tenant), self.dry_run, (method, path), body)
    }
}

/// Sends a change. A dry run sends nothing and makes ids up, so that what depends on them can go on.
fn send(
    client: &Client,
    dry_run: bool,
    (method, path): (&str, &str),
    body: &Value,
) -> Outcome<Value> {
    if !dry_run {
        let reply = client.call(As::Admin, method, path, Some(body.to_string()))?;
        return reply.expect_success().map(|reply| reply.body);
    }
    let mut made_up = body.clone();
    for id in ["tenantId", "campaignId", "cohortId"] {
        if let Value::Object(object) = &mut made_up {
            object.entry(id).or_insert_with(|| json!(Uuid::nil()));
        }
    }
    Ok(made_up)
}

/// Whether a dry run made this id up.
fn is_made_up(id: &str) -> bool {
    id == Uuid::nil().to_string()
}

/// The thing of this key, else of this name.
fn find<'v>(things: &'v [Value], key: Option<&Key>, name: &str) -> Option<&'v Value> {
    let has = |thing: &&Value, field: &str, text: &str| {
        thing.get(field).and_then(Value::as_str) == Some(text)
    };
    match key {
        Some(key) => things.iter().find(|thing| has(thing, "key", key.as_str())),
        None => things.iter().find(|thing| has(thing, "name", name)),
    }
}

fn by_name(client: &Client, path: &str) -> Outcome<HashMap<String, Value>> {
    let mut found = HashMap::new();
    client.each_page(As::Admin, path, |page| {
        for item in page {
            if let Some(name) = item.get("name").and_then(Value::as_str) {
                found.entry(name.to_owned()).or_insert(item);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// The rule in the form in which it is stored, so that only real differences count.
fn normal_rule(rule: &Value, document: &CampaignDocument) -> Value {
    check_rule(rule, document.campaign_type).map_or_else(|_| rule.clone(), |r| r.to_stored())
}

fn id_of(thing: &Value, field: &str) -> String {
    thing.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The fields of `from` that `like` has.
fn picked(from: &Value, like: &Value) -> Value {
    let names = like.as_object().into_iter().flat_map(Map::keys);
    names.map(|name| (name.clone(), from.get(name).cloned().unwrap_or_default())).collect()
}

/// The named fields of `old`, with what `new` says instead.
fn merged(old: &Value, new: &Value, names: &[&str]) -> Value {
    let value = |name: &str| new.get(name).or_else(|| old.get(name)).cloned().unwrap_or_default();
    names.iter().map(|name| ((*name).to_owned(), value(name))).collect()
}

fn sort(list: &mut Value) {
    if let Value::Array(items) = list {
        items.sort_by_key(|item| item.as_str().map(str::to_owned));
        items.dedup();
    }
}

fn under(field: &str, mut difference: Difference) -> Difference {
    difference.pointer = format!("/{field}{}", difference.pointer);
    difference
}

fn created(kind: &'static str, name: &str) -> Change {
    Change { kind, name: name.to_owned(), verb: Verb::Create, differences: Vec::new() }
}

fn updated(kind: &'static str, name: &str, differences: Vec<Difference>) -> Change {
    let verb = if differences.is_empty() { Verb::Keep } else { Verb::Update };
    Change { kind, name: name.to_owned(), verb, differences }
}

/// The platform asks for a field of the request that no document has.
fn asks_for_progress(failure: Failure) -> Failure {
    if !failure.places.iter().any(|place| place.starts_with("/progress")) {
        return failure;
    }
    failure.mend("say --progress keep or --progress reset, together with the file of this quest")
}

fn in_document(mut failure: Failure, document: &Document) -> Failure {
    let what = match document {
        Document::Tenant(d) => format!("Tenant {:?}", d.name.as_str()),
        Document::Limits(_) => "Limits".to_owned(),
        Document::Cohort(d) => format!("Cohort {:?}", d.name.as_str()),
        Document::Campaign(d) => format!("Campaign {:?}", d.name.as_str()),
    };
    failure.what = format!("{what}: {}", failure.what);
    failure
}
