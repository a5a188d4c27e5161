//! A device of a user: it listens, loses its connection, and goes on where it was.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::shop::SECRET;
use crate::support::{ADMIN, incent};

/// A device; it listens until it is dropped.
pub struct Device {
    pub tenant: String,
    pub user: String,
    frames: PathBuf,
    child: Child,
}

impl Device {
    /// A device of a user, from the beginning on.
    pub fn listen(dir: &Path, url: &str, tenant: &str, user: &str) -> Self {
        let (tenant, user) = (tenant.to_owned(), user.to_owned());
        let frames = dir.join(format!("device-{tenant}-{user}.jsonl"));
        let (out, err) = (File::create(&frames), File::create(frames.with_extension("log")));
        let args = ["listen", "--user", &user, "--after-seq", "0", "-o", "jsonl"];
        let child = incent(dir, &args)
            .env("INCENT_URL", url)
            .env("INCENT_ADMIN_TOKEN", ADMIN)
            .env("INCENT_TENANT", &tenant)
            .env("INCENT_PUSH_SECRET", SECRET)
            .stdout(Stdio::from(out.expect("a file")))
            .stderr(Stdio::from(err.expect("a file")))
            .spawn()
            .expect("incent runs");
        Self { tenant, user, frames, child }
    }

    /// The incentives it has heard of, in the order in which they came.
    pub fn heard(&self) -> Vec<String> {
        let text = std::fs::read_to_string(&self.frames).expect("its frames");
        let frames = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let frames = frames.filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let incentives = frames.filter(|frame| frame["type"] == "INCENTIVE_NOTIFICATION");
        incentives.filter_map(|frame| Some(frame["incentiveId"].as_str()?.to_owned())).collect()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _buried = self.child.wait();
    }
}
