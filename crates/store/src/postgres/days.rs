//! How many incentives there are, for those who keep copies of them.

use std::collections::BTreeMap;

use domain::time::{DAY_US, Day};
use engine::captured::Applied;
use uuid::Uuid;

use super::PgDb;
use crate::error::Result;

// An id begins with the append time in milliseconds, so a range of ids is one of time.
const BY_DAY: &str = "
    select i.limit_day, count(*) from incentives i
    join unnest($1::uuid[], $2::int4[], $3::int8[], $4::int4[])
        as applied (tenant_id, source_partition, batch_seq, ordinal)
        on applied.tenant_id = i.tenant_id and applied.source_partition = i.source_partition
    where i.incentive_id >= $5 and i.limit_day >= $6
        and (i.batch_seq, i.ordinal) <= (applied.batch_seq, applied.ordinal)
    group by i.limit_day";

/// The number of incentives of each tenant day from `from` on, up to the last place applied for
/// each tenant and source partition: what whoever applied them must have. Reads all incentives of
/// these days. Errors: those of the database.
pub async fn incentives_by_day(
    db: &PgDb,
    from: Day,
    applied: &Applied,
) -> Result<BTreeMap<Day, u64>> {
    let (mut tenants, mut sources, mut batches, mut ordinals) = (vec![], vec![], vec![], vec![]);
    for ((tenant, source), place) in applied.iter() {
        tenants.push(tenant.0);
        sources.push(source);
        batches.push(place.batch_seq);
        ordinals.push(place.ordinal);
    }
    let client = db.client().await?;
    let first = first_id(from);
    let rows =
        client.query(BY_DAY, &[&tenants, &sources, &batches, &ordinals, &first, &from.0]).await?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    rows.iter().map(|row| Ok((Day(row.try_get(0)?), count(row.try_get(1)?)))).collect()
}

/// An id that is below those of all incentives of a day. Zones are ahead of UTC by less than a day.
fn first_id(day: Day) -> Uuid {
    let ms = (i64::from(day.0) - 1).saturating_mul(DAY_US / 1000);
    let mut bytes = [0; 16];
    bytes[..6].copy_from_slice(&u64::try_from(ms).unwrap_or(0).to_be_bytes()[2..]);
    Uuid::from_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use domain::id::{Cause, EventId, TenantId, UserRef, incentive_id, user_id};
    use domain::time::Zone;

    use super::*;

    #[test]
    fn no_incentive_of_a_day_has_a_lower_id_than_its_first() {
        let tenant = TenantId(Uuid::nil());
        let user = user_id(tenant, &UserRef::new("u").expect("a reference"));
        let event = EventId::new("e").expect("an id");
        let campaign = domain::id::CampaignId(Uuid::nil());
        for zone in ["Pacific/Kiritimati", "UTC", "Pacific/Pago_Pago"] {
            let zone = Zone::named(zone).expect("a zone");
            for day in [Day(20_266), Day(3)] {
                let begins = zone.start_of(day);
                let id = incentive_id(begins, tenant, campaign, user, Cause::Event(&event), 0);
                assert!(id.0 > first_id(day) && id.0 < first_id(Day(day.0 + 3)), "{zone:?}");
            }
        }
        assert_eq!(first_id(Day(0)), Uuid::nil());
    }
}
