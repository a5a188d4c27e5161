//! Directories that vanish with the test.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory of its own, removed with all that is in it when dropped.
#[derive(Debug)]
pub struct TempDir {
    path: PathBuf,
}

impl TempDir {
    /// Makes one under the system's directory for temporary files.
    ///
    /// # Panics
    /// When it cannot be made: no test could go on.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test without its directory cannot go on")]
    pub fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        loop {
            let n = MADE.fetch_add(1, Ordering::Relaxed);
            let name = format!("incent-test-{}-{n}", std::process::id());
            let path = std::env::temp_dir().join(name);
            match std::fs::create_dir(&path) {
                // Left behind by a killed process that had our id.
                Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => continue,
                made => made.expect("a temporary directory can be made"),
            }
            return Self { path };
        }
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for TempDir {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for TempDir {
    #[expect(clippy::print_stdout, reason = "it is read beside the failure")]
    fn drop(&mut self) {
        // Whoever looks for the reason of a failure looks here first.
        if std::thread::panicking() {
            println!("left to be looked at: {}", self.path.display());
            return;
        }
        // What is left behind is in the system's directory for temporary files.
        let _left_behind = std::fs::remove_dir_all(&self.path);
    }
}
