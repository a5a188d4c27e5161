-- The hot tables: written once per batch by the incentive calculator, read by everybody.
-- The same tables and columns as on SQLite, in the types of this database, and what only this
-- profile has: where in the topic a record lies, and the mark of the log at a position.
-- No foreign keys here on purpose: they cost four times the write and forbid dropping partitions;
-- `incent doctor` and the fault tests check with anti-joins instead.

-- Events that were decided, in partitions of a month by append time. The log itself is the topic.
-- There is no unique key: `event_ids` keeps that duty, which partitions by time could not.
create table events (
    log_offset       bigint      not null,         -- the record's offset in its partition of the topic
    tenant_id        uuid        not null,
    event_id         text        not null,         -- the tenant's own id
    user_id          uuid        not null,
    user_ref         text        not null,         -- the tenant's own id of the user
    action_code      text        not null,
    event_ts         timestamptz not null,         -- event time
    payload          jsonb,                        -- null = it is no JSON, see the dead letter
    append_time      timestamptz not null,         -- never goes back for a tenant
    kind             bigint      not null default 0, -- 0 live, 1 history, 2 replay
    outcome          text,
    source_partition integer     not null
) partition by range (append_time);
-- What no month was made for: replays of the past, and a month that housekeeping has missed.
create table events_default partition of events default;
create index events_by_place on events (source_partition, log_offset);

-- An event id is an idempotency key for ever within the retention.
create table event_ids (
    tenant_id        uuid        not null,
    event_key        uuid        not null,         -- 128 bits of SHA-256 of the event id
    content_hash     uuid        not null,         -- same id with another content is ID_REUSED
    log_offset       bigint      not null,
    append_time      timestamptz not null,
    source_partition integer     not null,
    primary key (tenant_id, event_key)
) partition by hash (event_key);
create table event_ids_0 partition of event_ids for values with (modulus 8, remainder 0);
create table event_ids_1 partition of event_ids for values with (modulus 8, remainder 1);
create table event_ids_2 partition of event_ids for values with (modulus 8, remainder 2);
create table event_ids_3 partition of event_ids for values with (modulus 8, remainder 3);
create table event_ids_4 partition of event_ids for values with (modulus 8, remainder 4);
create table event_ids_5 partition of event_ids for values with (modulus 8, remainder 5);
create table event_ids_6 partition of event_ids for values with (modulus 8, remainder 6);
create table event_ids_7 partition of event_ids for values with (modulus 8, remainder 7);

-- The ledger, in partitions of a month by id, which begins with the append time.
create table incentives (
    incentive_id       uuid        not null primary key,  -- deterministic and time-ordered (UUIDv8)
    tenant_id          uuid        not null,
    user_id            uuid        not null,
    user_ref           text        not null,
    campaign_id        uuid        not null,
    campaign_version   bigint      not null,
    event_id           text        not null,
    type               text        not null check (type in ('CASHBACK', 'POINTS', 'COUPON')),
    reward_currency    text        not null,
    reward_amount      numeric     not null,
    coupon_code        text,
    issued_at          timestamptz not null,
    seq                bigint      not null,              -- dense per user, from 1
    source_partition   integer     not null,
    batch_seq          bigint      not null,
    ordinal            integer     not null,              -- dense in the batch: the order of publication
    tenant_day_used    bigint      not null,  tenant_day_cap    bigint,
    tenant_total_used  bigint      not null,  tenant_total_cap  bigint,
    user_day_used      bigint      not null,  user_day_cap      bigint,
    user_total_used    bigint      not null,  user_total_cap    bigint,
    limit_day          integer     not null,              -- tenant calendar day, days since 1970
    budgets            jsonb,                             -- use after it, cap and window per budget
    check (tenant_day_cap   is null or tenant_day_used   <= tenant_day_cap),
    check (tenant_total_cap is null or tenant_total_used <= tenant_total_cap),
    check (user_day_cap     is null or user_day_used     <= user_day_cap),
    check (user_total_cap   is null or user_total_used   <= user_total_cap)
) partition by range (incentive_id);
create table incentives_default partition of incentives default;
-- With seq, so that what a client has missed is found in the index alone.
create index incentives_by_user on incentives (user_id, issued_at desc, seq desc);
create index incentives_by_tenant on incentives (tenant_id, incentive_id);
create index incentives_by_campaign on incentives (campaign_id, incentive_id);
-- Not unique: that would need the partition's key. The position's own lock keeps places unique.
create index incentives_by_position on incentives (source_partition, batch_seq, ordinal);

-- All that a decision needs to know about a user, in one row. Written again and again: nothing that
-- changes is indexed and pages have room, so that a new version of a row stays on its page.
create table user_states (
    user_id    uuid    not null primary key,
    tenant_id  uuid    not null,
    version    bigint  not null,
    seq        bigint  not null,                      -- last incentive seq of the user
    state      text    not null                       -- JSON, see domain::state; never looked into
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- Sets that grow: once per value of a field.
create table user_marks (
    user_id     uuid        not null,
    mark_key    uuid        not null,
    campaign_id uuid        not null,
    marked_at   timestamptz not null,
    primary key (user_id, mark_key)
);

-- Use of tenant limits and campaign budgets, a row per bucket (a day, a period's first day, or ever).
create table limit_usage (
    tenant_id uuid    not null,
    limit_key text    not null,                       -- 'tenant', or 'campaign:<id>:<budget id>'
    bucket    bigint  not null,                       -- days since 1970; -2147483648 = for ever
    used      numeric not null,
    primary key (tenant_id, limit_key, bucket)
) with (fillfactor = 50);

-- What a user has completed: steps and quests.
create table user_aggregations (
    aggregation_id uuid        not null primary key,
    tenant_id      uuid        not null,
    user_id        uuid        not null,
    campaign_id    uuid        not null,
    step_id        text,                              -- null = the quest itself
    cycle          bigint      not null,
    action_code    text        not null,
    incentive_id   uuid,
    unpaid_reason  text,                              -- COMPLETED_UNPAID: why
    completed_at   timestamptz not null
);
create index user_aggregations_by_user on user_aggregations (user_id, completed_at desc);

-- Each publication to `incentive-generated`; what is committed and not here is published after a restart.
create table incentive_event_log (
    incentive_id uuid        not null primary key,
    user_id      uuid        not null,
    published_at timestamptz not null
);

create table positions (
    topic       text    not null,
    partition   integer not null,
    epoch       bigint  not null,
    next_offset bigint  not null,
    batch_seq   bigint  not null,
    published_batch   bigint  not null default 0,     -- the relay's place: last (batch, ordinal) published
    published_ordinal integer not null default -1,
    mark_log    uuid,                                 -- id of the topic at next_offset - 1
    mark_check  bigint,                               -- CRC of the record at next_offset - 1
    primary key (topic, partition)
) with (fillfactor = 10);

create table batches (
    partition    integer     not null,
    batch_seq    bigint      not null,
    epoch        bigint      not null,
    offset_from  bigint      not null,
    offset_to    bigint      not null,                -- exclusive
    config_versions jsonb    not null,                -- tenant id -> config_version it was decided under
    counts       jsonb       not null,                -- outcome -> number
    committed_at timestamptz not null,
    primary key (partition, batch_seq)
);

create table dead_letters (
    dead_letter_id uuid        not null primary key,  -- UUIDv8: in the order of arrival
    tenant_id      uuid,
    source         text        not null,              -- 'ingest', 'tenant-events:0@17', …
    reason         text        not null,
    detail         text        not null,
    raw            bytea       not null,              -- the exact bytes
    received_at    timestamptz not null,
    replayed_at    timestamptz
);
create index dead_letters_by_tenant on dead_letters (tenant_id, dead_letter_id);
