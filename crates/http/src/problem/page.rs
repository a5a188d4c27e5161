//! A small page for each kind of problem, at the address that its `type` names.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Response};

use super::Code;

/// The page of one kind of problem, by its name in addresses; `None` when there is no such kind.
pub fn page(slug: &str) -> Option<Response<Body>> {
    let code = Code::from_slug(slug)?;
    let about: String = code.about().lines().fold(String::new(), |mut text, line| {
        // Writing to a String cannot fail.
        let _ = write!(text, "<p>{}</p>", escaped(line.trim()));
        text
    });
    let again = if code.retryable() {
        "The same request may succeed later."
    } else {
        "The same request will fail again until something is changed."
    };
    Some(html(&format!(
        "<h1>{title}</h1><p><code>{code}</code>, status {status}</p>{about}<p>{again}</p>\
         <p><a href=\"/docs/errors\">All kinds of problems</a></p>",
        title = escaped(code.title()),
        code = code.as_str(),
        status = code.status().as_u16(),
    )))
}

/// The list of all kinds of problems.
pub fn list() -> Response<Body> {
    let mut rows = String::new();
    for code in Code::ALL {
        let _ = write!(
            rows,
            "<tr><td>{status}</td><td><a href=\"{address}\"><code>{code}</code></a></td><td>{title}</td></tr>",
            status = code.status().as_u16(),
            address = code.address(),
            code = code.as_str(),
            title = escaped(code.title()),
        );
    }
    html(&format!("<h1>Problems</h1><table>{rows}</table>"))
}

fn html(body: &str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>Incent</title>{body}</html>\n"
    )));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
