//! Clients in another language: Python with `confluent-kafka` and `fastavro`, in an environment of
//! its own. Tests use them to produce and consume with nothing from us but the `.avsc` files.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::install;
use super::place::Place;
use crate::out;
use crate::run::Failure;

const REQUIREMENTS: &str = "deploy/services/python/requirements.txt";

/// The interpreter that has them.
pub fn python(place: &Place) -> PathBuf {
    place.parts("python").join("bin/python")
}

/// Makes the environment, unless it is there with the same list of packages.
pub fn install(place: &Place) -> Result<(), Failure> {
    let list = place.source(REQUIREMENTS);
    let wanted = fs::read(&list).map_err(|source| Failure::io(&list, source))?;
    let folder = place.parts("python");
    let stamp = folder.join("requirements.txt");
    if fs::read(&stamp).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    install::program(place, "python3", "python3")?;
    out::talk(format_args!("python: the packages of {REQUIREMENTS} …"));
    let make = || {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "--clear"]).arg(&folder);
        install::logged(place, venv)
    };
    // Debian has this part of Python in a package of its own.
    make().or_else(|_| {
        install::packages(place, &["python3-venv"])?;
        make()
    })?;
    let mut pip = Command::new(python(place));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r"]).arg(&list);
    install::logged(place, pip)?;
    fs::write(&stamp, wanted).map_err(|source| Failure::io(&stamp, source))
}
