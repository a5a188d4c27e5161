//! Merged files hold the same rows, and what is merged is little.

use domain::time::Day;
use parquet::record::RowAccessor as _;
use testkit::dir::TempDir;

use super::*;
use crate::file::write;
use crate::landing::tests::row;

#[test]
fn files_of_several_groups_become_one_with_the_same_rows() {
    let dir = TempDir::new();
    let file = |name: &str| {
        let path = dir.path().join(name);
        File::options().read(true).write(true).create_new(true).open(path).unwrap()
    };
    // One group and a bit, a few rows, and one group and a bit again.
    let sizes = [GROUP_ROWS + 10, 3, GROUP_ROWS + 20];
    let from = sizes.iter().zip(1_i64..).map(|(size, batch)| {
        let rows: Vec<_> = (0..*size as i32).map(|n| row(1, 0, (batch, n))).collect();
        let to = file(&batch.to_string());
        write(&rows, &to).unwrap();
        to
    });
    let merged = file("merged");
    merge(from.collect(), &merged).unwrap();
    let reader = SerializedFileReader::new(merged).unwrap();
    let groups = reader.metadata().row_groups().iter().map(|group| group.num_rows() as usize);
    // Small ones are put together until there are enough.
    assert_eq!(groups.collect::<Vec<_>>(), [GROUP_ROWS, 10 + 3 + GROUP_ROWS, 20]);
    let places = sizes.iter().zip(1_i64..);
    let mut expected = places.flat_map(|(size, batch)| (0..*size as i32).map(move |n| (batch, n)));
    for read in reader.get_row_iter(None).unwrap() {
        let read = read.unwrap();
        let place = (read.get_long(15).unwrap(), read.get_int(16).unwrap());
        assert_eq!(Some(place), expected.next());
        let coupon = (place.1 % 2 == 0).then(|| format!("C-{}", place.1));
        assert_eq!(read.get_string(11).ok().cloned(), coupon);
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn what_is_merged_is_enough_and_not_too_much() {
    let check = |rows: &[u64], expected: &[usize]| {
        let files: Vec<LandedFile> = rows
            .iter()
            .enumerate()
            .map(|(n, rows)| LandedFile { path: n.to_string(), day: Day(1), rows: *rows, bytes: 1 })
            .collect();
        let due = due(files.iter()).unwrap_or_default();
        let due: Vec<usize> = due.into_iter().map(|path| path.parse().unwrap()).collect();
        assert_eq!(due, expected, "{rows:?}");
    };
    check(&[1; 7], &[]);
    check(&[1; 9], &[0, 1, 2, 3, 4, 5, 6, 7]);
    // Of about the same size, and the smallest first.
    check(&[100, 1, 2, 3, 4, 5, 6, 7, 1000], &[]);
    check(&[100, 1, 2, 3, 4, 5, 6, 7, 1000, 7], &[1, 2, 3, 4, 5, 6, 7, 9]);
    // Together they must not be too much, and what is big enough is left alone.
    check(&[300_000; 8], &[0, 1, 2]);
    check(&[500_001; 8], &[]);
}
