//! Which addresses the platform fetches keys from: https on the public internet; on a developer's
//! machine also that machine itself. Checked when a tenant sets the address, and again for each
//! address that its name resolves to, when the connection is made: a name may change its mind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::http::Uri;

/// Longest address, bytes.
pub const URL_BYTES_MAX: usize = 2048;

/// Checks an address. Errors: what is wrong, completing "the value …".
pub fn check(url: &str, dev: bool) -> Result<Uri, &'static str> {
    if url.len() > URL_BYTES_MAX {
        return Err("is longer than 2048 bytes");
    }
    let uri: Uri = url.parse().map_err(|_| "is not a URL")?;
    let authority = uri.authority().ok_or("has no host")?;
    if authority.as_str().contains('@') {
        return Err("must not hold a user or a password");
    }
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    let local = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    match uri.scheme_str() {
        Some("https") => {}
        Some("http") if dev && local => {}
        _ => return Err("must begin with https://"),
    }
    if local && !dev {
        return Err("is on this machine, which is allowed in development mode only");
    }
    if let Ok(ip) = host.parse::<IpAddr>()
        && !allowed(ip, dev)
    {
        return Err("is not on the public internet");
    }
    Ok(uri)
}

/// True for an address to which the platform may connect.
pub fn allowed(ip: IpAddr, dev: bool) -> bool {
    if ip.is_loopback() {
        return dev;
    }
    match ip {
        IpAddr::V4(ip) => public_v4(ip),
        IpAddr::V6(ip) => public_v6(ip),
    }
}

fn public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let special = match (a, b, c) {
        (0 | 10 | 127 | 224..=255, ..) => true,
        // Shared by carriers, link-local, private.
        (100, 64..=127, _) | (169, 254, _) | (172, 16..=31, _) | (192, 168, _) => true,
        // Protocol assignments, documentation, 6to4 relays, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) => {
            true
        }
        _ => false,
    };
    !special
}

/// Only what is handed out to the public, 2000::/3, and of that nothing that carries an IPv4 address
/// inside (Teredo, 6to4) or is for documentation. NAT64 (64:ff9b::/96), unique local, link-local and
/// mapped addresses lie outside of it.
fn public_v6(ip: Ipv6Addr) -> bool {
    let [a, b, ..] = ip.segments();
    let global = a & 0xe000 == 0x2000;
    let teredo_and_assignments = a == 0x2001 && b < 0x0200;
    let documentation = (a == 0x2001 && b == 0x0db8) || a & 0xfff0 == 0x3ff0;
    global && !teredo_and_assignments && !documentation && a != 0x2002
}
