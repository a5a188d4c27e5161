//! Installs what is missing: programs with apt, jars with Maven. What they say goes into
//! `install.log`; on the terminal there is one line per step.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::place::{Place, make};
use crate::out;
use crate::run::Failure;

/// Jars lie here, beside the pom that brought them.
const JARS: &str = "jars";

/// Makes sure that a program is there, from a Debian package if need be.
pub fn program(place: &Place, program: &str, package: &str) -> Result<(), Failure> {
    if on_path(program) { Ok(()) } else { packages(place, &[package]) }
}

/// Whether a program can be called by its name.
pub fn on_path(program: &str) -> bool {
    let found = Command::new("sh").args(["-c", "command -v \"$0\"", program]).output();
    found.is_ok_and(|found| found.status.success())
}

/// Installs Debian packages.
pub fn packages(place: &Place, packages: &[&str]) -> Result<(), Failure> {
    let install = format!("apt-get install {}", packages.join(" "));
    if !on_path("apt-get") {
        let what = format!("not on this machine, and neither is apt-get: {}", packages.join(", "));
        return Err(Failure::Answer { from: "cargo x services".to_owned(), what });
    }
    if !is_root() {
        let what = format!("missing: {}; run `sudo {install}`", packages.join(", "));
        return Err(Failure::Answer { from: "cargo x services".to_owned(), what });
    }
    out::talk(format_args!("{install} …"));
    let apt = |args: &[&str]| {
        let mut apt = Command::new("apt-get");
        // Another apt on the machine is waited for, and no question is asked.
        apt.args(["-o", "DPkg::Lock::Timeout=300", "-q", "-y"]).args(args);
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        logged(place, apt)
    };
    let args = [&["install", "--no-install-recommends"], packages].concat();
    if apt(&args).is_ok() {
        return Ok(());
    }
    // The lists of a fresh machine are empty or old.
    apt(&["update"])?;
    apt(&args)
}

/// Whether we may install.
pub fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output();
    id.is_ok_and(|id| id.stdout.trim_ascii() == b"0")
}

/// The folder with the jars that a pom in `deploy/services` names, fetched if they are not there.
pub fn jars(place: &Place, name: &str) -> Result<PathBuf, Failure> {
    let pom = place.source(&format!("deploy/services/{name}/pom.xml"));
    let wanted = fs::read(&pom).map_err(|source| Failure::io(&pom, source))?;
    let folder = place.parts(name);
    let (jars, stamp) = (folder.join(JARS), folder.join("pom.xml"));
    if fs::read(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(jars);
    }
    java(place)?;
    program(place, "mvn", "maven")?;
    out::talk(format_args!("mvn: the jars of {} …", pom.display()));
    if jars.exists() {
        fs::remove_dir_all(&jars).map_err(|source| Failure::io(&jars, source))?;
    }
    make(&jars)?;
    let mut mvn = Command::new("mvn");
    mvn.args(["--quiet", "--batch-mode", "--file"]).arg(&pom);
    mvn.args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    mvn.arg(format!("-DoutputDirectory={}", jars.display()));
    logged(place, mvn)?;
    fs::write(&stamp, wanted).map_err(|source| Failure::io(&stamp, source))?;
    Ok(jars)
}

/// Makes sure that there is a Java to run the jars.
pub fn java(place: &Place) -> Result<(), Failure> {
    program(place, "java", "default-jre-headless")
}

/// Runs a program to its end, its words going into `install.log`.
pub fn logged(place: &Place, mut command: Command) -> Result<(), Failure> {
    let log = place.dir().join("install.log");
    let open = || OpenOptions::new().create(true).append(true).open(&log);
    let (out, err) = (open(), open());
    let (out, err) = out.and_then(|out| Ok((out, err?))).map_err(|e| Failure::io(&log, e))?;
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = command.stdin(Stdio::null()).stdout(out).stderr(err).status();
    let ended = ended.map_err(|source| Failure::io(Path::new(&name), source))?;
    if ended.success() {
        return Ok(());
    }
    let what = format!("failed; the end of {} says:\n{}", log.display(), tail(&log));
    Err(Failure::Answer { from: name, what })
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    const LINES: usize = 15;
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}
