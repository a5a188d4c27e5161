-- The landing of the role `analytics`, read by DuckDB (1.1 or newer) as it lies there.
-- Run it in the landing's directory: cd ANALYTICS_DIR && duckdb < …/duckdb.sql

-- Exactly the files of the manifest: what lies beside them is on its way in or out.
set variable landed = (
    select list(file.path)
    from (
        select unnest(files) as file
        from read_json('manifest.json', columns = { files: 'struct(path varchar)[]' })));

-- Once, for a table of DuckDB's own. To look at the files in place, the select below is enough.
create table if not exists incentives (
    incentive_id       varchar                  not null,
    tenant_id          varchar                  not null,
    user_id            varchar                  not null,
    user_ref           varchar                  not null,
    campaign_id        varchar                  not null,
    campaign_version   bigint                   not null,
    event_id           varchar                  not null,
    type               varchar                  not null,
    reward_currency    varchar                  not null,
    reward_amount      decimal(38, 9),
    reward_amount_text varchar,
    coupon_code        varchar,
    issued_at          timestamp with time zone not null,
    seq                bigint                   not null,
    source_partition   integer                  not null,
    batch_seq          bigint                   not null,
    ordinal            integer                  not null,
    limit_day          date                     not null,
    day                date
);

begin transaction;
delete from incentives;
insert into incentives by name
select * from read_parquet(getvariable('landed'),
    hive_partitioning = true, hive_types = { day: date });
commit;

select tenant_id, campaign_id, reward_currency, day, count(*) as incentives,
    sum(reward_amount) as amount
from incentives
group by all
order by all;
