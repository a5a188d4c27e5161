-- The landing of the role `analytics`, in BigQuery. Put the files of the manifest, and no others,
-- under gs://BUCKET/incentives with their folders (docs/operations.md has the command), then run
-- one of the two statements. The key `day` is in the folders' names and nowhere else.

-- Loaded, a partition a day. Each run replaces all of it.
load data overwrite incent.incentives (
    incentive_id       string    not null,
    tenant_id          string    not null,
    user_id            string    not null,
    user_ref           string    not null,
    campaign_id        string    not null,
    campaign_version   int64     not null,
    event_id           string    not null,
    type               string    not null,
    reward_currency    string    not null,
    reward_amount      numeric,
    reward_amount_text string,
    coupon_code        string,
    issued_at          timestamp not null,
    seq                int64     not null,
    source_partition   int64     not null,
    batch_seq          int64     not null,
    ordinal            int64     not null,
    limit_day          date      not null
)
partition by day
cluster by tenant_id, campaign_id
from files (
    format = 'PARQUET',
    uris = ['gs://BUCKET/incentives/*'],
    hive_partition_uri_prefix = 'gs://BUCKET/incentives'
)
with partition columns (day date);

-- Or left where it is.
create or replace external table incent.incentives_landed (
    incentive_id       string   ,
    tenant_id          string   ,
    user_id            string   ,
    user_ref           string   ,
    campaign_id        string   ,
    campaign_version   int64    ,
    event_id           string   ,
    type               string   ,
    reward_currency    string   ,
    reward_amount      numeric,
    reward_amount_text string,
    coupon_code        string,
    issued_at          timestamp,
    seq                int64    ,
    source_partition   int64    ,
    batch_seq          int64    ,
    ordinal            int64    ,
    limit_day          date
)
with partition columns (day date)
options (
    format = 'PARQUET',
    uris = ['gs://BUCKET/incentives/*'],
    hive_partition_uri_prefix = 'gs://BUCKET/incentives'
);
