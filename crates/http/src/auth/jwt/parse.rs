//! The three parts of a compact JWS, read strictly.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::id::TenantId;
use domain::shape;
use domain::time::Timestamp;
use serde_json::{Map, Value};

use super::{Algorithm, Refusal};

/// Longest token, bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// Longest key id, bytes.
const KEY_ID_BYTES_MAX: usize = 256;

/// Header members that change what is signed, or name keys. A token must have none of them: we
/// implement no extension, take no compression and fetch nothing that a token names.
const FORBIDDEN: [&str; 9] = ["crit", "b64", "zip", "enc", "jku", "jwk", "x5u", "x5c", "cty"];

/// A token, taken apart and not verified.
pub struct Token<'t> {
    header: Map<String, Value>,
    claims: Map<String, Value>,
    signing_input: &'t str,
    signature: &'t str,
}

impl<'t> Token<'t> {
    /// Takes it apart. Errors: anything but a compact JWS with two JSON objects.
    pub fn parse(token: &'t str) -> Result<Self, Refusal> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(Refusal::Malformed("longer than 8 KiB"));
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header, claims, signature] = parts[..] else {
            return Err(Refusal::Malformed("not three parts"));
        };
        let signing_input = &token[..header.len() + 1 + claims.len()];
        if decoded(signature)?.is_empty() {
            return Err(Refusal::Malformed("not signed"));
        }
        let token =
            Self { header: object(header)?, claims: object(claims)?, signing_input, signature };
        token.header_holds()?;
        Ok(token)
    }

    fn header_holds(&self) -> Result<(), Refusal> {
        if FORBIDDEN.iter().any(|name| self.header.contains_key(*name)) {
            return Err(Refusal::Header("a member that we do not take"));
        }
        match self.header.get("typ") {
            None => {}
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("JWT") => {}
            Some(_) => return Err(Refusal::Header("typ is not JWT")),
        }
        match self.header.get("kid") {
            None => Ok(()),
            Some(Value::String(id)) if (1..=KEY_ID_BYTES_MAX).contains(&id.len()) => Ok(()),
            Some(_) => Err(Refusal::Header("kid is not a short text")),
        }
    }

    /// The algorithm, if it is one that we know. Names are compared exactly.
    pub fn algorithm(&self) -> Option<Algorithm> {
        self.header.get("alg")?.as_str()?.parse().ok()
    }
    /// The id of the key. Only ever compared with the ids in a key set.
    pub fn key_id(&self) -> Option<&str> {
        self.header.get("kid")?.as_str()
    }
    /// What is signed.
    pub fn signing_input(&self) -> &'t str {
        self.signing_input
    }
    /// The signature, in base64url.
    pub fn signature_text(&self) -> &'t str {
        self.signature
    }
    /// The claim `tenant`.
    pub fn tenant(&self) -> Result<TenantId, Refusal> {
        let text = self.text_claim("tenant")?;
        let id = text.parse().ok().filter(|_| text.len() == 36);
        id.ok_or(Refusal::Claim("tenant is not a UUID"))
    }
    /// A claim that must be a text and not empty.
    pub fn text_claim(&self, name: &'static str) -> Result<&str, Refusal> {
        match self.claims.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text),
            _ => Err(Refusal::Claim(name)),
        }
    }
    /// A claim that is a time if it is there: whole seconds since 1970.
    pub fn time_claim(&self, name: &'static str) -> Result<Option<Timestamp>, Refusal> {
        let Some(value) = self.claims.get(name) else { return Ok(None) };
        let seconds =
            value.as_i64().filter(|_| value.is_number()).and_then(|s| s.checked_mul(1_000_000));
        let at = seconds.and_then(|us| Timestamp::from_micros(us).ok());
        at.map(Some).ok_or(Refusal::Claim(name))
    }
}

/// One JSON object in base64url. Our own reader refuses duplicate members and deep nesting.
fn object(part: &str) -> Result<Map<String, Value>, Refusal> {
    match shape::parse(&decoded(part)?) {
        Ok(Value::Object(members)) => Ok(members),
        _ => Err(Refusal::Malformed("not a JSON object without duplicates")),
    }
}

/// Strict: no padding, no other alphabet, no space, no bits that do not count.
fn decoded(part: &str) -> Result<Vec<u8>, Refusal> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Refusal::Malformed("not base64url"))
}
