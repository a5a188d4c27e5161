//! Key sets of issuers, cached. A token with an unknown key id may mean that the issuer has changed
//! its keys, or an attack: so a set is fetched again at most once a minute, whatever tokens say.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::time::{DAY_US, SECOND_US, Timestamp};
use jsonwebtoken::DecodingKey;
use serde_json::Value;

use super::{Algorithm, Fetch, Refusal};

/// A set is fetched again when it is older.
const FRESH_US: i64 = 10 * 60 * SECOND_US;
/// A set is used no longer when it is older, however long its issuer cannot be reached.
const STALE_US: i64 = DAY_US;
/// Shortest time between two fetches from one address.
const PAUSE_US: i64 = 60 * SECOND_US;
/// Most addresses kept.
const SETS_MAX: usize = 1000;
/// Most keys of a set.
const KEYS_MAX: usize = 100;

/// The key sets of all issuers.
pub struct Jwks {
    fetch: Fetch,
    sets: Mutex<HashMap<String, Arc<Set>>>,
}

/// The set of one address. The lock is held while it is fetched, so that tokens which come meanwhile
/// wait for the answer and do not ask again.
#[derive(Default)]
struct Set(tokio::sync::Mutex<State>);

#[derive(Default)]
struct State {
    tried_at: Option<Timestamp>,
    fetched_at: Option<Timestamp>,
    keys: Vec<Key>,
    failure: String,
}

/// One public key. Its algorithm follows from its own type.
#[derive(Clone)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Jwks {
    /// An empty cache.
    pub fn new(fetch: Fetch) -> Self {
        Self { fetch, sets: Mutex::default() }
    }

    /// The key of a set for a token. Errors: there is none, or the set cannot be had.
    pub async fn key(
        &self,
        url: &str,
        algorithm: Algorithm,
        id: Option<&str>,
        now: Timestamp,
    ) -> Result<DecodingKey, Refusal> {
        let set = self.set(url);
        let mut state = set.0.lock().await;
        let known = state.find(algorithm, id);
        let age = |at: Option<Timestamp>| at.map_or(i64::MAX, |at| now.micros() - at.micros());
        let wanted = known.is_none() || age(state.fetched_at) > FRESH_US;
        if wanted && age(state.tried_at) >= PAUSE_US {
            state.tried_at = Some(now);
            self.refresh(url, &mut state, now).await;
        }
        if age(state.fetched_at) > STALE_US {
            return Err(Refusal::NoKeys(state.failure.clone()));
        }
        state.find(algorithm, id).ok_or(Refusal::UnknownKey)
    }

    fn set(&self, url: &str) -> Arc<Set> {
        let mut sets = self.sets.lock().unwrap_or_else(PoisonError::into_inner);
        if sets.len() >= SETS_MAX && !sets.contains_key(url) {
            // Rare: thousands of tenants with issuers of their own. Starting afresh costs a fetch each.
            sets.clear();
        }
        sets.entry(url.to_owned()).or_default().clone()
    }

    async fn refresh(&self, url: &str, state: &mut State, now: Timestamp) {
        let (fetch, address) = (self.fetch.clone(), url.to_owned());
        let fetched = tokio::task::spawn_blocking(move || fetch(&address)).await;
        let keys = match fetched {
            Ok(Ok(bytes)) => read_set(&bytes).ok_or_else(|| "not a key set".to_owned()),
            Ok(Err(failure)) => Err(failure),
            Err(stopped) => Err(stopped.to_string()),
        };
        match keys {
            Ok(keys) => {
                state.keys = keys;
                state.fetched_at = Some(now);
            }
            Err(failure) => {
                tracing::warn!(url, failure, "the keys of an issuer could not be fetched");
                state.failure = failure;
            }
        }
    }
}

impl State {
    /// The key with this id; for a token without an id the only key of its algorithm.
    fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<DecodingKey> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
        match (fitting.next(), fitting.next()) {
            (Some(only), None) => Some(only.key.clone()),
            _ => None,
        }
    }
}

fn read_set(bytes: &[u8]) -> Option<Vec<Key>> {
    let set: Value = serde_json::from_slice(bytes).ok()?;
    let keys = set.get("keys")?.as_array()?;
    Some(keys.iter().take(KEYS_MAX).filter_map(read_key).collect())
}

/// A key that may verify signatures; `None` for all others, which a set may well hold.
fn read_key(jwk: &Value) -> Option<Key> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    if jwk.get("use").is_some() && text("use") != Some("sig") {
        return None;
    }
    if let Some(uses) = jwk.get("key_ops")
        && !uses.as_array()?.iter().any(|one| one == "verify")
    {
        return None;
    }
    let (algorithm, key) = match (text("kty")?, text("crv")) {
        ("RSA", None) => (Algorithm::Rs256, rsa_key(text("n")?, text("e")?)?),
        ("EC", Some("P-256")) => {
            let (x, y) = (text("x")?, text("y")?);
            let _: [u8; 32] = bytes_of(x)?.try_into().ok()?;
            let _: [u8; 32] = bytes_of(y)?.try_into().ok()?;
            (Algorithm::Es256, DecodingKey::from_ec_components(x, y).ok()?)
        }
        ("OKP", Some("Ed25519")) => {
            let x = text("x")?;
            let _: [u8; 32] = bytes_of(x)?.try_into().ok()?;
            (Algorithm::EdDsa, DecodingKey::from_ed_components(x).ok()?)
        }
        _ => return None,
    };
    if jwk.get("alg").is_some() && text("alg") != Some(algorithm.as_str()) {
        return None;
    }
    Some(Key { id: text("kid").map(str::to_owned), algorithm, key })
}

fn rsa_key(n: &str, e: &str) -> Option<DecodingKey> {
    let (modulus, exponent) = (bytes_of(n)?, bytes_of(e)?);
    let first = modulus.first()?;
    let bits = modulus.len() * 8 - usize::try_from(first.leading_zeros()).unwrap_or(0);
    // Below 2048 bits a key is weak; far above, checking a signature would be an attack on us.
    let sound =
        (2048..=8192).contains(&bits) && (1..=4).contains(&exponent.len()) && exponent != [1];
    sound.then(|| DecodingKey::from_rsa_raw_components(&modulus, &exponent))
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
