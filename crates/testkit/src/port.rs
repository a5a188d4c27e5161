//! Ports for servers that go and come back.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::net::{Ipv4Addr, TcpListener};

use crate::random::Random;

/// Below what systems give to connections that go out: such a port stays free while its server is
/// away.
const LASTING: (i64, i64) = (15_000, 31_999);
/// Ports tried.
const TRIES: usize = 200;

/// A port on loopback that nobody listens on, and that nobody is given by chance while its server
/// is away.
///
/// # Panics
/// When none of many is free.
#[must_use]
pub fn lasting() -> u16 {
    // Two programs must not try the same ones in the same order.
    let mut random = Random(RandomState::new().build_hasher().finish());
    for _ in 0..TRIES {
        let port = u16::try_from(random.between(LASTING.0, LASTING.1)).unwrap_or(0);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("none of {TRIES} ports is free")
}
