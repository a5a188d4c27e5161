//! Addresses of services that are asked over HTTP.

use crate::failure::{Failure, Outcome};

/// An address without the slash at its end. Errors: it is none, or has parts that it must not have.
pub fn checked(setting: &str, example: &str, url: &str) -> Outcome<String> {
    let host = ["http://", "https://"].iter().find_map(|scheme| url.strip_prefix(scheme));
    if host.is_none_or(|host| host.is_empty() || host.contains(['?', '#', '@', ' '])) {
        // It may hold a password, so it is not repeated.
        return Err(Failure::usage(format!("{setting} is no address"))
            .mend(format!("write it as {example}, without a user and without a query")));
    }
    Ok(url.trim_end_matches('/').to_owned())
}
