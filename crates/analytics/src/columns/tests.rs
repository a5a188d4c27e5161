//! What a file holds is what the row said, and what the load statements of `deploy/analytics` say
//! it holds.

use std::fs::File;

use domain::time::Day;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::Field;
use testkit::dir::TempDir;

use super::*;
use crate::landing::tests::row;

/// The columns of a row, read back from a file by Parquet's own reader, as texts.
fn read_back(row: CapturedIncentive) -> Vec<(String, String)> {
    let dir = TempDir::new();
    let path = dir.path().join("rows.parquet");
    crate::file::write(&[row], File::create(&path).unwrap()).unwrap();
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 1);
    let text = |field: &Field| match field {
        Field::Str(text) => text.clone(),
        other => other.to_string(),
    };
    rows[0].get_column_iter().map(|(name, field)| (name.clone(), text(field))).collect()
}

#[test]
fn a_row_is_read_back_as_it_was() {
    let mut told = row(3, 5, (7, 9));
    told.amount = "123456789012345.12345678".parse().unwrap();
    told.day = Day(20_266);
    told.currency = "Zoë's €".to_owned();
    let expected = [
        ("incentive_id", told.id.to_string()),
        ("tenant_id", "00000000-0000-0000-0000-000000000004".to_owned()),
        ("user_id", told.user.to_string()),
        ("user_ref", "u9".to_owned()),
        ("campaign_id", "00000000-0000-0000-0000-000000000007".to_owned()),
        ("campaign_version", "1".to_owned()),
        ("event_id", "e-1".to_owned()),
        ("type", "COUPON".to_owned()),
        ("reward_currency", "Zoë's €".to_owned()),
        ("reward_amount", "123456789012345.123456780".to_owned()),
        ("reward_amount_text", "null".to_owned()),
        ("coupon_code", "null".to_owned()),
        ("issued_at", "2025-06-27 12:00:07.000000 +00:00".to_owned()),
        ("seq", "1".to_owned()),
        ("source_partition", "5".to_owned()),
        ("batch_seq", "7".to_owned()),
        ("ordinal", "9".to_owned()),
        ("limit_day", "2025-06-27".to_owned()),
    ];
    let expected: Vec<_> = expected.map(|(name, value)| (name.to_owned(), value)).into();
    assert_eq!(read_back(told), expected);
}

#[test]
fn an_amount_is_exact_as_a_number_or_as_text() {
    let check = |amount: &str, number: &str, text: &str| {
        let told = CapturedIncentive { amount: amount.parse().unwrap(), ..row(1, 0, (1, 0)) };
        let read = read_back(told);
        let column = |name: &str| read.iter().find(|(n, _)| n == name).unwrap().1.clone();
        let found = (column("reward_amount"), column("reward_amount_text"));
        assert_eq!(found, (number.to_owned(), text.to_owned()), "{amount}");
    };
    check("50", "50.000000000", "null");
    check("-0.01", "-0.010000000", "null");
    check("0.000000001", "0.000000001", "null");
    check("0.0000000010", "0.000000001", "null");
    check("0.0000000001", "null", "0.0000000001");
    let most = "79228162514264337593543950335";
    check(most, &format!("{most}.000000000"), "null");
}

/// The columns of each table that a load statement makes, with the key `day` left out.
fn tables(sql: &str) -> Vec<Vec<(String, String, bool)>> {
    let tables = sql.split("incentives").filter_map(|part| {
        let part = part.split_once("(\n").filter(|(before, _)| before.len() < 10)?.1;
        let columns = part.split_once("\n)")?.0;
        let column = |line: &str| {
            let line = line.trim().trim_end_matches(',');
            let (name, kind) = line.split_once(' ').unwrap();
            let optional = !kind.ends_with(" not null");
            (name.to_owned(), kind.trim_end_matches(" not null").trim().to_owned(), optional)
        };
        Some(columns.lines().map(column).filter(|(name, ..)| name != "day").collect())
    });
    tables.collect()
}

#[test]
fn load_statements_have_these_columns_and_no_others() {
    let check = |sql: &str, count: usize, keeps_nulls_out: bool, kind: fn(Kind) -> &'static str| {
        let tables = tables(sql);
        assert_eq!(tables.len(), count, "{tables:?}");
        for (n, table) in tables.iter().enumerate() {
            let optional = |column: &Column| column.optional || (n > 0 && !keeps_nulls_out);
            let expected = COLUMNS
                .iter()
                .map(|column| (column.name.into(), kind(column.kind).into(), optional(column)));
            assert_eq!(table, &expected.collect::<Vec<_>>());
        }
    };
    check(include_str!("../../../../deploy/analytics/duckdb.sql"), 1, true, |kind| match kind {
        Kind::Text => "varchar",
        Kind::Int => "integer",
        Kind::Long => "bigint",
        Kind::Amount => "decimal(38, 9)",
        Kind::Instant => "timestamp with time zone",
        Kind::Day => "date",
    });
    // An external table of BigQuery has no required columns.
    check(include_str!("../../../../deploy/analytics/bigquery.sql"), 2, false, |kind| match kind {
        Kind::Text => "string",
        Kind::Int | Kind::Long => "int64",
        Kind::Amount => "numeric",
        Kind::Instant => "timestamp",
        Kind::Day => "date",
    });
    check(include_str!("../../../../deploy/analytics/snowflake.sql"), 1, true, |kind| match kind {
        Kind::Text => "varchar",
        Kind::Int => "number(10, 0)",
        Kind::Long => "number(19, 0)",
        Kind::Amount => "number(38, 9)",
        Kind::Instant => "timestamp_ltz",
        Kind::Day => "date",
    });
}
