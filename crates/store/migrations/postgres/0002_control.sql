-- The control plane: what operators set. Written rarely, read by everybody, foreign keys enforced.
-- The same tables and columns as on SQLite, in the types of this database. Ids are UUIDv7 where we
-- make them, so their order is the order of creation. Every list is read in pages by key, in the
-- order of an index that begins with the tenant.

-- A shop, bank, game or app that runs campaigns.
create table tenants (
    tenant_id          uuid    not null primary key,
    name               text    not null,
    time_zone          text    not null,              -- IANA name
    status             text    not null check (status in ('ACTIVE', 'SUSPENDED')),
    allowed_lateness_s bigint not null default 604800 check (allowed_lateness_s >= 0),
    coupon_key         bytea    not null,              -- secret from which coupon codes are derived
    version            bigint not null,
    created_at         timestamptz not null,
    updated_at         timestamptz not null
);

-- What each batch locks and compares.
create table tenant_states (
    tenant_id        uuid    not null primary key references tenants (tenant_id),
    config_version   bigint not null,                -- rises with every change that decides
    mode             text    not null check (mode in ('LIVE', 'REPLAY')),
    last_append_time timestamptz not null,                -- append time never goes back
    lane_version     bigint  not null default 0       -- rises with each batch of the tenant's events
) with (fillfactor = 50);

-- The end people who earn. Written by the batches, from the log, as the user first appears.
create table users (
    user_id      uuid    not null primary key,        -- derived from tenant and external_ref
    tenant_id    uuid    not null references tenants (tenant_id),
    external_ref text    not null,                    -- the tenant's own id of the user
    attributes   jsonb    not null default '{}',       -- a JSON object
    created_at   timestamptz not null,
    unique (tenant_id, external_ref)
);

-- What can happen. Unknown actions register themselves with their first event.
create table actions (
    tenant_id     uuid    not null references tenants (tenant_id),
    action_code   text    not null,
    description   text,
    first_seen_at timestamptz not null,
    primary key (tenant_id, action_code)
);

-- The two limits of each tenant.
create table limits (
    limit_id    uuid    not null primary key,
    tenant_id   uuid    not null references tenants (tenant_id),
    scope       text    not null check (scope in ('GLOBAL', 'USER')),
    max_per_day bigint check (max_per_day >= 0),     -- null = no cap
    max_total   bigint check (max_total >= 0),
    window_days bigint check (window_days between 1 and 366), -- null = for ever
    version     bigint not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    unique (tenant_id, scope)
);

-- Named sets of users. A recompute builds a new membership version beside the one in force.
create table cohorts (
    cohort_id          uuid    not null primary key,
    tenant_id          uuid    not null references tenants (tenant_id),
    key                text,                          -- the operator's own name for it in files
    name               text    not null,
    type               text    not null check (type in ('STATIC', 'DYNAMIC')),
    criteria_json      jsonb,
    refresh            text    not null check (refresh in ('NONE', 'DAILY', 'WEEKLY', 'MONTHLY')),
    status             text    not null check (status in ('READY', 'COMPUTING', 'FAILED')),
    membership_version bigint not null,              -- in force; 0 = nobody yet
    building_version   bigint not null,              -- the highest ever begun
    building_size      bigint not null,              -- members of that one so far
    size               bigint not null,              -- members in force
    computed_at        timestamptz,                       -- membership is as of this moment of the log
    last_error         text,
    version            bigint not null,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    unique (tenant_id, cohort_id),
    unique (tenant_id, key),
    check ((type = 'DYNAMIC') = (criteria_json is not null))
);

-- Who is in a cohort, by membership version.
create table cohort_members (
    cohort_id          uuid    not null references cohorts (cohort_id),
    membership_version bigint not null,
    user_id            uuid    not null,
    user_ref           text    not null,
    primary key (cohort_id, membership_version, user_id)
);

-- Campaigns as they are now.
create table campaigns (
    campaign_id uuid    not null primary key,
    tenant_id   uuid    not null references tenants (tenant_id),
    number      bigint not null,                     -- dense per tenant; names it in stored outcomes
    key         text,                                 -- the operator's own name for it in files
    name        text    not null,
    name_folded text    not null,                     -- lower case, for the search by name
    type        text    not null check (type in ('SIMPLE', 'QUEST')),
    start_at    timestamptz,
    end_at      timestamptz,                              -- exclusive
    status      text    not null check (status in ('DRAFT', 'ACTIVE', 'PAUSED', 'ENDED')),
    rule_json   jsonb    not null,
    cohort_id   uuid,
    priority    bigint not null,
    version     bigint not null,
    created_at  timestamptz not null,
    updated_at  timestamptz not null,
    unique (tenant_id, number),
    unique (tenant_id, key),
    foreign key (tenant_id, cohort_id) references cohorts (tenant_id, cohort_id)
);
create index campaigns_by_status on campaigns (tenant_id, status, number);
-- The search by action: `rule_json @> '{"actions": ["purchase"]}'`.
create index campaigns_by_rule on campaigns using gin (rule_json jsonb_path_ops);
create index campaigns_by_cohort on campaigns (tenant_id, cohort_id) where cohort_id is not null;

-- What a campaign was: a row for each version of its content.
create table campaign_revisions (
    campaign_id uuid    not null references campaigns (campaign_id),
    version     bigint not null,
    name        text    not null,
    start_at    timestamptz,
    end_at      timestamptz,
    cohort_id   uuid,
    priority    bigint not null,
    rule_json   jsonb    not null,
    changed_by  text    not null,
    changed_at  timestamptz not null,
    primary key (campaign_id, version)
);

-- The actions of all steps of a campaign; '*' when it has a pattern.
create table campaign_actions (
    tenant_id   uuid not null,
    action_code text not null,
    campaign_id uuid not null references campaigns (campaign_id),
    primary key (tenant_id, action_code, campaign_id)
);
create index campaign_actions_by_campaign on campaign_actions (campaign_id);

-- Work that outlives its request.
create table jobs (
    job_id         uuid    not null primary key,
    tenant_id      uuid    not null references tenants (tenant_id),
    kind           text    not null,
    subject_id     uuid,                              -- what it works on
    status         text    not null check (status in ('RUNNING', 'DONE', 'FAILED')),
    progress_done  bigint not null,
    progress_total bigint,                           -- null = not known
    error          text,
    created_at     timestamptz not null,
    finished_at    timestamptz
);
create index jobs_by_tenant on jobs (tenant_id, job_id);
create index jobs_running on jobs (status) where status = 'RUNNING';

-- Keys of the tenants' systems; the secret part is stored as a hash only.
create table api_keys (
    key_id       uuid    not null primary key,
    tenant_id    uuid    not null references tenants (tenant_id),
    name         text    not null,
    scopes       jsonb    not null,                    -- JSON array
    secret_hash  bytea    not null,
    prefix       text    not null,                    -- the shown beginning of the key
    created_at   timestamptz not null,
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
create index api_keys_by_tenant on api_keys (tenant_id, key_id);

-- How a tenant's end-user tokens are checked.
create table push_auth (
    tenant_id  uuid    not null primary key references tenants (tenant_id),
    issuer     text    not null,
    jwks_url   text,
    secret     text,
    algorithms jsonb    not null,                      -- JSON array
    updated_at timestamptz not null,
    check ((jwks_url is null) <> (secret is null))
);

-- Answers given under an Idempotency-Key, kept for a repeated request.
create table idempotency_keys (
    scope       uuid    not null,                     -- tenant id; all zero for the platform admin
    route       text    not null,
    idem_key    text    not null,
    body_hash   bytea    not null,                     -- the same key with another body is refused
    status      bigint not null,                     -- HTTP status of the answer
    response    bytea    not null,
    created_at  timestamptz not null,
    primary key (scope, route, idem_key)
);
create index idempotency_keys_by_age on idempotency_keys (created_at);

-- Who changed what, with the state before and after.
create table audit_log (
    audit_id       bigint generated always as identity primary key,
    tenant_id      uuid    not null references tenants (tenant_id),
    actor          text    not null,
    action         text    not null,                  -- 'campaign.activate'
    subject        text    not null,                  -- 'campaign:<id>'
    config_version bigint,                           -- the one that the change made
    before_json    jsonb,
    after_json     jsonb,
    at             timestamptz not null
);
create index audit_log_by_tenant on audit_log (tenant_id, audit_id);
create index audit_log_by_subject on audit_log (tenant_id, subject, audit_id);
