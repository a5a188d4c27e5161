//! The weight of a state is never less than its stored form.

use proptest::prelude::*;
use rust_decimal::Decimal;
use uuid::Uuid;

use super::*;

fn decimals() -> impl Strategy<Value = Decimal> {
    let any = (any::<i128>(), 0_u32..=28)
        .prop_map(|(mantissa, scale)| Decimal::from_i128_with_scale(mantissa % (1 << 95), scale));
    let usual = (0_i64..1_000_000, 0_u32..4).prop_map(|(n, scale)| Decimal::new(n, scale));
    prop_oneof![any, usual]
}

fn meters<N: Strategy>(uses: N) -> impl Strategy<Value = Meter<N::Value>>
where
    N::Value: Default + Clone,
{
    let days = prop::collection::btree_map(-1_i32..=2_932_896, uses, 0..20);
    days.prop_map(|days| Meter {
        ever: days.values().last().cloned().unwrap_or_default(),
        days: days.into_iter().map(|(day, n)| (Day(day), n)).collect(),
    })
}

/// Ids with quotes, backslashes and letters of several bytes.
const IDS: &str = r#"[a-z"\\é]{1,40}"#;

fn quests() -> impl Strategy<Value = QuestState> {
    let kind = prop_oneof![Just(GoalKind::Count), Just(GoalKind::Sum)];
    let step = (decimals(), kind, any::<bool>());
    let step = step.prop_map(|(value, kind, done)| StepState { value, kind, done });
    let unpaid = (
        any::<u32>(),
        IDS,
        prop::collection::vec((0_u32..5, decimals()), 0..5),
        0_i64..=Timestamp::MAX.micros(),
    );
    let unpaid = unpaid.prop_map(|(cycle, event_id, rewards, at)| Unpaid {
        cycle,
        event_id: event_id.parse().expect("an event id"),
        rewards,
        event_ts: Timestamp::from_stored(at),
    });
    let parts = (
        any::<(u32, u32)>(),
        prop::option::of(0_i64..=Timestamp::MAX.micros()),
        prop::option::of(0_i32..=2_932_896),
        prop::collection::btree_map(IDS, step, 0..5),
        prop::collection::vec(unpaid, 0..4),
    );
    parts.prop_map(|((cycle, progress_version), started, period, steps, unpaid)| QuestState {
        cycle,
        progress_version,
        started,
        period: period.map(Day),
        steps,
        unpaid,
    })
}

fn campaigns() -> impl Strategy<Value = CampaignState> {
    let parts = (
        meters(0_u64..=1_000_000),
        prop::collection::vec(0_i64..=Timestamp::MAX.micros(), 0..5),
        prop::collection::btree_map(IDS, meters(decimals()), 0..4),
        prop::option::of(quests()),
    );
    parts.prop_map(|(repeats, recent, budgets, quest)| CampaignState {
        repeats,
        recent,
        budgets,
        quest,
    })
}

fn states() -> impl Strategy<Value = UserState> {
    let parts = (
        any::<u64>(),
        meters(0_u64..100_000),
        prop::collection::btree_map("[A-Za-z0-9._:$-]{1,64}", 0_u64..10_000_000_000, 0..5),
        prop::collection::btree_map(any::<u128>(), campaigns(), 0..4),
    );
    parts.prop_map(|(seq, limit, seen, campaigns)| UserState {
        seq,
        limit,
        seen: seen.into_iter().map(|(a, n)| (a.parse().expect("an action"), n)).collect(),
        campaigns: campaigns
            .into_iter()
            .map(|(id, state)| (CampaignId(Uuid::from_u128(id)), state))
            .collect(),
    })
}

proptest! {
    #[test]
    fn the_weight_is_never_less_than_the_stored_form(state in states()) {
        let stored = serde_json::to_string(&state).expect("JSON");
        prop_assert!(state.weight() >= stored.len(), "{} < {}: {stored}", state.weight(), stored.len());
    }
}

#[test]
fn a_year_of_daily_grants_leaves_room_for_progress() {
    let mut state = UserState::default();
    for day in 20_000..20_366 {
        state.limit.add(Some(Day(day)), 12);
    }
    let stored = serde_json::to_string(&state).expect("JSON").len();
    let weight = state.weight();
    assert!((stored..=stored * 5 / 4).contains(&weight), "{weight} for {stored} bytes");
    assert!(weight < 5_000, "{weight}");
}
