//! Redis, with nothing kept on disk unless a test asks for it.

use std::process::Command;

use super::Service;
use super::install;
use super::place::{Place, make};
use super::process::{ask, launch};
use crate::run::Failure;

const SERVICE: Service = Service::Redis;

/// The server.
pub fn install(place: &Place) -> Result<(), Failure> {
    install::program(place, "redis-server", "redis-server")
}

/// Starts the server.
pub fn start(place: &mut Place) -> Result<String, Failure> {
    let port = place.take_port(SERVICE)?;
    let data = place.data(SERVICE);
    make(&data)?;
    // Its arguments are replaced by a title of its own; the file's path stays in that.
    let config = data.join("redis.conf");
    let text = format!(
        "bind 127.0.0.1\nport {port}\ndir {}\nsave \"\"\nappendonly no\nmaxmemory 512mb\n\
         maxmemory-policy noeviction\nproc-title-template \"{{title}} {{config-file}}\"\n",
        data.display()
    );
    super::place::write(&config, &text)?;
    let mut server = Command::new("redis-server");
    server.arg(&config).current_dir(&data);
    launch(place, SERVICE, server, || answers(port))?;
    Ok(format!("redis://127.0.0.1:{port}"))
}

/// Asks for a sign of life.
pub fn answers(port: u16) -> bool {
    ask(port, b"PING\r\n", 7).is_some_and(|answer| answer == b"+PONG\r\n")
}
