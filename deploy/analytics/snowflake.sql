-- The landing of the role `analytics`, in Snowflake. Put the files of the manifest, and no others,
-- under the stage with their folders (docs/operations.md has the command), then run this.

create table if not exists incentives (
    incentive_id       varchar       not null,
    tenant_id          varchar       not null,
    user_id            varchar       not null,
    user_ref           varchar       not null,
    campaign_id        varchar       not null,
    campaign_version   number(19, 0) not null,
    event_id           varchar       not null,
    type               varchar       not null,
    reward_currency    varchar       not null,
    reward_amount      number(38, 9),
    reward_amount_text varchar,
    coupon_code        varchar,
    issued_at          timestamp_ltz not null,
    seq                number(19, 0) not null,
    source_partition   number(10, 0) not null,
    batch_seq          number(19, 0) not null,
    ordinal            number(10, 0) not null,
    limit_day          date          not null
);

create file format if not exists incent_parquet type = parquet use_logical_type = true;

create stage if not exists incent_landing file_format = incent_parquet;

-- Small files become one later on, so what was loaded is replaced as a whole.
begin;
delete from incentives;
copy into incentives from @incent_landing/incentives/
    file_format = (format_name = incent_parquet)
    match_by_column_name = case_insensitive
    pattern = '.*part-[0-9]+[.]parquet'
    force = true;
commit;
