//! Settings of the role `analytics`: where captured incentives land, and when.

use std::path::PathBuf;

use super::server::ServerFile;

/// Flags and variables of the role.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Distributed profile")]
pub struct Flags {
    /// Directory in which the role analytics lands captured incentives, as Parquet files by day
    #[arg(long, env = "INCENT_ANALYTICS_DIR", value_name = "DIR")]
    pub analytics_dir: Option<PathBuf>,
    /// Captured incentives that may wait in memory before they land [default: 250000]
    #[arg(long, env = "INCENT_ANALYTICS_ROWS", value_name = "ROWS",
          value_parser = clap::value_parser!(u32).range(1..=5_000_000))]
    pub analytics_rows: Option<u32>,
    /// Memory in MiB that captured incentives may take before they land [default: 128]
    #[arg(long, env = "INCENT_ANALYTICS_MEBIBYTES", value_name = "MIB",
          value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub analytics_mebibytes: Option<u32>,
    /// Seconds that a captured incentive may wait before it lands [default: 300]
    #[arg(long, env = "INCENT_ANALYTICS_SECONDS", value_name = "SECONDS",
          value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub analytics_seconds: Option<u32>,
}

impl Flags {
    /// With what the file says where flags and variables say nothing.
    pub fn over(self, file: &ServerFile) -> Self {
        let dir = file.analytics_dir.as_ref().map(|dir| PathBuf::from(dir.to_string()));
        let number = |flag: Option<u32>, key: Option<i64>| {
            flag.or_else(|| key.and_then(|n| u32::try_from(n).ok()))
        };
        Self {
            analytics_dir: self.analytics_dir.or(dir),
            analytics_rows: number(self.analytics_rows, file.analytics_rows.map(|n| n.get())),
            analytics_mebibytes: number(
                self.analytics_mebibytes,
                file.analytics_mebibytes.map(|n| n.get()),
            ),
            analytics_seconds: number(
                self.analytics_seconds,
                file.analytics_seconds.map(|n| n.get()),
            ),
        }
    }

    /// Whether something is set.
    pub fn is_given(&self) -> bool {
        let numbers = [self.analytics_rows, self.analytics_mebibytes, self.analytics_seconds];
        self.analytics_dir.is_some() || numbers.iter().any(Option::is_some)
    }

    /// The settings in force; `None` without a directory.
    #[cfg(feature = "distributed")]
    pub fn landing(&self) -> Option<Landing> {
        let usual = analytics::Cut::default();
        let number = |set: Option<u32>| set.and_then(|n| usize::try_from(n).ok());
        let cut = analytics::Cut {
            rows: number(self.analytics_rows).unwrap_or(usual.rows),
            bytes: number(self.analytics_mebibytes)
                .map_or(usual.bytes, |mebibytes| mebibytes << 20),
            seconds: self.analytics_seconds.map_or(usual.seconds, i64::from),
        };
        Some(Landing { dir: self.analytics_dir.clone()?, cut })
    }
}

/// Where captured incentives land, and when.
#[cfg(feature = "distributed")]
#[derive(Clone, Debug)]
pub struct Landing {
    /// The directory.
    pub dir: PathBuf,
    /// When what has come lands.
    pub cut: analytics::Cut,
}
