-- What Debezium reads: new rows of the ledger, under the name of the whole table though they lie in
-- its partitions. Deletions are left out: when an old month is dropped, its totals stay.
-- A heartbeat: a row that each connector writes now and then, so that its slot moves on, and the
-- log behind it can go, while nothing is granted.
create table capture_heartbeats (
    connector text        not null primary key,
    beat_at   timestamptz not null
);
create publication incent_incentives for table incentives, capture_heartbeats
    with (publish = 'insert, update', publish_via_partition_root = true);

-- What months of the ledger that were dropped came to: written with the drop, so that sums can be
-- made anew from the ledger and these rows whatever the retention.
create table closed_sums (
    tenant_id       uuid        not null,
    user_ref        text        not null,         -- the tenant's own id of the user
    campaign_id     uuid        not null,
    reward_currency text        not null,
    limit_day       integer     not null,         -- tenant calendar day, days since 1970
    incentives      bigint      not null,
    amount          numeric     not null,
    last_issued_at  timestamptz not null,
    last_seq        bigint      not null,         -- the largest seq among them
    primary key (tenant_id, user_ref, campaign_id, reward_currency, limit_day)
);
