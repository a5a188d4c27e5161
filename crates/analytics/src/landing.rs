//! Takes rows, drops those that have landed before, and lands the rest.

#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use domain::time::{Day, SECOND_US, Timestamp};
use engine::captured::{Applied, CapturedIncentive};
use parquet::errors::ParquetError;

use crate::columns::scaled;
use crate::error::LandingError;
use crate::file;
use crate::folder::{Folder, number_of};
use crate::manifest::{LandedFile, Manifest, NAME, ReplacedFile};
use crate::merge::{due, merge};

/// How long a file stays after others stand for it, for whoever reads by an older manifest.
const REPLACED_STAYS_US: i64 = 600 * SECOND_US;

/// When what is in hand lands: as soon as one of these is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Rows in hand.
    pub rows: usize,
    /// Their size in memory, in bytes.
    pub bytes: usize,
    /// Seconds since the first of them came.
    pub seconds: i64,
}

impl Default for Cut {
    /// Files of a good size at a high rate, and rows not older than five minutes at a low one.
    fn default() -> Self {
        Self { rows: 250_000, bytes: 128 * 1024 * 1024, seconds: 300 }
    }
}

/// What a landing has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// Rows.
    pub rows: u64,
    /// Files that they are in.
    pub files: u64,
    /// Rows with an amount that does not fit the column of amounts, and stands as text.
    pub amounts_as_text: u64,
}

/// A directory in which rows land, by us alone.
pub struct Landing {
    folder: Folder,
    manifest: Manifest,
    hand: Hand,
    /// What has come, landed or in hand.
    applied: Applied,
    cut: Cut,
    next_file: u64,
    /// Files of attempts that failed; they go when a manifest is written again.
    leftovers: Vec<String>,
}

/// Rows that have come and not landed yet.
#[derive(Default)]
struct Hand {
    days: BTreeMap<Day, Vec<CapturedIncentive>>,
    rows: usize,
    bytes: usize,
    since: Option<Timestamp>,
    /// Where the topic goes on after them.
    offsets: BTreeMap<i32, i64>,
}

impl Landing {
    /// Claims a directory and cleans it up: what the manifest does not name is removed. A day whose
    /// whole folder somebody has removed is forgotten.
    ///
    /// # Errors
    /// Another process lands there; the disk; another topic landed there; the manifest or one of
    /// the files it names is missing or damaged.
    pub fn open(dir: &Path, topic: &str, cut: Cut, now: Timestamp) -> Result<Self, LandingError> {
        let folder = Folder::claim(dir)?;
        let there = folder.files()?;
        let refused = |why: String| LandingError::Manifest { path: dir.join(NAME), why };
        let manifest = match Manifest::read(dir)? {
            Some(manifest) if manifest.topic == topic => manifest,
            Some(manifest) => {
                return Err(refused(format!(
                    "the topic {} lands here, not {topic}; give each a directory of its own",
                    manifest.topic
                )));
            }
            None if there.is_empty() => {
                let manifest = Manifest::new(topic, now);
                folder.replace_manifest(&manifest.text()?)?;
                manifest
            }
            None => {
                return Err(refused(format!(
                    "it is missing, and {} files lie here; restore it from a copy, or name an \
                     empty directory",
                    there.len()
                )));
            }
        };
        let highest = there.iter().filter_map(|path| number_of(path)).max().unwrap_or(0);
        let next_file = manifest.next_file.max(highest + 1);
        let hand = Hand { offsets: manifest.offsets.clone(), ..Hand::default() };
        let (applied, leftovers) = (manifest.applied(), Vec::new());
        let mut landing = Self { folder, manifest, hand, applied, cut, next_file, leftovers };
        landing.forget_dropped_days()?;
        landing.remove_orphans(&there)?;
        Ok(landing)
    }

    /// What has landed.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Offsets from which on there may be rows that have not come yet, by partition of the topic.
    pub fn offsets(&self) -> &BTreeMap<i32, i64> {
        &self.hand.offsets
    }

    /// Rows that have come and not landed yet.
    pub fn in_hand(&self) -> usize {
        self.hand.rows
    }

    /// Takes a row. False when it has come before, and is dropped.
    pub fn take(&mut self, row: CapturedIncentive, now: Timestamp) -> bool {
        if !self.applied.advance(&row) {
            return false;
        }
        self.hand.rows += 1;
        self.hand.bytes += bytes(&row);
        self.hand.since.get_or_insert(now);
        self.hand.days.entry(row.day).or_default().push(row);
        true
    }

    /// Tells that everything of a partition of the topic before an offset was taken.
    pub fn reached(&mut self, partition: i32, offset: i64) {
        let known = self.hand.offsets.entry(partition).or_insert(offset);
        *known = offset.max(*known);
    }

    /// Whether no more should be taken before what is in hand has landed.
    pub fn is_full(&self) -> bool {
        self.hand.rows >= self.cut.rows || self.hand.bytes >= self.cut.bytes
    }

    /// Whether it is time to land.
    pub fn is_due(&self, now: Timestamp) -> bool {
        let age = |since: Timestamp| now.micros().saturating_sub(since.micros());
        let is_old =
            self.hand.since.is_some_and(|since| age(since) >= self.cut.seconds * SECOND_US);
        self.is_full() || is_old
    }

    /// Lands what is in hand: a file for each day, then the manifest that names them. When it
    /// fails, everything is still in hand and can land later.
    ///
    /// # Errors
    /// The disk.
    pub fn land(&mut self, now: Timestamp) -> Result<Landed, LandingError> {
        if self.hand.rows == 0 {
            return Ok(Landed::default());
        }
        let mut next = self.manifest.clone();
        let mut landed = Landed::default();
        let days = std::mem::take(&mut self.hand.days);
        let written = days.iter().try_for_each(|(day, rows)| {
            next.add(self.written(*day, rows.len(), |to| file::write(rows, to))?);
            landed.rows += rows.len() as u64;
            landed.files += 1;
            Ok::<_, LandingError>(())
        });
        next.set_applied(&self.applied);
        next.offsets.clone_from(&self.hand.offsets);
        if let Err(error) = written.and_then(|()| self.switch(next, now)) {
            self.hand.days = days;
            return Err(error);
        }
        let as_text = |row: &&CapturedIncentive| scaled(row.amount).is_none();
        landed.amounts_as_text = days.values().flatten().filter(as_text).count() as u64;
        self.hand = Hand { offsets: std::mem::take(&mut self.hand.offsets), ..Hand::default() };
        Ok(landed)
    }

    /// Makes one file of several small ones of a day, where there are enough of them; false when
    /// there are not. Rows in hand stay there.
    ///
    /// # Errors
    /// The disk, or a file that somebody has changed. Nothing is lost then.
    pub fn merge(&mut self, now: Timestamp) -> Result<bool, LandingError> {
        let due = self.manifest.days().find_map(|files| Some((files[0].day, due(files.iter())?)));
        let Some((day, paths)) = due else { return Ok(false) };
        let paths: BTreeSet<String> = paths.into_iter().map(str::to_owned).collect();
        let files = self.manifest.files.iter().filter(|file| paths.contains(&file.path));
        let rows = files.map(|file| file.rows).sum::<u64>();
        let from = paths.iter().map(|path| self.folder.open(path)).collect::<Result<_, _>>()?;
        let rows = usize::try_from(rows).unwrap_or(usize::MAX);
        let merged = self.written(day, rows, |to| merge(from, to))?;
        let mut next = self.manifest.clone();
        next.files.retain(|file| !paths.contains(&file.path));
        next.replaced.extend(paths.into_iter().map(|path| ReplacedFile { path, at: now }));
        next.add(merged);
        self.switch(next, now)?;
        Ok(true)
    }

    /// Removes files that others have stood for long enough. The manifest names them until it is
    /// written again, which does no harm: they are not among its files.
    ///
    /// # Errors
    /// The disk.
    pub fn sweep(&mut self, now: Timestamp) -> Result<(), LandingError> {
        let stays = |old: &ReplacedFile| old.at.plus_micros(REPLACED_STAYS_US) > now;
        while let Some(n) = self.manifest.replaced.iter().position(|old| !stays(old)) {
            self.folder.remove(&self.manifest.replaced[n].path)?;
            self.manifest.replaced.swap_remove(n);
        }
        Ok(())
    }

    /// Writes a file and seals it.
    fn written(
        &mut self,
        day: Day,
        rows: usize,
        write: impl FnOnce(&mut File) -> Result<(), ParquetError>,
    ) -> Result<LandedFile, LandingError> {
        let mut new = self.folder.create(day, self.next_file)?;
        self.next_file += 1;
        self.leftovers.push(new.path.clone());
        let failed = |e| LandingError::parquet(self.folder.root().join(&new.path), e);
        write(&mut new.file).map_err(failed)?;
        let (path, bytes) = self.folder.seal(new)?;
        Ok(LandedFile { path, day, rows: rows as u64, bytes })
    }

    /// Makes `next` the manifest. What it names is no leftover any more.
    fn switch(&mut self, mut next: Manifest, now: Timestamp) -> Result<(), LandingError> {
        next.version += 1;
        next.written_at = now;
        next.next_file = self.next_file;
        // Also when it fails: it may be in place all the same, and no number stands for two.
        self.manifest.version = next.version;
        self.folder.replace_manifest(&next.text()?)?;
        self.manifest = next;
        let named: BTreeSet<&str> = self.manifest.files.iter().map(|f| f.path.as_str()).collect();
        for path in std::mem::take(&mut self.leftovers) {
            if !named.contains(path.as_str())
                && let Err(error) = self.folder.remove(&path)
            {
                tracing::warn!(%error, "a file of a failed attempt stays until the next start");
            }
        }
        Ok(())
    }

    /// Compares the files with the manifest.
    fn forget_dropped_days(&mut self) -> Result<(), LandingError> {
        let mut dropped = BTreeSet::new();
        for file in &self.manifest.files {
            let size = self.folder.size(&file.path)?;
            if size.is_none() && !self.folder.has_folder_of(&file.path) {
                dropped.insert(file.day);
            } else if size != Some(file.bytes) {
                let size = size.map_or("not there".to_owned(), |size| format!("{size} bytes long"));
                return Err(LandingError::Manifest {
                    path: self.folder.root().join(NAME),
                    why: format!(
                        "it names {}, which should be {} bytes long and is {size}; restore the \
                         file from a copy, or remove the whole folder of its day to do without it",
                        file.path, file.bytes
                    ),
                });
            }
        }
        for day in &dropped {
            tracing::warn!(day = %day.date(), "the folder of a day was removed; it is forgotten");
        }
        self.manifest.files.retain(|file| !dropped.contains(&file.day));
        Ok(())
    }

    fn remove_orphans(&self, there: &[String]) -> Result<(), LandingError> {
        self.folder.remove_draft()?;
        let files = self.manifest.files.iter().map(|file| file.path.as_str());
        let replaced = self.manifest.replaced.iter().map(|file| file.path.as_str());
        let named: BTreeSet<&str> = files.chain(replaced).collect();
        for path in there.iter().filter(|path| !named.contains(path.as_str())) {
            tracing::info!(path, "a file that no manifest names is removed");
            self.folder.remove(path)?;
        }
        Ok(())
    }
}

/// About how much memory a row takes, in bytes.
fn bytes(row: &CapturedIncentive) -> usize {
    let texts = [row.user_ref.as_str(), row.event_id.as_str(), &row.currency];
    let coupon = row.coupon_code.as_ref().map_or(0, String::len);
    size_of_val(row) + coupon + texts.iter().map(|text| text.len()).sum::<usize>()
}
