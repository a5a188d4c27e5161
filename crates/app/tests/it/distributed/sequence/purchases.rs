//! The CDNOW purchases as events of several shops.

use domain::time::Timestamp;

use crate::distributed::happening::Happening;

/// The calendar repeats itself after 28 years, weekdays included: what was bought in 1997 and 1998
/// is late by months and not by decades.
const YEARS: i32 = 28;

/// All of them, the earliest first; each customer belongs to one shop.
pub fn by_shop(shops: usize) -> Vec<Vec<Happening>> {
    let text = include_str!("../../../../../../demo/cdnow_purchases.csv");
    let mut rows: Vec<(&str, usize, &str, &str, &str)> = Vec::new();
    for (line, row) in text.lines().enumerate().skip(1) {
        let cells: Vec<&str> = row.split(',').collect();
        let [user, date, units, amount] = cells[..] else { panic!("line {line}: {row}") };
        rows.push((date, line, user, units, amount));
    }
    rows.sort_unstable();
    let mut all: Vec<Vec<Happening>> = (0..shops).map(|_| Vec::new()).collect();
    for (date, line, user, units, amount) in rows {
        let (year, day) = date.split_once('-').expect("a date");
        let year = year.parse::<i32>().expect("a year") + YEARS;
        let at: Timestamp = format!("{year}-{day}T17:00:00Z").parse().expect("a time");
        let number: usize = user.parse().expect("a number");
        all[number % shops].push(Happening {
            id: format!("cdnow-{line}"),
            user: user.to_owned(),
            at,
            payload: format!("{{\"amount\":{amount},\"units\":{units}}}"),
        });
    }
    all
}
