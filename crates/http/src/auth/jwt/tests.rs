//! Tokens that hold, and the many that must not.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use jsonwebtoken::EncodingKey;
use jsonwebtoken::jwk::Jwk;
use serde_json::{Value, json};

use super::*;

const TENANT: &str = "0199f3a8-5b1e-7c3d-9a42-6f1b2c3d4e5f";
const OTHER: &str = "0199f3a8-5b1e-7c3d-9a42-000000000000";
const SECRET: &[u8] = b"a shared secret of more than 32 bytes";
const URL: &str = "https://issuer.example/keys";

fn now() -> Timestamp {
    "2026-06-01T12:00:00Z".parse().expect("a time")
}
fn seconds(offset: i64) -> i64 {
    now().micros() / SECOND_US + offset
}

fn signing_key(algorithm: Algorithm) -> EncodingKey {
    let key = match algorithm {
        Algorithm::Hs256 => Ok(EncodingKey::from_secret(SECRET)),
        Algorithm::Rs256 => EncodingKey::from_rsa_pem(include_bytes!("testdata/rsa.test.pem")),
        Algorithm::Es256 => EncodingKey::from_ec_pem(include_bytes!("testdata/ec.test.pem")),
        Algorithm::EdDsa => EncodingKey::from_ed_pem(include_bytes!("testdata/ed.test.pem")),
    };
    key.expect("a key of the test data")
}

fn jwk(algorithm: Algorithm, id: &str) -> Value {
    let key = signing_key(algorithm);
    let jwk = Jwk::from_encoding_key(&key, algorithm.of_library()).expect("a public key");
    let mut jwk = serde_json::to_value(jwk).expect("JSON");
    jwk["kid"] = id.into();
    jwk
}

fn key_set() -> Value {
    let public = [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
    json!({ "keys": public.map(|algorithm| jwk(algorithm, algorithm.as_str())) })
}

/// A cache over a fixed answer, and how often it was asked.
fn jwks(answer: Result<Value, &'static str>) -> (Jwks, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let fetch: Fetch = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
        answer.clone().map(|set| set.to_string().into_bytes()).map_err(str::to_owned)
    });
    (Jwks::new(fetch), count)
}

fn shared() -> Trust {
    let keys = Keys::Secret(SECRET.to_vec());
    Trust {
        issuer: Some("https://issuer.example".into()),
        keys,
        algorithms: vec![Algorithm::Hs256],
    }
}
fn public() -> Trust {
    let algorithms = vec![Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa];
    Trust { keys: Keys::Jwks(URL.into()), algorithms, ..shared() }
}

fn claims() -> Value {
    json!({
        "iss": "https://issuer.example", "sub": "u1", "tenant": TENANT, "aud": "incent-push",
        "iat": seconds(-10), "exp": seconds(600),
    })
}
/// The good claims with some changed; `null` takes one away.
fn with(changes: Value) -> String {
    let mut claims = claims();
    for (name, value) in changes.as_object().expect("an object") {
        match value {
            Value::Null => claims.as_object_mut().expect("an object").remove(name),
            _ => claims.as_object_mut().expect("an object").insert(name.clone(), value.clone()),
        };
    }
    claims.to_string()
}

fn sign(header: &str, claims: &str, algorithm: Algorithm) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
    let key = signing_key(algorithm);
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm.of_library());
    format!("{message}.{}", signature.expect("a signature"))
}
fn good(algorithm: Algorithm) -> String {
    let header = json!({ "alg": algorithm, "typ": "JWT", "kid": algorithm });
    sign(&header.to_string(), &claims().to_string(), algorithm)
}

/// As the server does it: whose is it, then verify with that tenant's settings.
async fn check(trust: &Trust, token: &str) -> Result<UserToken, Refusal> {
    let tenant = claimed_tenant(token)?;
    if tenant.to_string() != TENANT {
        return Err(Refusal::Claim("the test knows one tenant"));
    }
    verify(&jwks(Ok(key_set())).0, trust, tenant, token, now()).await
}

#[tokio::test]
async fn good_tokens_hold() {
    let expected = UserToken {
        tenant: TENANT.parse().expect("an id"),
        user: UserRef::new("u1").expect("an id"),
        expires_at: now().plus_micros(600 * SECOND_US),
    };
    for algorithm in Algorithm::ALL.iter().copied() {
        let trust = if algorithm.is_shared() { shared() } else { public() };
        assert_eq!(check(&trust, &good(algorithm)).await.as_ref(), Ok(&expected), "{algorithm}");
    }
    let bare = r#"{"alg":"HS256"}"#;
    for changes in [
        json!({ "iat": null }),
        json!({ "iat": seconds(29) }),
        json!({ "nbf": seconds(29) }),
        json!({ "exp": seconds(-5), "iat": seconds(-60) }),
        json!({ "exp": seconds(86_000) }),
        json!({ "roles": ["a"], "custom": { "deep": [1, 2, 3] } }),
    ] {
        let token = sign(bare, &with(changes.clone()), Algorithm::Hs256);
        assert!(check(&shared(), &token).await.is_ok(), "{changes}");
    }
    let any_issuer = Trust { issuer: None, ..shared() };
    let token = sign(bare, &with(json!({ "iss": null })), Algorithm::Hs256);
    assert!(check(&any_issuer, &token).await.is_ok());
}

/// Headers that must be refused although the signature is right.
const HOSTILE_HEADERS: [&str; 36] = [
    r#"{"alg":"none"}"#,
    r#"{"alg":"None"}"#,
    r#"{"alg":"nOnE"}"#,
    r#"{"alg":"NONE"}"#,
    r#"{"alg":""}"#,
    r#"{"alg":null}"#,
    r#"{"alg":["HS256"]}"#,
    r#"{"alg":256}"#,
    r#"{"alg":"hs256"}"#,
    r#"{"alg":"HS256 "}"#,
    r#"{"alg":"HS384"}"#,
    r#"{"alg":"HS512"}"#,
    r#"{"alg":"RS256"}"#,
    r#"{"alg":"PS256"}"#,
    r#"{"alg":"ES256"}"#,
    r#"{"alg":"ES384"}"#,
    r#"{"alg":"EdDSA"}"#,
    r#"{"typ":"JWT"}"#,
    r#"{}"#,
    r#"[]"#,
    r#""HS256""#,
    r#"{"alg":"HS256","alg":"HS256"}"#,
    r#"{"alg":"none","alg":"HS256"}"#,
    r#"{"alg":"HS256","crit":["exp"]}"#,
    r#"{"alg":"HS256","crit":[]}"#,
    r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
    r#"{"alg":"HS256","b64":true}"#,
    r#"{"alg":"HS256","zip":"DEF"}"#,
    r#"{"alg":"HS256","jku":"https://evil.example/keys"}"#,
    r#"{"alg":"HS256","x5u":"https://evil.example/cert"}"#,
    r#"{"alg":"HS256","jwk":{"kty":"oct","k":"YQ"}}"#,
    r#"{"alg":"HS256","x5c":["AA=="]}"#,
    r#"{"alg":"HS256","typ":"at+jwt"}"#,
    r#"{"alg":"HS256","typ":7}"#,
    r#"{"alg":"HS256","kid":7}"#,
    r#"{"alg":"HS256","kid":""}"#,
];

#[tokio::test]
async fn hostile_headers_are_refused() {
    for header in HOSTILE_HEADERS {
        let token = sign(header, &claims().to_string(), Algorithm::Hs256);
        assert!(check(&shared(), &token).await.is_err(), "{header}");
        assert!(check(&public(), &token).await.is_err(), "{header} against public keys");
    }
    let long = format!(r#"{{"alg":"HS256","kid":"{}"}}"#, "k".repeat(257));
    assert!(check(&shared(), &sign(&long, &claims().to_string(), Algorithm::Hs256)).await.is_err());
    // Ids of keys are compared, never opened or fetched; with public keys an unknown one is refused.
    for id in ["../../etc/passwd", "' or 1=1 --", "https://evil.example/key", "/dev/null", "rs256"]
    {
        let header = json!({ "alg": "RS256", "kid": id }).to_string();
        let token = sign(&header, &claims().to_string(), Algorithm::Rs256);
        assert_eq!(check(&public(), &token).await, Err(Refusal::UnknownKey), "{id}");
    }
}

#[tokio::test]
async fn hostile_claims_are_refused() {
    let cases = [
        json!({ "sub": null }),
        json!({ "sub": "" }),
        json!({ "sub": 7 }),
        json!({ "sub": ["u1"] }),
        json!({ "sub": "u\u{0}1" }),
        json!({ "sub": "u".repeat(129) }),
        json!({ "tenant": null }),
        json!({ "tenant": "" }),
        json!({ "tenant": OTHER }),
        json!({ "tenant": TENANT.replace('-', "") }),
        json!({ "tenant": format!("urn:uuid:{TENANT}") }),
        json!({ "tenant": [TENANT] }),
        json!({ "aud": null }),
        json!({ "aud": "" }),
        json!({ "aud": "incent" }),
        json!({ "aud": "INCENT-PUSH" }),
        json!({ "aud": ["incent-push"] }),
        json!({ "aud": ["other", "incent-push"] }),
        json!({ "aud": { "0": "incent-push" } }),
        json!({ "iss": null }),
        json!({ "iss": "" }),
        json!({ "iss": "https://issuer.example/" }),
        json!({ "iss": ["https://issuer.example"] }),
        json!({ "exp": null }),
        json!({ "exp": "" }),
        json!({ "exp": seconds(600).to_string() }),
        json!({ "exp": seconds(600) as f64 + 0.5 }),
        json!({ "exp": true }),
        json!({ "exp": [seconds(600)] }),
        json!({ "exp": 0 }),
        json!({ "exp": -1 }),
        json!({ "exp": i64::MAX }),
        json!({ "exp": u64::MAX }),
        json!({ "exp": seconds(-31) }),
        json!({ "exp": seconds(86_400 + 31) }),
        json!({ "exp": seconds(-20), "iat": seconds(-10) }),
        json!({ "exp": seconds(10_000_000), "iat": seconds(9_990_000) }),
        json!({ "exp": seconds(80_000), "iat": seconds(-80_000) }),
        json!({ "iat": seconds(31) }),
        json!({ "iat": "now" }),
        json!({ "iat": -5 }),
        json!({ "nbf": seconds(31) }),
        json!({ "nbf": "" }),
        json!({ "nbf": [0] }),
    ];
    for changes in cases {
        let token = sign(r#"{"alg":"HS256"}"#, &with(changes.clone()), Algorithm::Hs256);
        assert!(check(&shared(), &token).await.is_err(), "{changes}");
    }
    let twice = claims().to_string().replacen('{', r#"{"sub":"u2","#, 1);
    let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    for text in [twice.as_str(), &deep, "[]", "null", "", "{", "\u{feff}7"] {
        let token = sign(r#"{"alg":"HS256"}"#, text, Algorithm::Hs256);
        assert!(check(&shared(), &token).await.is_err(), "{text}");
    }
}

#[tokio::test]
async fn hostile_forms_are_refused() {
    let token = good(Algorithm::Hs256);
    let [header, claims, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts");
    };
    let header_text = json!({ "alg": "HS256" }).to_string();
    let forms = [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        format!("{header}.{claims}"),
        format!("{header}.{claims}."),
        format!("{header}..{signature}"),
        format!(".{claims}.{signature}"),
        format!("{token}."),
        format!("{token}.{signature}"),
        format!("{header}.{claims}.{signature}.AAAA.AAAA"),
        format!(" {token}"),
        format!("{token} "),
        format!("{token}\n"),
        format!("{token}="),
        format!("{header}=.{claims}.{signature}"),
        format!("{}.{claims}.{signature}", URL_SAFE.encode(&header_text)),
        format!("{}.{claims}.{signature}", STANDARD.encode(r#"{"alg":"HS256","a":"???>>>"}"#)),
        format!("{header}.{claims}.{}", signature.replace(['-', '_'], "+")),
        format!("{header}.{claims}.{}", &signature[..signature.len() - 1]),
        format!("{header}.{claims}.{}", &signature[..signature.len() / 2]),
        format!("{header}.{claims}.A{signature}"),
        format!("{header}.{claims}.{}", URL_SAFE_NO_PAD.encode([0; 32])),
        format!("{}.{claims}.{signature}", "A".repeat(TOKEN_BYTES_MAX)),
        format!("{}\u{e4}.{claims}.{signature}", header),
    ];
    for form in forms {
        assert!(check(&shared(), &form).await.is_err(), "{form}");
    }
}

#[tokio::test]
async fn a_public_key_is_no_secret_and_a_secret_no_public_key() {
    let set = key_set();
    let pem = include_str!("testdata/rsa.test.pem");
    let modulus = set["keys"][0]["n"].as_str().expect("a modulus");
    for secret in [pem, pem.trim(), modulus, &set.to_string(), &set["keys"][0].to_string()] {
        let message = good(Algorithm::Hs256);
        let message = message.rsplit_once('.').expect("parts").0;
        let key = EncodingKey::from_secret(secret.as_bytes());
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256);
        let token = format!("{message}.{}", signature.expect("a signature"));
        for algorithms in [public().algorithms, vec![Algorithm::Hs256], Algorithm::ALL.to_vec()] {
            let trust = Trust { algorithms, ..public() };
            assert_eq!(check(&trust, &token).await, Err(Refusal::Algorithm));
        }
    }
    let trust = Trust { algorithms: Algorithm::ALL.to_vec(), ..shared() };
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        assert_eq!(check(&trust, &good(algorithm)).await, Err(Refusal::Algorithm), "{algorithm}");
        // The right key under the name of another algorithm.
        let header = json!({ "alg": algorithm, "kid": "EdDSA" }).to_string();
        let token = sign(&header, &claims().to_string(), algorithm);
        assert_eq!(check(&public(), &token).await.is_ok(), algorithm == Algorithm::EdDsa);
    }
}

#[tokio::test]
async fn every_changed_byte_of_a_signature_is_refused() {
    for algorithm in Algorithm::ALL.iter().copied() {
        let trust = if algorithm.is_shared() { shared() } else { public() };
        let token = good(algorithm);
        let (message, signature) = token.rsplit_once('.').expect("parts");
        let signature = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        // RSA is slow to check; every eighth byte of it will do.
        let step = if algorithm == Algorithm::Rs256 { 8 } else { 1 };
        for at in (0..signature.len()).step_by(step) {
            let mut changed = signature.clone();
            changed[at] ^= 1 << (at % 8);
            let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(changed));
            assert_eq!(check(&trust, &token).await, Err(Refusal::Signature), "{algorithm} {at}");
        }
    }
}

#[tokio::test]
async fn key_sets_are_fetched_sparingly() {
    let unknown = sign(r#"{"alg":"EdDSA","kid":"new"}"#, &claims().to_string(), Algorithm::EdDsa);
    let known = good(Algorithm::EdDsa);
    let tenant = claimed_tenant(&known).expect("a tenant");
    let (cache, count) = jwks(Ok(key_set()));
    for _ in 0..100 {
        assert!(verify(&cache, &public(), tenant, &known, now()).await.is_ok());
        let refused = verify(&cache, &public(), tenant, &unknown, now()).await;
        assert_eq!(refused, Err(Refusal::UnknownKey));
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    let later = now().plus_micros(61 * SECOND_US);
    let _ = verify(&cache, &public(), tenant, &unknown, later).await;
    let _ = verify(&cache, &public(), tenant, &unknown, later).await;
    assert_eq!(count.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn an_issuer_that_is_down_is_survived_for_a_day() {
    let up = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let answering = up.clone();
    let fetch: Fetch = Arc::new(move |_| match answering.load(Ordering::Relaxed) {
        true => Ok(key_set().to_string().into_bytes()),
        false => Err("down".to_owned()),
    });
    let cache = Jwks::new(fetch);
    let key = async |after_us: i64| {
        let at = now().plus_micros(after_us);
        cache.key(URL, Algorithm::Es256, Some("ES256"), at).await.map(|_| ())
    };
    assert_eq!(key(0).await, Ok(()));
    up.store(false, Ordering::Relaxed);
    assert_eq!(key(DAY_US / 24).await, Ok(()));
    assert_eq!(key(DAY_US + 1).await, Err(Refusal::NoKeys("down".into())));
    up.store(true, Ordering::Relaxed);
    assert_eq!(key(DAY_US + 2 * 60 * SECOND_US).await, Ok(()));
}

#[tokio::test]
async fn unfit_keys_of_a_set_are_passed_over() {
    let weak =
        EncodingKey::from_rsa_pem(include_bytes!("testdata/rsa1024.test.pem")).expect("a key");
    let weak = Jwk::from_encoding_key(&weak, jsonwebtoken::Algorithm::RS256).expect("a public key");
    let change = |algorithm: Algorithm, name: &str, value: Value| {
        let mut jwk = jwk(algorithm, "k");
        jwk[name] = value;
        jwk
    };
    let cases = [
        (Algorithm::Rs256, serde_json::to_value(weak).expect("JSON")),
        (Algorithm::Rs256, change(Algorithm::Rs256, "use", "enc".into())),
        (Algorithm::Rs256, change(Algorithm::Rs256, "alg", "PS256".into())),
        (Algorithm::Rs256, change(Algorithm::Rs256, "key_ops", json!(["sign"]))),
        (Algorithm::Rs256, change(Algorithm::Rs256, "e", "AQ".into())),
        (Algorithm::Rs256, change(Algorithm::Rs256, "n", "".into())),
        (Algorithm::Es256, change(Algorithm::Es256, "crv", "P-384".into())),
        (Algorithm::Es256, change(Algorithm::Es256, "x", "AAAA".into())),
        (Algorithm::EdDsa, change(Algorithm::EdDsa, "crv", "Ed448".into())),
        (Algorithm::EdDsa, change(Algorithm::EdDsa, "kty", "oct".into())),
        (Algorithm::Es256, json!("not a key")),
    ];
    for (algorithm, key) in cases {
        let (cache, _) = jwks(Ok(json!({ "keys": [key] })));
        let found = cache.key(URL, algorithm, None, now()).await.map(|_| ());
        assert_eq!(found, Err(Refusal::UnknownKey), "{key}");
    }
    let twins = json!({ "keys": [jwk(Algorithm::EdDsa, "k"), jwk(Algorithm::EdDsa, "k")] });
    let (cache, _) = jwks(Ok(twins));
    assert!(cache.key(URL, Algorithm::EdDsa, Some("k"), now()).await.is_err());
    for not_a_set in [json!([]), json!({}), json!({ "keys": 7 }), json!("keys")] {
        let (cache, _) = jwks(Ok(not_a_set));
        assert!(matches!(
            cache.key(URL, Algorithm::EdDsa, None, now()).await,
            Err(Refusal::NoKeys(_))
        ));
    }
}

#[test]
fn only_public_addresses_are_fetched_from() {
    let refused = [
        "http://issuer.example/keys",
        "ftp://issuer.example/keys",
        "file:///etc/passwd",
        "https://",
        "/keys",
        "https://user@issuer.example/keys",
        "https://issuer.example@127.0.0.1/keys",
        "https://localhost/keys",
        "https://127.0.0.1/keys",
        "https://127.9.9.9/keys",
        "https://[::1]/keys",
        "https://10.0.0.1/keys",
        "https://172.16.0.1/keys",
        "https://192.168.1.1/keys",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/keys",
        "https://0.0.0.0/keys",
        "https://224.0.0.1/keys",
        "https://[fe80::1]/keys",
        "https://[fd00::1]/keys",
        "https://[::ffff:127.0.0.1]/keys",
        "https://[::ffff:10.0.0.1]/keys",
        "https://[64:ff9b::7f00:1]/keys",
        "https://[2002:7f00:1::]/keys",
        "https://[2001:0:7f00:1::]/keys",
        "https://[::]/keys",
    ];
    for url in refused {
        assert!(address::check(url, false).is_err(), "{url}");
    }
    for url in
        ["https://issuer.example/keys", "https://8.8.8.8/keys", "https://[2606:4700::1]:8443/k"]
    {
        assert!(address::check(url, false).is_ok(), "{url}");
    }
    assert!(address::check("http://127.0.0.1:8080/keys", true).is_ok());
    assert!(address::check("http://localhost:8080/keys", true).is_ok());
    assert!(address::check("http://10.0.0.1/keys", true).is_err());
    assert!(address::check("https://10.0.0.1/keys", true).is_err());
}

/// Answers each connection with the next of these texts, then stops.
fn answering(answers: Vec<String>) -> std::net::SocketAddr {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let at = listener.local_addr().expect("an address");
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else { return };
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    at
}

#[test]
fn fetching_has_bounds() {
    let ok = |length: usize, body: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    };
    let redirect =
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n";
    let large = "x".repeat(64 * 1024 + 1);
    let at = answering(vec![
        ok(2, "{}"),
        redirect.to_owned(),
        "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n".to_owned(),
        ok(large.len(), &large),
        "nonsense\r\n\r\n".to_owned(),
    ]);
    let url = format!("http://{at}/keys");
    // Not in development mode: refused before anything is connected to.
    assert!(fetcher(false)(&url).is_err());
    let fetch = fetcher(true);
    assert_eq!(fetch(&url), Ok(b"{}".to_vec()));
    for what in ["a redirect", "a failure", "too much", "nonsense"] {
        assert!(fetch(&url).is_err(), "{what}");
    }
    assert!(fetcher(false)("https://127.0.0.1.nip.example./keys").is_err());
}
