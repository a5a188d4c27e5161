//! A process that decides and asks the CMS in another one for what it decides by; the CMS dies, the
//! configuration changes meanwhile, and it comes back.

use std::time::Instant;

use serde_json::{Value, json};

use super::stage::{PATIENCE, Stage, look, send_batch};
use crate::support::{ADMIN, Platform, Said};

const TOKEN: &str = "service-token-0123456789abcdef0123456789";

/// Sends so many purchases that nobody has sent, and waits until all events are decided.
struct Till<'s> {
    stage: &'s Stage,
    gate: &'s Platform,
    tenant: &'s str,
    sent: usize,
}

impl Till<'_> {
    fn send(&mut self, count: usize) {
        let events = (self.sent..self.sent + count).map(|n| {
            json!({"eventId": format!("e-{n}"), "userId": format!("u-{}", n % 3),
                   "action": "purchase", "payload": {"amount": "12.50"}})
        });
        send_batch(self.gate, self.tenant, events.collect());
        self.sent += count;
    }

    /// The number of incentives when everything that was sent is decided.
    #[track_caller]
    fn earned(&self) -> i64 {
        let all = i64::try_from(self.sent).unwrap();
        self.stage.until("select count(*) from events where outcome is not null", all);
        self.stage.number("select count(*) from incentives")
    }
}

/// Waits until `/readyz` answers with this status, and gives what it says.
#[track_caller]
fn ready(stage: &Stage, process: &Platform, status: u16) -> String {
    let begun = Instant::now();
    loop {
        let (code, said) = look(&format!("{}/readyz", process.url));
        if code == status {
            return said;
        }
        assert!(begun.elapsed() < PATIENCE, "/readyz stays at {code}: {said}");
        stage.rows("select pg_sleep(0.1)::text");
    }
}

fn switch(cms: &Platform, campaign: &str, verb: &str) {
    cms.send("POST", &format!("/api/v1/campaigns/{campaign}:{verb}"), &json!({}));
}

/// A tenant with one campaign in force, which pays for each purchase.
fn shop(cms: &Platform) -> (String, String) {
    let id = |made: &Value, name: &str| made[name].as_str().unwrap().to_owned();
    let tenant = id(&cms.send("POST", "/api/v1/tenants", &json!({"name": "Shop"})), "tenantId");
    let rule = json!({"on": ["purchase"], "rewards": [{"type": "POINTS", "amount": "0.10"}]});
    let campaign = json!({"tenantId": tenant, "name": "Each", "type": "SIMPLE", "rule": rule,
                          "startAt": "2020-01-01T00:00:00Z"});
    let campaign = id(&cms.send("POST", "/api/v1/campaigns", &campaign), "campaignId");
    switch(cms, &campaign, "activate");
    (tenant, campaign)
}

#[test]
fn who_decides_asks_the_cms_and_outlives_it_but_never_a_version() {
    let stage = Stage::new();
    stage.prepare("2");
    let token = ("INCENT_SERVICE_TOKEN", TOKEN);
    let mut cms = stage.serve_as("cms", "cms,cohorts", &[token]);
    let address = cms.url.strip_prefix("http://").unwrap().to_owned();
    let asking = [("INCENT_CMS_URL", cms.url.as_str()), token];
    refused_with_another_token(&stage, &cms.url);
    let calculator = stage.serve_as("ic", "ic", &asking);
    let gate = stage.serve("gate", "events");
    let (tenant, campaign) = shop(&cms);
    let mut till = Till { stage: &stage, gate: &gate, tenant: &tenant, sent: 0 };

    // Whatever has answered is in force.
    till.send(10);
    assert_eq!(till.earned(), 10);
    switch(&cms, &campaign, "pause");
    till.send(10);
    assert_eq!(till.earned(), 10, "nothing is granted once the pause has answered");
    switch(&cms, &campaign, "activate");
    till.send(10);
    assert_eq!(till.earned(), 20);
    assert!(ready(&stage, &calculator, 200).contains("cms"));
    doctor_looks_at_it(&stage, &asking);

    // Without the CMS it goes on with what it knows.
    cms.signal("KILL");
    cms.wait();
    till.send(10);
    assert_eq!(till.earned(), 30);
    ready(&stage, &calculator, 200);

    // Another one changes what decides: what is known is not in force any more.
    let other = stage.serve("cms-2", "cms");
    switch(&other, &campaign, "pause");
    let decided = till.sent;
    till.send(10);
    let said = ready(&stage, &calculator, 503);
    assert!(said.contains("the CMS at") && said.contains(&tenant), "{said}");
    let now = i64::try_from(decided).unwrap();
    assert_eq!(stage.number("select count(*) from events where outcome is not null"), now);

    // It comes back, where it was.
    let cms = stage.serve_at(&address, "cms-3", "cms,cohorts", &[token]);
    assert_eq!(till.earned(), 30, "by what is in force, not by what was");
    ready(&stage, &calculator, 200);
    switch(&other, &campaign, "activate");
    till.send(10);
    assert_eq!(till.earned(), 40);
    let (_, metrics) = look(&format!("{}/metrics", calculator.url));
    for name in
        ["incent_cms_asked_total{answer=\"changed\"}", "incent_cms_given_total{from=\"cache\"}"]
    {
        assert!(metrics.contains(name), "{metrics}");
    }
    for process in [cms, other, calculator, gate] {
        assert!(process.stop().success(), "it stops in order");
    }
}

fn refused_with_another_token(stage: &Stage, cms: &str) {
    let serve = |roles: &str, token: &str, admin: &str| {
        let mut command = stage.command(&["serve", "--listen", "127.0.0.1:0", "--roles", roles]);
        command.env("INCENT_CMS_URL", cms).env("INCENT_SERVICE_TOKEN", token);
        Said::of(command.env("INCENT_ADMIN_TOKEN", admin).output().unwrap())
    };
    let other = "f".repeat(40);
    serve("ic", &other, ADMIN).failed(1, &["the CMS cannot be used", "INCENT_SERVICE_TOKEN"]);
    serve("ic", "short", ADMIN).failed(2, &["less than 32 characters"]);
    serve("ic", &other, &other).failed(2, &["the service token is the admin token"]);
}

fn doctor_looks_at_it(stage: &Stage, asking: &[(&str, &str)]) {
    let doctor = |token: &str| {
        let mut command = stage.command(&["doctor"]);
        command.envs(asking.iter().copied()).env("INCENT_SERVICE_TOKEN", token);
        let said = Said::of(command.output().unwrap()).lines().remove(0);
        let checks = said["checks"].as_array().unwrap().iter();
        let about_cms = |c: &&Value| c["states"].as_str().unwrap().starts_with("the CMS at");
        checks.clone().find(about_cms).cloned().unwrap_or_else(|| panic!("{said}"))
    };
    assert_eq!(doctor(TOKEN)["ready"], true);
    let refused = doctor(&"f".repeat(40));
    assert_eq!(refused["ready"], false);
    assert!(refused["why"].as_str().unwrap().contains("(401)"), "{refused}");
}
