//! `decide` per campaign considered, and what campaigns that cannot match cost: 10,000 campaigns of
//! which 5 listen to the event's action against 10 of which 5 do.

use std::hint::black_box;

use domain::compile::TenantRules;
use domain::config::{CampaignSource, TenantConfig, TenantMode};
use domain::decide::{Loaded, Parsed, Working, decide};
use domain::event::{ActionEvent, Record, RecordKind};
use domain::id::{CampaignId, TenantId};
use domain::limit::LimitSpec;
use domain::rule::CampaignType;
use domain::time::{Timestamp, Zone};
use uuid::Uuid;

use crate::timing::{Contender, measure};

fn config(campaigns: u32, matching: u32, when: &str) -> TenantConfig {
    let campaign = |n: u32| {
        let action = if n % (campaigns / matching) == 0 { "purchase".to_owned() } else { format!("other.{n}") };
        let rule = serde_json::json!({
            "on": [action], "when": when,
            "rewards": [{"type": "POINTS", "amount": {"perStep": {"give": "2", "each": "10", "of": "event.amount"}}}],
        });
        CampaignSource {
            id: CampaignId(Uuid::from_u128(u128::from(n) + 1)),
            number: n,
            kind: CampaignType::Simple,
            version: 1,
            progress_version: 1,
            priority: 0,
            created_at: Timestamp::default(),
            start_at: None,
            end_at: None,
            cohort_id: None,
            rule_json: rule.to_string(),
        }
    };
    TenantConfig {
        tenant: TenantId(Uuid::from_u128(1)),
        config_version: 1,
        zone: Zone::utc(),
        lateness_us: 0,
        mode: TenantMode::Live,
        tenant_limit: LimitSpec::default(),
        user_limit: LimitSpec::default(),
        campaigns: (0..campaigns).map(campaign).collect(),
        cohorts: Vec::new(),
        dormant: Vec::new(),
        coupon_key: [0; 32],
    }
}

fn record() -> Record {
    Record {
        offset: 0,
        append_time: Timestamp::from_stored(1_800_000_000_000_000),
        kind: RecordKind::Live,
        event: ActionEvent {
            tenant_id: TenantId(Uuid::from_u128(1)),
            event_id: "o-4711".parse().unwrap(),
            user_id: "u1".parse().unwrap(),
            action: "purchase".parse().unwrap(),
            event_ts: Timestamp::from_stored(1_800_000_000_000_000),
            payload: r#"{"amount":142.10,"category":"books","country":"FR"}"#.into(),
        },
    }
}

pub fn run() {
    let record = record();
    let event = Parsed::new(&record).unwrap();
    for (what, when) in [("that do not hold", "event.amount >= 1000"), ("that grant", "event.amount >= 100")] {
        let few = TenantRules::compile(&config(10, 5, when)).0;
        let many = TenantRules::compile(&config(10_000, 5, when)).0;
        let none = TenantRules::compile(&config(10, 5, when).tap_none()).0;
        let once = |rules: &TenantRules| {
            let mut working = Working::new(Loaded::default());
            black_box(decide(rules, black_box(&event), &mut working));
        };
        let mut contenders = [
            Contender::new("no campaign", || once(&none)),
            Contender::new("5 of 10", || once(&few)),
            Contender::new("5 of 10,000", || once(&many)),
        ];
        let ns = measure(&mut contenders, 9, 20_000);
        println!("five campaigns {what}:");
        for (contender, ns) in contenders.iter().zip(&ns) {
            println!("  {:<14} {ns:>8.0} ns an event", contender.name);
        }
        println!("  {:.0} ns per campaign considered", (ns[1] - ns[0]) / 5.0);
        println!("  10,000 campaigns against 10: {:.2} x\n", ns[2] / ns[1]);
    }
}

trait TapNone {
    fn tap_none(self) -> Self;
}
impl TapNone for TenantConfig {
    fn tap_none(mut self) -> Self {
        self.campaigns.clear();
        self
    }
}
