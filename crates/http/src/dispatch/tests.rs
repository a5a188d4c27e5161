//! The way of a request, over routes made for the purpose.

use axum::http::{Method, Request};
use serde_json::Value;

use super::*;
use crate::call::{Document, Okay, Path};
use crate::route::{Access, Doc, Scope};
use crate::testing;

const DOC: Doc = Doc { id: "test", summary: "", about: "", problems: &[] };

domain::shape! {
    /// One user.
    pub struct OneUser {
        /// Whose.
        "userId" user_id: domain::id::UserRef,
    }
}
domain::shape! {
    /// A body.
    pub struct Sample {
        /// A number.
        "n" n: u32,
    }
}

async fn boom(_: Call) -> Result<Okay<String>, Problem> {
    let none: Option<u8> = None;
    Ok(Okay::new(none.expect("the test wants a panic").to_string()))
}
async fn user(_: Call, Path(one): Path<OneUser>) -> Result<Okay<String>, Problem> {
    Ok(Okay::new(one.user_id.to_string()).version(3))
}
async fn body(_: Call, Document(sample): Document<Sample>) -> Result<Okay<Sample>, Problem> {
    Ok(Okay::new(sample))
}
async fn verb(_: Call) -> Result<Okay<String>, Problem> {
    Ok(Okay::new("verb".to_owned()))
}

fn table() -> Vec<Route> {
    let public = Access::Public;
    vec![
        Route::new(Method::GET, "/boom", public, DOC, boom),
        Route::new(Method::GET, "/users/{userId}", public, DOC, user),
        Route::new(Method::POST, "/body", public, DOC, body),
        Route::new(Method::POST, "/users/{userId}:wake", public, DOC, verb),
        Route::new(Method::GET, "/guarded", Access::Tenant(Scope::UsersRead), DOC, verb),
    ]
}

async fn ask(request: Request<Body>) -> (StatusCode, axum::http::HeaderMap, Value) {
    let router = crate::router::assemble(testing::app(), table());
    let response = router.oneshot(request).await.expect("infallible");
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.expect("a body").to_bytes();
    (parts.status, parts.headers, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

fn get(path: &str) -> Request<Body> {
    Request::get(path).body(Body::empty()).expect("a request")
}
fn post(path: &str, body: &str) -> Request<Body> {
    Request::post(path).body(Body::from(body.to_owned())).expect("a request")
}

#[tokio::test]
async fn a_panic_is_an_opaque_problem() {
    let (status, headers, body) = ask(get("/boom")).await;
    assert_eq!(status, 500);
    assert_eq!(headers["content-type"], "application/problem+json");
    assert_eq!(body["code"], "INTERNAL");
    assert_eq!(headers["request-id"], body["requestId"].as_str().expect("an id"));
    assert!(!body.to_string().contains("wants a panic"), "{body}");
}

#[tokio::test]
async fn only_declared_verbs_are_rewritten() {
    let cases = [
        (post("/users/ann:wake", ""), 200, "verb"),
        (get("/users/ann:wake"), 200, "ann:wake"),
        (get("/users/ann%3Awake"), 200, "ann:wake"),
        (get("/users/~wake"), 200, "~wake"),
        (get("/users/a%2Fb"), 200, "a/b"),
        (post("/users/ann:sleep", ""), 405, ""),
        (post("/users/ann/~wake", ""), 404, ""),
        (post("/users/:wake", ""), 405, ""),
        (get("/users/%00"), 404, ""),
        (get("/users/%ff"), 404, ""),
    ];
    for (request, expected, text) in cases {
        let asked = format!("{} {}", request.method(), request.uri());
        let (status, _, body) = ask(request).await;
        assert_eq!(status, expected, "{asked} {body}");
        if expected == 200 {
            assert_eq!(body, text, "{asked}");
        } else {
            let instance = body["instance"].as_str().expect("an instance");
            assert!(asked.ends_with(instance), "{asked} {instance}");
        }
    }
}

#[tokio::test]
async fn bodies_are_read_whole_or_refused() {
    let cases: [(&str, u16, &str); 8] = [
        (r#"{"n": 1}"#, 200, ""),
        (r#"{"n": 1"#, 400, "MALFORMED_JSON"),
        ("", 400, "MALFORMED_JSON"),
        ("\u{0}", 400, "MALFORMED_JSON"),
        (r#"{"n": 1, "n": 2}"#, 422, "INVALID_DOCUMENT"),
        (r#"{"n": 1, "m": 2}"#, 422, "INVALID_DOCUMENT"),
        (r#"{"n": 1e400}"#, 422, "INVALID_DOCUMENT"),
        (r#"{"n": NaN}"#, 400, "MALFORMED_JSON"),
    ];
    for (text, expected, code) in cases {
        let (status, _, body) = ask(post("/body", text)).await;
        assert_eq!(status, expected, "{text} {body}");
        if expected != 200 {
            assert_eq!(body["code"], code, "{text}");
        }
    }
    let deep = "[".repeat(100_000);
    assert_eq!(ask(post("/body", &deep)).await.0, 400);
    let (status, _, body) = ask(post("/body", &" ".repeat(crate::route::BODY_BYTES_MAX + 1))).await;
    assert_eq!((status.as_u16(), body["code"].as_str()), (413, Some("BODY_TOO_LARGE")));
    let mut xml = post("/body", "<n/>");
    xml.headers_mut().insert("content-type", HeaderValue::from_static("application/xml"));
    assert_eq!(ask(xml).await.0, 415);
}

#[tokio::test]
async fn methods_tags_and_credentials() {
    let (status, headers, body) = ask(post("/guarded", "")).await;
    assert_eq!((status.as_u16(), body["code"].as_str()), (405, Some("METHOD_NOT_ALLOWED")));
    assert_eq!(headers["allow"], "GET");

    let (status, headers, _) = ask(get("/guarded")).await;
    assert_eq!(status, 401);
    assert_eq!(headers["www-authenticate"], "Bearer realm=\"incent\"");

    let (_, headers, _) = ask(get("/users/ann")).await;
    assert_eq!(headers["etag"], "\"v3\"");
    for (asked, expected) in
        [("\"v3\"", 304), ("W/\"v3\"", 304), ("\"v1\", \"v3\"", 304), ("*", 304), ("\"v2\"", 200)]
    {
        let mut request = get("/users/ann");
        request.headers_mut().insert("if-none-match", HeaderValue::from_static(asked));
        assert_eq!(ask(request).await.0, expected, "{asked}");
    }
}
