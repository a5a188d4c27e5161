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
