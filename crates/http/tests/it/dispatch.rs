//! The way of a request, over routes made for the purpose.

use axum::http::Method;
use http::call::{Call, Document, Okay, Path};
use http::problem::Problem;
use http::route::{Access, BODY_BYTES_MAX, Doc, Route, Scope};

use crate::support::Server;

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
    panic!("the test wants a panic")
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

async fn server() -> Server {
    Server::with(|config| config, |app| http::router_of(app, table())).await
}

#[tokio::test]
async fn a_panic_is_an_opaque_problem() {
    let server = server().await;
    let answer = server.anon().get("/boom").await;
    let id = answer.header("request-id").to_owned();
    let body = answer.refused(500, "INTERNAL");
    assert_eq!(body["requestId"], id);
    assert!(!id.is_empty() && !body.to_string().contains("wants a panic"), "{body}");
}

#[tokio::test]
async fn only_declared_verbs_are_rewritten() {
    let server = server().await;
    let cases = [
        (Method::POST, "/users/ann:wake", 200, "verb"),
        (Method::GET, "/users/ann:wake", 200, "ann:wake"),
        (Method::GET, "/users/ann%3Awake", 200, "ann:wake"),
        (Method::GET, "/users/~wake", 200, "~wake"),
        (Method::GET, "/users/a%2Fb", 200, "a/b"),
        (Method::GET, "/users/%F0%9F%8E%81", 200, "\u{1f381}"),
        (Method::POST, "/users/ann:sleep", 405, ""),
        (Method::POST, "/users/ann/~wake", 404, ""),
        (Method::POST, "/users/:wake", 405, ""),
        (Method::GET, "/users/%00", 404, ""),
        (Method::GET, "/users/%ff", 404, ""),
        (Method::GET, "/users/", 404, ""),
    ];
    for (method, path, expected, text) in cases {
        let answer = server.anon().send(method, path, "").await;
        let body = answer.expect(expected);
        match expected {
            200 => assert_eq!(body, text, "{path}"),
            _ => assert_eq!(body["instance"], path, "{body}"),
        }
    }
}

#[tokio::test]
async fn bodies_are_read_whole_or_refused() {
    let server = server().await;
    let deep = "[".repeat(100_000);
    let deep_object = format!("{}{}", r#"{"n":"#.repeat(200), "}".repeat(200));
    let long = " ".repeat(BODY_BYTES_MAX + 1);
    let cases: [(&str, u16, &str); 14] = [
        (r#"{"n": 1}"#, 200, ""),
        (r#"{"n": 1"#, 400, "MALFORMED_JSON"),
        ("", 400, "MALFORMED_JSON"),
        ("\u{0}", 400, "MALFORMED_JSON"),
        ("{'n': 1}", 400, "MALFORMED_JSON"),
        (r#"{"n": NaN}"#, 400, "MALFORMED_JSON"),
        (r#"{"n": 1} {"n": 2}"#, 400, "MALFORMED_JSON"),
        (&deep, 400, "MALFORMED_JSON"),
        (&deep_object, 400, "MALFORMED_JSON"),
        (r#"{"n": 1, "n": 2}"#, 422, "INVALID_DOCUMENT"),
        (r#"{"n": 1, "m": 2}"#, 422, "INVALID_DOCUMENT"),
        (r#"{"n": 1e400}"#, 422, "INVALID_DOCUMENT"),
        ("[]", 422, "INVALID_DOCUMENT"),
        (&long, 413, "BODY_TOO_LARGE"),
    ];
    for (text, status, code) in cases {
        let answer = server.anon().send(Method::POST, "/body", text.to_owned()).await;
        match status {
            200 => drop(answer.expect(200)),
            _ => drop(answer.refused(status, code)),
        }
    }
    let invalid_utf8 = server.anon().send(Method::POST, "/body", vec![b'"', 0xff, b'"']).await;
    invalid_utf8.refused(400, "MALFORMED_JSON");
    for (name, value) in [("content-type", "application/xml"), ("content-encoding", "gzip")] {
        let answer = server.anon().header(name, value).send(Method::POST, "/body", "{}").await;
        answer.refused(415, "UNSUPPORTED_MEDIA_TYPE");
    }
}

#[tokio::test]
async fn methods_and_tags() {
    let server = server().await;
    let answer = server.anon().send(Method::POST, "/guarded", "").await;
    assert_eq!(answer.header("allow"), "GET");
    answer.refused(405, "METHOD_NOT_ALLOWED");
    let answer = server.anon().get("/users/ann").await;
    assert_eq!(answer.header("etag"), "\"v3\"");
    let cases =
        [("\"v3\"", 304), ("W/\"v3\"", 304), ("\"v1\", \"v3\"", 304), ("*", 304), ("\"v2\"", 200)];
    for (asked, status) in cases {
        let answer = server.anon().header("if-none-match", asked).get("/users/ann").await;
        assert_eq!(answer.status, status, "{asked}");
        assert_eq!(answer.text.is_empty(), status == 304);
    }
}

#[tokio::test]
async fn credentials_must_be_well_formed() {
    let server = server().await;
    let answer = server.anon().get("/guarded").await;
    assert_eq!(answer.header("www-authenticate"), "Bearer realm=\"incent\"");
    answer.refused(401, "UNAUTHENTICATED");
    let header = |value: &str| server.anon().header("authorization", value);
    for value in [
        "",
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "ik_1_2",
        "Bearer ik_1_2",
        "Bearer a b",
        "Bearer a.b.c",
    ] {
        header(value).get("/guarded").await.refused(401, "UNAUTHENTICATED");
    }
    let twice = server.admin().header("authorization", "Bearer x").get("/guarded").await;
    twice.refused(401, "UNAUTHENTICATED");
    server.admin().get("/guarded").await.expect(200);
    server
        .anon()
        .header("authorization", &format!("bearer {}", crate::support::ADMIN))
        .get("/guarded")
        .await
        .expect(200);
}
