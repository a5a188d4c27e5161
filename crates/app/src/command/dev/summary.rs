//! What the demo's campaigns have done, worth looking at.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::time::Duration;

use domain::decide::Reason;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use store::report::{Amounts, CampaignReport, Earner, Report};

use super::replay::Replayed;
use crate::output::{Ink, Output};
use crate::table::{align, grouped};

/// How many earners are shown.
const EARNERS: usize = 3;
/// The currency that ranks earners: money says more than points.
const MONEY: &str = "USD";

/// As text for people.
pub fn text(report: &Report, replayed: &Replayed, out: &Output) -> String {
    let mut text = head(report, replayed, out);
    text.push_str("\n\n");
    text.push_str(&campaigns(report, out));
    text.push_str("\n\n");
    text.push_str(&refusals(report, out));
    text.push_str("\n\n");
    text.push_str(&earners(report, out));
    text
}

fn head(report: &Report, replayed: &Replayed, out: &Output) -> String {
    let span = report.span.map_or_else(String::new, |(first, last)| {
        let day = |at: &dyn ToString| at.to_string().chars().take(10).collect::<String>();
        format!(", {} to {}", day(&first), day(&last))
    });
    let speed = match rate(replayed) {
        Some(rate) => {
            format!(", decided in {:.1} s: {} a second", replayed.took.as_secs_f64(), grouped(rate))
        }
        None => ", decided by an earlier start".to_owned(),
    };
    format!(
        "\n{}  {} events{span}{speed}\n{} incentives for {} users: {}",
        out.ink(Ink::Bold, crate::demo::TENANT),
        grouped(report.events),
        grouped(report.grants),
        grouped(report.users),
        amounts(&report.amounts),
    )
}

/// Events decided a second; `None` when none were.
fn rate(replayed: &Replayed) -> Option<u64> {
    let millis = u64::try_from(replayed.took.as_millis()).unwrap_or(u64::MAX).max(1);
    (replayed.accepted > 0 && replayed.took > Duration::ZERO)
        .then(|| replayed.accepted.saturating_mul(1000) / millis)
}

fn campaigns(report: &Report, out: &Output) -> String {
    let heading = ["CAMPAIGN", "TYPE", "GRANTS", "USERS", "COST", "HELD BACK"];
    let rows = report.campaigns.iter().map(|campaign| {
        vec![
            campaign.name.clone(),
            campaign.kind.clone(),
            grouped(campaign.grants),
            grouped(campaign.users),
            amounts(&campaign.amounts),
            held_back(campaign),
        ]
    });
    let heading = heading.iter().map(ToString::to_string).collect();
    let right = [false, false, true, true, false, true];
    under_heading(align(std::iter::once(heading).chain(rows), &right), out)
}

/// How often limits and budgets refused; by which reason is told below.
fn held_back(campaign: &CampaignReport) -> String {
    let caps = campaign.others.iter().filter(|(reason, _)| is_cap(**reason));
    match caps.map(|(_, count)| count).sum() {
        0 => "–".to_owned(),
        count => grouped(count),
    }
}

fn is_cap(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::LimitTenantDay
            | Reason::LimitTenantTotal
            | Reason::LimitUserDay
            | Reason::LimitUserTotal
            | Reason::BudgetExhausted
            | Reason::CompletedUnpaid
    )
}

fn refusals(report: &Report, out: &Output) -> String {
    let mut by_reason: BTreeMap<Reason, Vec<(u64, &str)>> = BTreeMap::new();
    for campaign in &report.campaigns {
        for (reason, count) in &campaign.others {
            // A step forward is no refusal.
            if *reason == Reason::Progress {
                continue;
            }
            by_reason.entry(*reason).or_default().push((*count, &campaign.name));
        }
    }
    let total = |of: &[(u64, &str)]| of.iter().map(|(count, _)| count).sum::<u64>();
    let mut reasons: Vec<_> = by_reason.into_iter().collect();
    reasons.sort_by_key(|(_, of)| Reverse(total(of)));
    let rows = reasons.into_iter().map(|(reason, mut of)| {
        let count = total(&of);
        of.sort_by_key(|(count, _)| Reverse(*count));
        let names: Vec<String> =
            of.iter().take(3).map(|(n, name)| format!("{name} {}", grouped(*n))).collect();
        let more = of.len().saturating_sub(3);
        let more = if more > 0 { format!(", {more} more") } else { String::new() };
        vec![reason.as_str().to_owned(), grouped(count), format!("{}{more}", names.join(", "))]
    });
    let heading = ["WHY NOT", "TIMES", "CAMPAIGNS"].iter().map(ToString::to_string).collect();
    under_heading(align(std::iter::once(heading).chain(rows), &[false, true, false]), out)
}

fn earners(report: &Report, out: &Output) -> String {
    let rows = biggest(report).into_iter().enumerate().map(|(i, earner)| {
        vec![
            format!("{}.", i + 1),
            earner.user.as_str().to_owned(),
            amounts(&earner.amounts),
            format!("{} incentives", grouped(earner.grants)),
        ]
    });
    let mut lines = vec![out.ink(Ink::Bold, "BIGGEST EARNERS")];
    lines.extend(align(rows, &[false, false, false, true]));
    lines.join("\n")
}

fn biggest(report: &Report) -> Vec<&Earner> {
    let worth = |earner: &Earner| {
        let of = |currency: &str| earner.amounts.get(currency).copied().unwrap_or_default();
        (of(MONEY), of("POINTS"))
    };
    let mut earners: Vec<&Earner> = report.earners.iter().collect();
    earners.sort_by(|a, b| worth(b).cmp(&worth(a)).then_with(|| a.user.cmp(&b.user)));
    earners.truncate(EARNERS);
    earners
}

/// The user who earned most.
pub fn best_earner(report: &Report) -> Option<&str> {
    biggest(report).first().map(|earner| earner.user.as_str())
}

/// `1,234.50 USD, 50 POINTS`.
fn amounts(amounts: &Amounts) -> String {
    if amounts.is_empty() {
        return "–".to_owned();
    }
    let shown = amounts.iter().map(|(currency, amount)| format!("{} {currency}", decimal(*amount)));
    shown.collect::<Vec<_>>().join(", ")
}

/// A decimal with groups of three in its whole part.
fn decimal(amount: Decimal) -> String {
    let text = amount.normalize().to_string();
    let (whole, fraction) =
        text.split_once('.').map_or((text.as_str(), None), |(w, f)| (w, Some(f)));
    let whole = whole.parse().map_or_else(|_| whole.to_owned(), grouped);
    match fraction {
        Some(fraction) => format!("{whole}.{fraction:0<2}"),
        None => whole,
    }
}

fn under_heading(lines: Vec<String>, out: &Output) -> String {
    let mut lines = lines.into_iter();
    let heading = lines.next().map(|line| out.ink(Ink::Bold, &line));
    heading.into_iter().chain(lines).collect::<Vec<_>>().join("\n")
}

/// As a document for programs.
pub fn document(report: &Report, replayed: &Replayed) -> Value {
    let of_campaign = |campaign: &CampaignReport| {
        let reasons: BTreeMap<&str, u64> =
            campaign.others.iter().map(|(reason, n)| (reason.as_str(), *n)).collect();
        json!({
            "campaignId": campaign.id, "name": campaign.name, "type": campaign.kind,
            "status": campaign.status, "grants": campaign.grants, "users": campaign.users,
            "amounts": campaign.amounts, "reasons": reasons,
        })
    };
    let of_earner = |earner: &Earner| json!({"userId": earner.user, "grants": earner.grants, "amounts": earner.amounts});
    json!({
        "events": report.events,
        "accepted": replayed.accepted,
        "seconds": replayed.took.as_secs_f64(),
        "eventsPerSecond": rate(replayed),
        "grants": report.grants,
        "users": report.users,
        "amounts": report.amounts,
        "campaigns": report.campaigns.iter().map(of_campaign).collect::<Vec<_>>(),
        "biggestEarners": biggest(report).into_iter().map(of_earner).collect::<Vec<_>>(),
    })
}
