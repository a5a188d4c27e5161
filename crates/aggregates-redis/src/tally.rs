//! The arithmetic: what rows make of what is there. Pure.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use domain::id::UserRef;
use engine::aggregates::{Cell, Leaderboard, Sum, UserSums};
use engine::captured::CapturedIncentive;
use engine::ports::Place;

use crate::keys::{self, Generation};

/// What must be known before rows can be counted, all of one tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Needed {
    pub cells: BTreeSet<Cell>,
    pub users: BTreeSet<UserRef>,
    pub partitions: BTreeSet<i32>,
}

impl Needed {
    pub fn of(rows: &[CapturedIncentive]) -> Self {
        let mut needed = Self::default();
        for row in rows {
            needed.cells.extend(Cell::of(&row.user_ref, row.campaign, row.day, &row.currency));
            needed.users.insert(row.user_ref.clone());
            needed.partitions.insert(row.source_partition);
        }
        needed
    }
}

/// What is there of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    pub sums: BTreeMap<Cell, Sum>,
    pub seqs: BTreeMap<UserRef, u64>,
    pub places: BTreeMap<i32, Place>,
}

/// Whether the users' numbers tell if rows are missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// Rows of a feed: a user's follow one another without a gap, or some were lost.
    Gapless,
    /// Rows of the ledger itself, a part at a time.
    Ledger,
}

/// What rows come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tally {
    /// They are counted already.
    Nothing,
    /// Rows before them are missing; says which.
    Gap(String),
    /// This is to be written.
    Change(Change),
}

/// Absolute values to write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// How many rows it counts.
    pub rows: usize,
    /// By source partition, the place before and after.
    pub places: BTreeMap<i32, (Option<Place>, Place)>,
    /// By cell, what it held and what it holds now.
    pub sums: BTreeMap<Cell, (Option<Sum>, Sum)>,
    /// The users' last numbers.
    pub seqs: BTreeMap<UserRef, u64>,
}

/// Counts rows of one tenant on what was found.
pub(crate) fn tally(rows: &[CapturedIncentive], found: &Found, trust: Trust) -> Tally {
    let place = |partition| found.places.get(&partition).copied();
    let is_new = |row: &&CapturedIncentive| {
        row.place > place(row.source_partition).unwrap_or(Place::BEFORE_ALL)
    };
    let mut change = Change::default();
    // A row that came twice in one read counts once.
    let mut seen = BTreeSet::new();
    for row in rows.iter().filter(is_new) {
        if !seen.insert((row.source_partition, row.place.batch_seq, row.place.ordinal)) {
            continue;
        }
        let before = change.seqs.get(&row.user_ref).or(found.seqs.get(&row.user_ref));
        let before = before.copied().unwrap_or(0);
        if trust == Trust::Gapless && row.seq != before + 1 {
            // Who it is is not for the log.
            return Tally::Gap(format!("a user's number {} follows number {before}", row.seq));
        }
        change.count(row, found);
        change.seqs.insert(row.user_ref.clone(), row.seq.max(before));
        let moved = change.places.entry(row.source_partition);
        let (_, last) = moved.or_insert((place(row.source_partition), row.place));
        *last = row.place.max(*last);
    }
    if change.rows == 0 { Tally::Nothing } else { Tally::Change(change) }
}

impl Change {
    fn count(&mut self, row: &CapturedIncentive, found: &Found) {
        self.rows += 1;
        for cell in Cell::of(&row.user_ref, row.campaign, row.day, &row.currency) {
            let before = found.sums.get(&cell).copied();
            let (_, sum) = self.sums.entry(cell).or_insert((before, before.unwrap_or_default()));
            *sum = sum.with(Sum::from(row));
        }
    }

    /// All that a user has, where nothing was before; what counts for all users is added to `all`.
    pub fn of_user(of: UserSums, all: &mut BTreeMap<Cell, Sum>) -> Self {
        let mut change = Self::default();
        for (campaign, currency, day, sum) in of.sums {
            for cell in Cell::of(&of.user, campaign, day, &currency) {
                let known = match cell.user {
                    None => all.entry(cell).or_default(),
                    Some(_) => &mut change.sums.entry(cell).or_default().1,
                };
                *known = known.with(sum);
            }
        }
        change.seqs.insert(of.user, of.last_seq);
        change
    }

    /// What is to be written where.
    pub fn writes(&self, generation: &Generation) -> Vec<Write> {
        let mut hashes: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        let mut boards: BTreeMap<Leaderboard, Moves> = BTreeMap::new();
        for (cell, (before, after)) in &self.sums {
            let hash = hashes.entry(generation.hash(cell)).or_default();
            hash.push((keys::field(cell), after.to_string()));
            if let (Some(board), Some(user)) = (cell.leaderboard(), &cell.user) {
                let moves = boards.entry(board).or_default();
                let came = keys::member(user, after);
                moves
                    .gone
                    .extend(before.map(|sum| keys::member(user, &sum)).filter(|m| *m != came));
                moves.come.push((keys::score(after), came));
            }
        }
        for (user, seq) in &self.seqs {
            let hash = hashes.entry(generation.user(user)).or_default();
            hash.push((keys::SEQ.to_owned(), seq.to_string()));
        }
        let hashes = hashes.into_iter().map(|(key, fields)| Write::Hash { key, fields });
        let boards = boards
            .into_iter()
            .map(|(board, moves)| Write::Board { key: generation.board(&board), moves });
        hashes.chain(boards).collect()
    }
}

/// A key to write to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Write {
    Hash { key: String, fields: Vec<(String, String)> },
    Board { key: String, moves: Moves },
}

/// Members that go from a leaderboard and those that come, with their scores.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Moves {
    pub gone: Vec<String>,
    pub come: Vec<(f64, String)>,
}

impl Write {
    pub fn key(&self) -> &str {
        match self {
            Self::Hash { key, .. } | Self::Board { key, .. } => key,
        }
    }
}

/// What all users have, as a change where nothing was before.
pub(crate) fn of_all(all: BTreeMap<Cell, Sum>) -> Change {
    let sums = all.into_iter().map(|(cell, sum)| (cell, (None, sum))).collect();
    Change { sums, ..Change::default() }
}
