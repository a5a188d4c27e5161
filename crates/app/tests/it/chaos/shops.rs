//! The tenants of a run: some close to their limits, some far from them, all with campaigns of every
//! kind, one of which is paused and activated again while events flow.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use testkit::reference::Setting;

use crate::distributed::asked::Asked;
use crate::distributed::ledger;
use crate::distributed::rest::Rest;
use crate::distributed::shop::{self, Opened};

/// Calls until a change must have gone through.
const TRIES: usize = 20;

/// A tenant.
pub struct Shop {
    pub tenant: String,
    on_and_off: String,
    is_paused: bool,
    /// By version, all configurations that ever were in force.
    pub settings: BTreeMap<i64, Setting>,
    /// Changes that were answered: the version after it, and when that was known (PostgreSQL's
    /// clock, in µs). No later batch may have an older one.
    pub answered: Vec<(i64, i64)>,
}

/// Sets so many tenants up, for so many events each.
pub fn set_up(rest: &Rest, db: &Asked, count: usize, events: usize) -> Vec<Shop> {
    (0..count).map(|n| Shop::set_up(rest, db, n, events)).collect()
}

/// What a tenant of so many events may give: from scarce to plenty.
fn limits(n: usize, events: usize) -> Value {
    let plenty = json!({ "maxPerDay": null, "maxTotal": null, "windowDays": null });
    match n % 4 {
        0 => json!({ "tenant": plenty, "perUser": plenty }),
        1 => json!({
            "tenant": { "maxPerDay": events, "maxTotal": null, "windowDays": null },
            "perUser": { "maxPerDay": 60, "maxTotal": 70, "windowDays": 30 },
        }),
        2 => json!({
            "tenant": { "maxPerDay": events / 2, "maxTotal": null, "windowDays": null },
            "perUser": plenty,
        }),
        _ => json!({
            "tenant": { "maxPerDay": null, "maxTotal": 2 * events, "windowDays": 7 },
            "perUser": { "maxPerDay": 12, "maxTotal": null, "windowDays": null },
        }),
    }
}

impl Shop {
    fn set_up(rest: &Rest, db: &Asked, n: usize, events: usize) -> Self {
        let zone = ["America/New_York", "Europe/Paris", "Asia/Kolkata"][n % 3];
        let tenant = json!({
            "name": format!("Shop {n}"), "timeZone": zone, "limits": limits(n, events),
        });
        let Opened { tenant, campaigns } = shop::open(rest, &tenant);
        let last = campaigns.last().expect("a campaign").clone();
        let (settings, answered) = (BTreeMap::new(), Vec::new());
        let mut shop = Self { tenant, on_and_off: last, is_paused: false, settings, answered };
        shop.remember(db);
        shop
    }

    /// Pauses the campaign or activates it again, however often that takes. Each try changes the
    /// configuration at most once, and it is read after each.
    pub fn switch(&mut self, rest: &Rest, db: &Asked, pass: impl Fn()) {
        let verb = if self.is_paused { "activate" } else { "pause" };
        let path = format!("/api/v1/campaigns/{}:{verb}", self.on_and_off);
        for _ in 0..TRIES {
            let answer = rest.call("POST", &path, (Some(&self.tenant), "{}"));
            let version = self.remember(db);
            let is_paused = !self.settings[&version].config.dormant.is_empty();
            let is_answered = answer.as_ref().is_some_and(|(status, _)| *status == 200);
            if is_paused != self.is_paused {
                self.is_paused = is_paused;
                if is_answered {
                    let now = "select (extract(epoch from clock_timestamp()) * 1000000)::bigint";
                    self.answered.push((version, db.number(now)));
                }
                return;
            }
            let may_pass = answer.as_ref().is_none_or(|(status, _)| *status == 503);
            assert!(may_pass && !is_answered, "{verb}: {answer:?}");
            pass();
        }
        panic!("{verb} does not go through");
    }

    fn remember(&mut self, db: &Asked) -> i64 {
        let setting = ledger::setting(db, &self.tenant);
        let version = setting.config.config_version;
        self.settings.insert(version, setting);
        version
    }
}
