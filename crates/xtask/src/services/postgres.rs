//! PostgreSQL with logical decoding. It refuses to run as root; then it runs as the user
//! `postgres`, in a folder that this user may enter.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Service;
use super::install;
use super::place::{Place, make};
use super::process::launch;
use crate::run::Failure;

const SERVICE: Service = Service::Postgres;
const VERSION_MIN: u32 = 15;

/// The server's programs.
pub fn install(place: &Place) -> Result<(), Failure> {
    match programs() {
        Some(_) => Ok(()),
        None => install::packages(place, &["postgresql"]),
    }
}

/// Makes a database cluster if there is none, and starts its server.
pub fn start(place: &mut Place) -> Result<String, Failure> {
    let programs = programs().ok_or_else(|| Failure::Answer {
        from: "postgres".to_owned(),
        what: format!("no PostgreSQL of version {VERSION_MIN} or later on this machine"),
    })?;
    let port = place.take_port(SERVICE)?;
    let user = if install::is_root() { Some(User::find()?) } else { None };
    let data = home(place, user.as_ref())?;
    if !data.join("PG_VERSION").exists() {
        let mut initdb = as_user(programs.join("initdb"), user.as_ref(), &data);
        initdb.args(["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C"]);
        initdb.arg("--pgdata").arg(&data);
        install::logged(place, initdb)?;
    }
    let mut server = as_user(programs.join("postgres"), user.as_ref(), &data);
    server.arg("-D").arg(&data);
    for setting in settings(port) {
        server.args(["-c", &setting]);
    }
    launch(place, SERVICE, server, || answers(port))?;
    Ok(format!("postgres://postgres@127.0.0.1:{port}/postgres"))
}

fn settings(port: u16) -> Vec<String> {
    let settings = [
        // Loopback only, no socket file: two folders never meet.
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "wal_level=logical",
        "max_wal_senders=16",
        "max_replication_slots=16",
        "max_connections=200",
        "shared_buffers=256MB",
        "max_wal_size=4GB",
    ];
    settings.into_iter().map(str::to_owned).chain([format!("port={port}")]).collect()
}

/// Asks the server by its own tool.
pub fn answers(port: u16) -> bool {
    let Some(programs) = programs() else { return false };
    let mut ask = Command::new(programs.join("pg_isready"));
    ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
    ask.stdout(Stdio::null()).stderr(Stdio::null());
    ask.status().is_ok_and(|answer| answer.success())
}

/// The folder with the newest server's programs: Debian's, or that of the `postgres` on the path.
fn programs() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = versions
        .filter_map(|dir| dir.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= VERSION_MIN)
        .map(|version| (version, PathBuf::from(format!("/usr/lib/postgresql/{version}/bin"))))
        .filter(|(_, bin)| bin.join("initdb").exists())
        .max();
    if let Some((_, bin)) = newest {
        return Some(bin);
    }
    let config = Command::new("pg_config").arg("--bindir").output().ok()?;
    let bin = PathBuf::from(String::from_utf8(config.stdout).ok()?.trim());
    bin.join("initdb").exists().then_some(bin)
}

/// The user that the server runs as when we are root.
struct User {
    uid: u32,
    gid: u32,
}

impl User {
    fn find() -> Result<Self, Failure> {
        let path = Path::new("/etc/passwd");
        let text = std::fs::read_to_string(path).map_err(|source| Failure::io(path, source))?;
        user_in(&text).ok_or_else(|| Failure::Answer {
            from: path.display().to_string(),
            what: "has no user `postgres`, which the server is to run as".to_owned(),
        })
    }
}

fn user_in(passwd: &str) -> Option<User> {
    let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some(User { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

fn as_user(program: PathBuf, user: Option<&User>, dir: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(dir);
    if let Some(User { uid, gid }) = user {
        command.uid(*uid).gid(*gid);
    }
    command
}

/// The folder of the database, owned by its user. Where that user may not enter ours, it lies in
/// the system's folder for temporary files.
fn home(place: &mut Place, user: Option<&User>) -> Result<PathBuf, Failure> {
    let mut data = place.data(SERVICE);
    make(&data)?;
    let Some(user) = user else { return private(data, None) };
    data = private(data, Some(user))?;
    if !may_enter(&data, user) {
        std::fs::remove_dir(&data).map_err(|source| Failure::io(&data, source))?;
        data = std::env::temp_dir().join(format!("incent-postgres-{}", std::process::id()));
        // It must be new: what someone else has put there is not ours to use.
        std::fs::create_dir(&data).map_err(|source| Failure::io(&data, source))?;
        data = private(data, Some(user))?;
        place.put_data(SERVICE, &data)?;
    }
    Ok(data)
}

fn private(dir: PathBuf, user: Option<&User>) -> Result<PathBuf, Failure> {
    let failed = |source| Failure::io(&dir, source);
    if let Some(User { uid, gid }) = user {
        chown(&dir, Some(*uid), Some(*gid)).map_err(failed)?;
    }
    std::fs::set_permissions(&dir, PermissionsExt::from_mode(0o700)).map_err(failed)?;
    Ok(dir)
}

fn may_enter(dir: &Path, user: &User) -> bool {
    let mut look = Command::new("ls");
    look.arg(dir).uid(user.uid).gid(user.gid).current_dir("/");
    look.stdout(Stdio::null()).stderr(Stdio::null());
    look.status().is_ok_and(|look| look.success())
}
