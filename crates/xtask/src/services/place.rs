//! Where the services live: a folder with one log and one data folder for each, and the file that
//! says where they are.

use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use super::Service;
use crate::run::Failure;

/// What the folder is called inside `target/`.
const DEFAULT: &str = "target/services";
/// Jars and clients, the same for every folder.
const PARTS: &str = "target/services-parts";
const ENV_FILE: &str = "services.env";
const ENV_HEAD: &str = "\
# Written by `cargo x services`. Where the services are; tests read it, a shell may source it.
";

/// A folder of services.
pub struct Place {
    root: PathBuf,
    dir: PathBuf,
    /// The lines of `services.env`.
    values: BTreeMap<String, String>,
    /// Held for as long as this lives: two commands on one folder wait for each other.
    _lock: fs::File,
}

impl Place {
    /// Opens or makes a folder; by default `target/services` of the project.
    pub fn open(root: &Path, dir: Option<&Path>) -> Result<Self, Failure> {
        let dir = dir.map_or_else(|| root.join(DEFAULT), Path::to_path_buf);
        make(&dir)?;
        let dir = dir.canonicalize().map_err(|source| Failure::io(&dir, source))?;
        let lock = dir.join("lock");
        let lock = fs::File::create(&lock)
            .and_then(|file| file.lock().map(|()| file))
            .map_err(|source| Failure::io(&lock, source))?;
        let file = dir.join(ENV_FILE);
        let values = match fs::read_to_string(&file) {
            Ok(text) => values(&text),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(source) => return Err(Failure::io(&file, source)),
        };
        Ok(Self { root: root.to_path_buf(), dir, values, _lock: lock })
    }

    /// The folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A file of the project.
    pub fn source(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// A folder of installed parts.
    pub fn parts(&self, name: &str) -> PathBuf {
        self.root.join(PARTS).join(name)
    }

    /// `services.env`.
    pub fn env_file(&self) -> PathBuf {
        self.dir.join(ENV_FILE)
    }

    /// Where a service keeps its data.
    pub fn data(&self, service: Service) -> PathBuf {
        match self.values.get(&key(service, "DATA")) {
            Some(elsewhere) => elsewhere.into(),
            None => self.dir.join(service.name()),
        }
    }

    /// Moves a service's data to another folder.
    pub fn put_data(&mut self, service: Service, folder: &Path) -> Result<(), Failure> {
        self.values.insert(key(service, "DATA"), folder.display().to_string());
        self.save()
    }

    /// Where a service writes what it has to say.
    pub fn log(&self, service: Service) -> PathBuf {
        self.dir.join(format!("{}.log", service.name()))
    }

    /// A service's address, while it is up.
    pub fn value(&self, service: Service) -> Option<&str> {
        self.values.get(service.variable()).map(String::as_str)
    }

    /// Sets a service's address.
    pub fn set(&mut self, service: Service, address: String) -> Result<(), Failure> {
        self.values.insert(service.variable().to_owned(), address);
        self.save()
    }

    /// A service's process id, while it is thought to run.
    pub fn pid(&self, service: Service) -> Option<u32> {
        self.values.get(&key(service, "PID"))?.parse().ok()
    }

    /// Sets a service's process id.
    pub fn set_pid(&mut self, service: Service, pid: u32) -> Result<(), Failure> {
        self.values.insert(key(service, "PID"), pid.to_string());
        self.save()
    }

    /// The port a service has.
    pub fn port(&self, service: Service) -> Option<u16> {
        self.values.get(&key(service, "PORT"))?.parse().ok()
    }

    /// The port a service shall have: its own again if nobody has taken it, otherwise a free one.
    pub fn take_port(&mut self, service: Service) -> Result<u16, Failure> {
        self.take(key(service, "PORT"))
    }

    /// A second port, for what is no client's business.
    pub fn take_inner_port(&mut self, service: Service) -> Result<u16, Failure> {
        self.take(key(service, "INNER_PORT"))
    }

    fn take(&mut self, key: String) -> Result<u16, Failure> {
        let last = self.values.get(&key).and_then(|port| port.parse().ok());
        let port = match last.map(free) {
            Some(Ok(port)) => port,
            _ => free(0).map_err(|source| Failure::io(Path::new("127.0.0.1:0"), source))?,
        };
        self.values.insert(key, port.to_string());
        self.save()?;
        Ok(port)
    }

    /// Forgets where a service was; its port is kept for the next time. With its data, if told so.
    pub fn forget(&mut self, service: Service, wipe: bool) -> Result<(), Failure> {
        self.values.remove(service.variable());
        self.values.remove(&key(service, "PID"));
        if wipe {
            let data = self.data(service);
            if data.exists() {
                fs::remove_dir_all(&data).map_err(|source| Failure::io(&data, source))?;
            }
            self.values.remove(&key(service, "DATA"));
        }
        self.save()
    }

    fn save(&self) -> Result<(), Failure> {
        let mut text = ENV_HEAD.to_owned();
        for (key, value) in &self.values {
            text.push_str(&format!("{key}={value}\n"));
        }
        let (file, fresh) = (self.env_file(), self.dir.join("services.env.new"));
        fs::write(&fresh, text).map_err(|source| Failure::io(&fresh, source))?;
        fs::rename(&fresh, &file).map_err(|source| Failure::io(&file, source))
    }
}

fn key(service: Service, what: &str) -> String {
    format!("INCENT_SERVICES_{}_{what}", service.name().to_uppercase())
}

/// The lines `KEY=value`; everything else is comment.
pub(super) fn values(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

/// A port that nobody listens on; 0 asks for any.
fn free(port: u16) -> std::io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, port))?.local_addr()?.port())
}

/// Makes a folder and those above it.
pub fn make(dir: &Path) -> Result<(), Failure> {
    fs::create_dir_all(dir).map_err(|source| Failure::io(dir, source))
}

/// Writes a file.
pub fn write(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text).map_err(|source| Failure::io(path, source))
}
