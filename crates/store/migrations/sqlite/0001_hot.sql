-- The hot tables: written once per batch by the incentive calculator, read by everybody.
-- Times are microseconds since 1970 UTC, ids are 16-byte blobs, decimals are text (never floats).
-- No foreign keys here on purpose: they cost four times the write and forbid dropping partitions;
-- `incent doctor` and the fault tests check with anti-joins instead.

-- The log. On this profile a row of `events` is the record of `tenant-events`: appended by
-- ingestion with no outcome, decided in place by the batch that takes it.
create table events (
    log_offset   integer primary key,              -- dense per log: the record's offset
    tenant_id    blob    not null,
    event_id     text    not null,                 -- the tenant's own id
    user_id      blob    not null,
    user_ref     text    not null,                 -- the tenant's own id of the user
    action_code  text    not null,
    event_ts     integer not null,                 -- event time
    payload      text    not null,                 -- compact JSON
    append_time  integer not null,                 -- never goes back for a tenant
    kind         integer not null default 0,       -- 0 live, 1 history, 2 replay
    outcome      text                              -- null = undecided
) strict;
-- No index by user: it would cost a page of its own for each event, and nothing that is asked often
-- needs it.

-- An event id is an idempotency key for ever within the retention.
create table event_ids (
    tenant_id    blob    not null,
    event_key    blob    not null,                 -- 128 bits of SHA-256 of the event id
    content_hash blob    not null,                 -- same id with another content is ID_REUSED
    log_offset   integer not null,
    append_time  integer not null,
    primary key (tenant_id, event_key)
) strict, without rowid;

create table incentives (
    incentive_id       blob    not null primary key,  -- deterministic and time-ordered (UUIDv8)
    tenant_id          blob    not null,
    user_id            blob    not null,
    user_ref           text    not null,
    campaign_id        blob    not null,
    campaign_version   integer not null,
    event_id           text    not null,
    -- Not `in`: of three values and more SQLite builds a table for each row that it checks.
    type               text    not null
        check (type = 'CASHBACK' or type = 'POINTS' or type = 'COUPON'),
    reward_currency    text    not null,
    reward_amount      text    not null,
    coupon_code        text,
    issued_at          integer not null,
    seq                integer not null,              -- dense per user, from 1
    source_partition   integer not null,
    batch_seq          integer not null,
    ordinal            integer not null,              -- dense in the batch: the order of publication
    tenant_day_used    integer not null,  tenant_day_cap    integer,
    tenant_total_used  integer not null,  tenant_total_cap  integer,
    user_day_used      integer not null,  user_day_cap      integer,
    user_total_used    integer not null,  user_total_cap    integer,
    limit_day          integer not null,              -- tenant calendar day, days since 1970
    budgets            text,                          -- JSON: use after it, cap and window per budget
    check (tenant_day_cap   is null or tenant_day_used   <= tenant_day_cap),
    check (tenant_total_cap is null or tenant_total_used <= tenant_total_cap),
    check (user_day_cap     is null or user_day_used     <= user_day_cap),
    check (user_total_cap   is null or user_total_used   <= user_total_cap)
) strict, without rowid;
-- With seq, so that what a client has missed is found in the index alone.
create index incentives_by_user on incentives (user_id, issued_at desc, seq desc);
-- The primary key follows in an index of such a table, and it grows with time: lists by tenant or
-- campaign read backwards, and new rows go to the end of each.
create index incentives_by_tenant on incentives (tenant_id);
create index incentives_by_campaign on incentives (campaign_id);
create unique index incentives_by_position on incentives (source_partition, batch_seq, ordinal);

-- All that a decision needs to know about a user, in one row.
create table user_states (
    user_id    blob    not null primary key,
    tenant_id  blob    not null,
    version    integer not null,
    seq        integer not null,                      -- last incentive seq of the user
    state      text    not null                       -- JSON, see domain::state
) strict, without rowid;

-- Sets that grow: once per value of a field.
create table user_marks (
    user_id     blob not null,
    mark_key    blob not null,
    campaign_id blob not null,
    marked_at   integer not null,
    primary key (user_id, mark_key)
) strict, without rowid;

-- Use of tenant limits and campaign budgets, a row per bucket (a day, a period's first day, or ever).
create table limit_usage (
    tenant_id blob    not null,
    limit_key text    not null,                       -- 'tenant', or 'campaign:<id>:<budget id>'
    bucket    integer not null,                       -- days since 1970; -2147483648 = for ever
    used      text    not null,
    primary key (tenant_id, limit_key, bucket)
) strict, without rowid;

-- What a user has completed: steps and quests.
create table user_aggregations (
    aggregation_id blob    not null primary key,
    tenant_id      blob    not null,
    user_id        blob    not null,
    campaign_id    blob    not null,
    step_id        text,                              -- null = the quest itself
    cycle          integer not null,
    action_code    text    not null,
    incentive_id   blob,
    unpaid_reason  text,                              -- COMPLETED_UNPAID: why
    completed_at   integer not null
) strict, without rowid;
create index user_aggregations_by_user on user_aggregations (user_id, completed_at desc);

-- Each publication to `incentive-generated`; what is committed and not here is published after a restart.
create table incentive_event_log (
    incentive_id blob    not null primary key,
    user_id      blob    not null,
    published_at integer not null
) strict, without rowid;

create table positions (
    topic       text    not null,
    partition   integer not null,
    epoch       integer not null,
    next_offset integer not null,
    batch_seq   integer not null,
    published_batch   integer not null default 0,     -- the relay's place: last (batch, ordinal) published
    published_ordinal integer not null default -1,
    primary key (topic, partition)
) strict, without rowid;

create table batches (
    partition    integer not null,
    batch_seq    integer not null,
    epoch        integer not null,
    offset_from  integer not null,
    offset_to    integer not null,                    -- exclusive
    config_versions text not null,                    -- JSON: tenant id -> config_version it was decided under
    counts       text    not null,                    -- JSON: outcome -> number
    committed_at integer not null,
    primary key (partition, batch_seq)
) strict, without rowid;

create table dead_letters (
    dead_letter_id blob    not null primary key,      -- UUIDv7: in the order of arrival
    tenant_id      blob,
    source         text    not null,                  -- 'ingest', 'tenant-events:0@17', …
    reason         text    not null,
    detail         text    not null,
    raw            blob    not null,                  -- the exact bytes
    received_at    integer not null,
    replayed_at    integer
) strict, without rowid;
create index dead_letters_by_tenant on dead_letters (tenant_id, dead_letter_id);
