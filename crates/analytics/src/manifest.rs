//! The manifest: which files are the landing, and how far it has come. It is replaced as a whole,
//! in one step.

use std::collections::BTreeMap;
use std::path::Path;

use domain::id::TenantId;
use domain::time::{Day, Timestamp};
use engine::captured::Applied;
use engine::ports::Place;
use serde::{Deserialize, Serialize};

use crate::error::LandingError;

/// Its name in the landing's directory.
pub(crate) const NAME: &str = "manifest.json";
/// The form that this version writes.
const FORMAT: u32 = 1;

/// What has landed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Rises by one with each change.
    pub version: u64,
    /// The topic that lands here.
    pub topic: String,
    /// When this version was written.
    pub written_at: Timestamp,
    /// The files, by day and then in the order of landing.
    pub files: Vec<LandedFile>,
    /// Files that others stand for by now. They stay a while, for whoever reads by an older
    /// version of the manifest.
    pub replaced: Vec<ReplacedFile>,
    /// The next file gets this number, or a higher one.
    pub(crate) next_file: u64,
    /// Offsets at which reading the topic may begin, by its partition. A hint: `applied` decides.
    pub offsets: BTreeMap<i32, i64>,
    /// By tenant and source partition the place of the last row in the files.
    applied: BTreeMap<TenantId, BTreeMap<i32, (i64, i32)>>,
}

/// A file of the landing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LandedFile {
    /// From the landing's directory.
    pub path: String,
    /// The tenants' calendar day, days since 1970-01-01.
    pub day: Day,
    /// Its rows.
    pub rows: u64,
    /// Its size, in bytes.
    pub bytes: u64,
}

/// A file that another one stands for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplacedFile {
    /// From the landing's directory.
    pub path: String,
    /// Since when.
    pub at: Timestamp,
}

impl Manifest {
    /// The one of a landing in which nothing is.
    pub(crate) fn new(topic: &str, now: Timestamp) -> Self {
        Self {
            format: FORMAT,
            version: 1,
            topic: topic.to_owned(),
            written_at: now,
            files: Vec::new(),
            replaced: Vec::new(),
            next_file: 1,
            offsets: BTreeMap::new(),
            applied: BTreeMap::new(),
        }
    }

    /// Reads the manifest of a directory in which anybody may be landing at the moment; `None`
    /// where nobody ever was.
    ///
    /// # Errors
    /// It cannot be read, or is not a manifest of this version.
    pub fn read(dir: &Path) -> Result<Option<Self>, LandingError> {
        let path = dir.join(NAME);
        let bytes = match std::fs::read(&path) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(LandingError::disk("read", path, e)),
        };
        let refused = |why: String| LandingError::Manifest { path: path.clone(), why };
        // The form first: a later one may have fields that we do not know.
        #[derive(Deserialize)]
        struct Form {
            format: u32,
        }
        let form: Form = serde_json::from_slice(&bytes)
            .map_err(|e| refused(format!("it is damaged ({e}); restore it from a copy")))?;
        if form.format != FORMAT {
            let (theirs, ours) = (form.format, FORMAT);
            return Err(refused(format!(
                "its format is {theirs}, and this version of incent knows {ours}; use the version \
                 that wrote it, or a later one"
            )));
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| refused(format!("it is damaged ({e}); restore it from a copy")))
    }

    /// As it is written.
    pub(crate) fn text(&self) -> Result<Vec<u8>, LandingError> {
        let failed = |e: serde_json::Error| LandingError::Manifest {
            path: NAME.into(),
            why: format!("it cannot be written: {e}"),
        };
        serde_json::to_vec(self).map_err(failed)
    }

    /// The place of the last row in the files, by tenant and source partition.
    pub fn applied(&self) -> Applied {
        let all = self.applied.iter().flat_map(|(tenant, by_source)| {
            by_source.iter().map(|(source, (batch_seq, ordinal))| {
                ((*tenant, *source), Place { batch_seq: *batch_seq, ordinal: *ordinal })
            })
        });
        Applied::from_kept(all)
    }

    pub(crate) fn set_applied(&mut self, applied: &Applied) {
        self.applied.clear();
        for ((tenant, source), place) in applied.iter() {
            let by_source = self.applied.entry(tenant).or_default();
            by_source.insert(source, (place.batch_seq, place.ordinal));
        }
    }

    /// Adds a file behind those of its day.
    pub(crate) fn add(&mut self, file: LandedFile) {
        let behind = self.files.partition_point(|other| other.day <= file.day);
        self.files.insert(behind, file);
    }

    /// The files of each day.
    pub(crate) fn days(&self) -> impl Iterator<Item = &[LandedFile]> {
        self.files.chunk_by(|a, b| a.day == b.day)
    }

    /// Rows that have landed, by day.
    pub fn rows_by_day(&self) -> BTreeMap<Day, u64> {
        let days = self.days().filter_map(|files| files.first().map(|file| (file.day, files)));
        days.map(|(day, files)| (day, files.iter().map(|file| file.rows).sum())).collect()
    }
}
