//! Processes that outlive the command that started them: started, waited for, found again, ended.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::Service;
use super::install::tail;
use super::place::Place;
use crate::run::Failure;

/// How long a service may take to answer. Generous: a loaded machine starts a JVM in a minute.
const READY_MAX: Duration = Duration::from_secs(180);
/// How long a service may take to end before it is killed.
const END_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);
/// How long one question may take.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Starts a service's process and waits until it answers. Fails with the end of its log.
pub fn launch(
    place: &mut Place,
    service: Service,
    mut command: Command,
    answers: impl Fn() -> bool,
) -> Result<(), Failure> {
    let log = place.log(service);
    let open = || File::options().create(true).append(true).open(&log);
    let (out, err) = (open(), open());
    let (out, err) = out.and_then(|out| Ok((out, err?))).map_err(|e| Failure::io(&log, e))?;
    // A process group of its own: Ctrl-C in the terminal is not meant for it.
    let command = command.stdin(Stdio::null()).stdout(out).stderr(err).process_group(0);
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|source| Failure::io(Path::new(&name), source))?;
    place.set_pid(service, child.id())?;
    let begun = Instant::now();
    while !answers() {
        let ended = child.try_wait().map_err(|source| Failure::io(Path::new(&name), source))?;
        let why = match ended {
            Some(how) => format!("ended at once ({how})"),
            None if begun.elapsed() > READY_MAX => {
                format!("gives no answer after {} s", READY_MAX.as_secs())
            }
            None => {
                std::thread::sleep(PAUSE);
                continue;
            }
        };
        let what = format!("{why}; the end of {} says:\n{}", log.display(), tail(&log));
        return Err(Failure::Answer { from: service.name().to_owned(), what });
    }
    Ok(())
}

/// Whether a service's process is alive. A process that has its number by chance is not it.
pub fn is_running(place: &Place, service: Service) -> bool {
    place.pid(service).is_some_and(|pid| is_ours(place, service, pid))
}

fn is_ours(place: &Place, service: Service, pid: u32) -> bool {
    // Each is started with a path of its folder, or a name made from it, among its arguments. One
    // that has ended and is not yet buried has none.
    let ours = place.data(service).display().to_string();
    let args = match std::fs::read(format!("/proc/{pid}/cmdline")) {
        Ok(args) => args,
        Err(_) if Path::new("/proc/self").exists() => return false,
        Err(_) => match Command::new("ps").args(["-o", "args=", "-p", &pid.to_string()]).output() {
            Ok(ps) => ps.stdout,
            Err(_) => return false,
        },
    };
    String::from_utf8_lossy(&args).contains(&ours)
}

/// Ends a service if it runs, gently at first. Returns whether it ran.
pub fn stop(place: &Place, service: Service) -> Result<bool, Failure> {
    let Some(pid) = place.pid(service).filter(|pid| is_ours(place, service, *pid)) else {
        return Ok(false);
    };
    // PostgreSQL waits for its clients on TERM; INT ends their sessions.
    signal(if service == Service::Postgres { "INT" } else { "TERM" }, pid)?;
    let begun = Instant::now();
    while is_ours(place, service, pid) {
        if begun.elapsed() > END_MAX {
            signal("KILL", pid)?;
        }
        std::thread::sleep(PAUSE);
    }
    Ok(true)
}

fn signal(name: &str, pid: u32) -> Result<(), Failure> {
    let command = format!("kill -{name} {pid}");
    // It may have ended in between, which is what we want.
    let sent = Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).status();
    sent.map(|_| ()).map_err(|source| Failure::io(Path::new("sh"), source))
}

/// Sends bytes to a port of this machine and returns the first `enough` bytes of the answer, or as
/// many as come before the other side closes; `None` if it cannot be reached or stays silent.
pub fn ask(port: u16, question: &[u8], enough: usize) -> Option<Vec<u8>> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_MAX).ok()?;
    stream.set_read_timeout(Some(ANSWER_MAX)).ok()?;
    stream.write_all(question).ok()?;
    let mut answer = Vec::new();
    stream.take(enough as u64).read_to_end(&mut answer).ok()?;
    Some(answer)
}
