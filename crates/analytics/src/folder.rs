//! The directory of a landing, and the only module that changes the disk. Each change is one step
//! after which the power may go: what was promised before it holds.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use domain::time::Day;

use crate::error::LandingError;
use crate::manifest;

/// The folder of the files, one folder a day below it.
const FILES: &str = "incentives";
const LOCK: &str = "lock";

/// A directory that is ours alone.
pub(crate) struct Folder {
    root: PathBuf,
    /// Held for as long as we land here; the system lets go of it with the process.
    _lock: File,
    #[cfg(test)]
    pub power: power::Power,
}

/// A file that is being written. The manifest may name it once it is sealed, not before.
pub(crate) struct NewFile {
    /// From the directory.
    pub path: String,
    pub file: File,
}

impl Folder {
    /// Makes the directory where it is not there, and claims it. Errors: another process has it.
    pub fn claim(root: &Path) -> Result<Self, LandingError> {
        fs::create_dir_all(root).map_err(|e| LandingError::disk("make", root, e))?;
        let path = root.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|e| LandingError::disk("open", &path, e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LandingError::Locked(root.to_owned())),
            Err(TryLockError::Error(e)) => return Err(LandingError::disk("lock", path, e)),
        }
        Ok(Self {
            root: root.to_owned(),
            _lock: lock,
            #[cfg(test)]
            power: power::Power::default(),
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Begins the file with this number in the folder of its day.
    pub fn create(&self, day: Day, number: u64) -> Result<NewFile, LandingError> {
        let of_day = format!("{FILES}/day={}", day.date());
        self.make(FILES)?;
        self.make(&of_day)?;
        let path = format!("{of_day}/part-{number:08}.parquet");
        self.step("make", &path)?;
        let full = self.root.join(&path);
        let file = File::options().read(true).write(true).create_new(true).open(&full);
        let file = file.map_err(|e| LandingError::disk("make", &full, e))?;
        #[cfg(test)]
        self.power.unsealed(&full);
        Ok(NewFile { path, file })
    }

    /// Makes sure that a file is on the disk, and returns its size in bytes.
    pub fn seal(&self, new: NewFile) -> Result<(String, u64), LandingError> {
        let NewFile { path, file } = new;
        let failed = |e| LandingError::disk("write", self.root.join(&path), e);
        self.step("write", &path)?;
        sync(&file).map_err(failed)?;
        #[cfg(test)]
        self.power.sealed(&self.root.join(&path));
        let bytes = file.metadata().map_err(failed)?.len();
        self.step("write", &path)?;
        self.sync_folder_of(&path)?;
        Ok((path, bytes))
    }

    /// Puts the manifest in the place of the one before. Either the old one or the new one is
    /// there, whatever happens.
    pub fn replace_manifest(&self, text: &[u8]) -> Result<(), LandingError> {
        let (path, draft) = (self.root.join(manifest::NAME), self.draft());
        let failed = |e| LandingError::disk("write", &draft, e);
        self.step("write", manifest::NAME)?;
        let mut file = File::create(&draft).map_err(failed)?;
        #[cfg(test)]
        self.power.unsealed(&draft);
        file.write_all(text).map_err(failed)?;
        self.step("write", manifest::NAME)?;
        sync(&file).map_err(failed)?;
        #[cfg(test)]
        self.power.sealed(&draft);
        self.step("write", manifest::NAME)?;
        fs::rename(&draft, &path).map_err(|e| LandingError::disk("replace", &path, e))?;
        self.step("write", manifest::NAME)?;
        self.sync_folder_of(manifest::NAME)
    }

    /// Opens a file for reading.
    pub fn open(&self, path: &str) -> Result<File, LandingError> {
        let full = self.root.join(path);
        File::open(&full).map_err(|e| LandingError::disk("read", full, e))
    }

    /// A file's size in bytes; `None` when it is not there.
    pub fn size(&self, path: &str) -> Result<Option<u64>, LandingError> {
        let full = self.root.join(path);
        match fs::metadata(&full) {
            Ok(found) => Ok(Some(found.len())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(LandingError::disk("look at", full, e)),
        }
    }

    /// Whether the folder that a file belongs into is there.
    pub fn has_folder_of(&self, path: &str) -> bool {
        self.root.join(path).parent().is_some_and(Path::is_dir)
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, path: &str) -> Result<(), LandingError> {
        self.step("remove", path)?;
        let full = self.root.join(path);
        match fs::remove_file(&full) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(LandingError::disk("remove", full, e))
            }
            _ => Ok(()),
        }
    }

    /// Removes a draft of the manifest that nobody finished.
    pub fn remove_draft(&self) -> Result<(), LandingError> {
        match fs::remove_file(self.draft()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(LandingError::disk("remove", self.draft(), e))
            }
            _ => Ok(()),
        }
    }

    /// All files of ours that are there, named by the manifest or not. What others have put beside
    /// them is left out.
    pub fn files(&self) -> Result<Vec<String>, LandingError> {
        let mut found = Vec::new();
        for day in self.names(FILES)?.into_iter().filter(|name| name.starts_with("day=")) {
            let folder = format!("{FILES}/{day}");
            let files = self.names(&folder)?.into_iter().map(|name| format!("{folder}/{name}"));
            found.extend(files.filter(|path| number_of(path).is_some()));
        }
        found.sort_unstable();
        Ok(found)
    }

    fn names(&self, folder: &str) -> Result<Vec<String>, LandingError> {
        let full = self.root.join(folder);
        let failed = |e| LandingError::disk("list", &full, e);
        let entries = match fs::read_dir(&full) {
            Ok(entries) => entries,
            Err(e)
                if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) =>
            {
                return Ok(Vec::new());
            }
            Err(e) => return Err(failed(e)),
        };
        let names = entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect::<io::Result<_>>().map_err(failed)
    }

    fn draft(&self) -> PathBuf {
        self.root.join(format!("{}.draft", manifest::NAME))
    }

    fn make(&self, folder: &str) -> Result<(), LandingError> {
        let full = self.root.join(folder);
        if full.is_dir() {
            return Ok(());
        }
        self.step("make", folder)?;
        fs::create_dir(&full).map_err(|e| LandingError::disk("make", &full, e))?;
        self.sync_folder_of(folder)
    }

    /// Makes sure that a name stands in its folder on the disk.
    fn sync_folder_of(&self, path: &str) -> Result<(), LandingError> {
        let full = self.root.join(path);
        let folder = full.parent().unwrap_or(&self.root);
        let synced = File::open(folder).and_then(|folder| sync(&folder));
        synced.map_err(|e| LandingError::disk("write", folder, e))
    }

    #[cfg(not(test))]
    fn step(&self, _: &'static str, _: &str) -> Result<(), LandingError> {
        Ok(())
    }

    #[cfg(test)]
    fn step(&self, doing: &'static str, path: &str) -> Result<(), LandingError> {
        self.power.step().map_err(|e| LandingError::disk(doing, self.root.join(path), e))
    }
}

/// Waits until a file, or a folder's names, are on the disk.
fn sync(file: &File) -> io::Result<()> {
    // In this crate's tests the power is played, and waiting for a real disk would show nothing.
    if cfg!(test) { Ok(()) } else { file.sync_all() }
}

/// The number in a file's name; `None` when it is none of ours.
pub(crate) fn number_of(path: &str) -> Option<u64> {
    let name = path.rsplit('/').next()?;
    name.strip_prefix("part-")?.strip_suffix(".parquet")?.parse().ok()
}

/// A power supply that fails when a test says so, and takes with it what was not yet on the disk.
#[cfg(test)]
pub(crate) mod power {
    use std::cell::{Cell, RefCell};
    use std::fs::File;
    use std::io;
    use std::path::{Path, PathBuf};

    #[derive(Default)]
    pub struct Power {
        /// Steps that are still made; without a number, all.
        left: Cell<Option<u32>>,
        made: Cell<u32>,
        unsealed: RefCell<Vec<PathBuf>>,
    }

    impl Power {
        /// Fails at the step after so many, and at all later ones.
        pub fn fails_after(&self, steps: u32) {
            self.left.set(Some(steps));
        }
        /// Is there again.
        pub fn returns(&self) {
            self.left.set(None);
        }
        /// Steps made so far.
        pub fn made(&self) -> u32 {
            self.made.get()
        }
        pub fn step(&self) -> io::Result<()> {
            match self.left.get() {
                Some(0) => return Err(io::ErrorKind::StorageFull.into()),
                Some(left) => self.left.set(Some(left - 1)),
                None => {}
            }
            self.made.set(self.made.get() + 1);
            Ok(())
        }
        pub fn unsealed(&self, path: &Path) {
            self.unsealed.borrow_mut().push(path.to_owned());
        }
        pub fn sealed(&self, path: &Path) {
            self.unsealed.borrow_mut().retain(|other| other != path);
        }
        /// What a loss of power does: files that were not sealed keep half of what they had.
        pub fn lost(&self) {
            for path in self.unsealed.take() {
                let Ok(file) = File::options().write(true).open(path) else { continue };
                let half = file.metadata().expect("metadata").len() / 2;
                file.set_len(half).expect("truncated");
            }
        }
    }
}
