//! What `deploy/` holds is what this binary takes.

use std::fs;
use std::path::{Path, PathBuf};

use testkit::dir::TempDir;

use crate::support::{ADMIN, Said, incent, run};

/// The files of a folder of `deploy/`.
fn shipped(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(folder);
    let files: Vec<_> = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path()).collect();
    assert!(!files.is_empty(), "{}", folder.display());
    files
}

#[cfg(feature = "distributed")]
#[test]
fn each_sample_configuration_is_read() {
    let dir = TempDir::new();
    for file in shipped("config") {
        let mut command = incent(dir.path(), &["serve", "--config", file.to_str().unwrap()]);
        command.env("INCENT_ADMIN_TOKEN", ADMIN).env("INCENT_SERVICE_TOKEN", "0f".repeat(32));
        // All else is read first, so that this is the one thing to say.
        command.env("INCENT_SERVER_KEY", "none");
        let said = Said::of(command.output().unwrap());
        assert!(said.err.contains("64 hexadecimal digits"), "{}: {}", file.display(), said.err);
        said.failed(2, &[]);
    }
}

#[test]
fn each_unit_starts_it_with_flags_that_it_has() {
    let dir = TempDir::new();
    for file in shipped("systemd") {
        let unit = fs::read_to_string(&file).unwrap();
        let value = |key: &str| unit.lines().find_map(|line| line.strip_prefix(key));
        let start = value("ExecStart=/usr/local/bin/incent ").expect("it starts incent");
        // A flag that is not there is refused before help is given.
        let args: Vec<&str> = start.split(' ').chain(["--help"]).collect();
        run(dir.path(), &args).well();
        run(dir.path(), &[&args[..1], &["--no-such-flag", "--help"]].concat()).failed(2, &[]);
        // A wrong setting is not tried again and again.
        fs::write(dir.path().join("wrong.yaml"), "nonsense: 1").unwrap();
        run(dir.path(), &["serve", "--config", "wrong.yaml"]).failed(2, &["nonsense"]);
        assert_eq!(value("RestartPreventExitStatus="), Some("2"));
    }
}
