//! Names of keys. The braces are literal: what stands in the first pair decides the slot, so all
//! keys of a tenant lie together and a script may use them on Redis Cluster.

#[cfg(test)]
mod tests;

use std::fmt::Write as _;

use domain::id::{TenantId, UserRef};
use domain::time::Day;

/// A hash: generation, lane, day, and for each partition epoch, sequence and last settled batch.
pub(crate) fn state(tenant: TenantId) -> String {
    format!("limit:{{{tenant}}}:state")
}

/// A hash: what is reserved on a day and not settled, by incentive and counted by key.
pub(crate) fn pending(tenant: TenantId, day: Day) -> String {
    format!("limit:{{{tenant}}}:pending:{}", day.0)
}

/// A plain integer: the tenant's use of the current day.
pub(crate) fn tenant_daily(tenant: TenantId) -> String {
    format!("limit:{{{tenant}}}:daily")
}

/// A plain integer: a user's use of the current day.
pub(crate) fn user_daily(tenant: TenantId, user: &UserRef) -> String {
    let mut key = format!("limit:{{{tenant}}}:{{");
    encode(user.as_str(), &mut key);
    key.push_str("}:daily");
    key
}

/// A pattern that matches the keys of all users, and more.
pub(crate) const USERS_PATTERN: &str = "limit:{*}:{*}:daily";

/// Whose key it is, if it is one of [`user_daily`].
pub(crate) fn of_user(key: &str) -> Option<(TenantId, UserRef)> {
    let (tenant, user) = key.strip_prefix("limit:{")?.split_once("}:{")?;
    let user = decode(user.strip_suffix("}:daily")?)?;
    Some((tenant.parse().ok()?, UserRef::new(&user).ok()?))
}

/// Percent-encodes what would end a name or hide in it.
fn encode(text: &str, out: &mut String) {
    for c in text.chars() {
        if matches!(c, '%' | ':' | '{' | '}') || c.is_control() {
            for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                // Writing to a String cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        } else {
            out.push(c);
        }
    }
}

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (code, after) = rest.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(std::str::from_utf8(code).ok()?, 16).ok()?);
        rest = after;
    }
    String::from_utf8(bytes).ok()
}
