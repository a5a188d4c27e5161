use domain::id::CampaignId;
use domain::time::{Day, Timestamp};
use uuid::Uuid;

use super::*;

const TENANT: TenantId = TenantId(Uuid::from_u128(0x0199_0000_0000_7000_8000_0000_0000_0001));
const CAMPAIGN: CampaignId = CampaignId(Uuid::from_u128(0xca));

fn user(text: &str) -> UserRef {
    UserRef::new(text).expect("a reference")
}

fn cell(user: Option<UserRef>, campaign: Option<CampaignId>, day: Option<i32>) -> Cell {
    Cell { user, campaign, day: day.map(Day), currency: "air|miles".to_owned() }
}

/// Where a tenant's keys lie on Redis Cluster: the text in the first braces decides.
#[test]
fn all_keys_of_a_tenant_have_its_tag() {
    let generation = Generation::new(TENANT, "77");
    let odd = user("}{a}|b:g:c*");
    let board = Leaderboard { campaign: None, day: None, currency: "}{EUR".to_owned() };
    for key in [
        pointer(TENANT),
        making(TENANT),
        unclean(TENANT),
        generation.places(),
        generation.days(),
        generation.totals(),
        generation.user(&odd),
        generation.board(&board),
        generation.hash(&cell(None, Some(CAMPAIGN), None)),
    ] {
        let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        assert_eq!(tag.map(|(tag, _)| tag), Some(&*TENANT.to_string()), "{key}");
    }
}

#[test]
fn no_two_cells_share_a_place() {
    let generation = Generation::new(TENANT, "77");
    let mut places = Vec::new();
    for user in [None, Some(user("ada")), Some(user("ada|*"))] {
        for campaign in [None, Some(CAMPAIGN)] {
            for day in [None, Some(20_000), Some(-3)] {
                let cell = cell(user.clone(), campaign, day);
                places.push((generation.hash(&cell), field(&cell)));
            }
        }
    }
    let all = places.len();
    places.sort();
    places.dedup();
    assert_eq!(places.len(), all);
    assert!(places.iter().all(|(key, field)| generation.has(key) && *field != SEQ));
}

#[test]
fn a_field_tells_its_day_and_currency() {
    for day in [None, Some(20_000), Some(-3)] {
        let field = field(&cell(None, None, day));
        assert_eq!(day_and_currency(&field), Some((day, "air|miles")), "{field}");
    }
    for other in ["", "*|*", "*|x|EUR"] {
        assert_eq!(day_and_currency(other), None, "{other}");
    }
}

/// Members of one score are sorted by their bytes, and scores upwards.
#[test]
fn the_order_of_members_is_the_order_of_leaders() {
    let placed = |amount: &str, last_at, name: &str| {
        let last_at = Timestamp::from_stored(last_at);
        let sum = Sum { incentives: 1, amount: amount.parse().expect("a decimal"), last_at };
        (score(&sum), member(&user(name), &sum))
    };
    let leaders = [
        placed("10.01", 1_750_000_000_000_000, "most"),
        placed("10", 9, "z"),
        placed("10", 10, "a"),
        placed("10", 10, "b|c"),
        placed("-1", 0, "least"),
    ];
    assert!(leaders.is_sorted_by(|a, b| a.0 < b.0 || (a.0 == b.0 && a.1 < b.1)), "{leaders:?}");
    assert_eq!(of_member(&leaders[3].1), Some(user("b|c")));
    assert_eq!(of_member("no member"), None);
}
