//! What handlers answer with.

use axum::body::Body;
use axum::http::header::{CONTENT_TYPE, ETAG, LOCATION};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use domain::shape::schema::ObjectSchema;
use domain::shape::{Described, Schemas};
use serde::Serialize;
use serde_json::{Value, json};
use store::control::Page;

use super::{Call, EntityTag};
use crate::openapi::Operation;
use crate::problem::Problem;

/// Something a handler may answer with.
pub trait Answer: Sized {
    /// Writes its status and schema into the operation.
    fn describe(operation: &mut Operation, defs: &mut Schemas);
    /// The response. Errors: it cannot be written as JSON, a defect.
    fn into_response(self) -> Result<Response<Body>, Problem>;
}

/// A JSON document with a status.
#[derive(Debug)]
pub struct Reply<T, const STATUS: u16> {
    document: T,
    status: u16,
    headers: Vec<(HeaderName, String)>,
    kept: Option<Value>,
}

/// 200.
pub type Okay<T> = Reply<T, 200>;
/// 201, with the address of what was made.
pub type Created<T> = Reply<T, 201>;
/// 202: taken, to be done.
pub type Accepted<T> = Reply<T, 202>;

impl<T, const STATUS: u16> Reply<T, STATUS> {
    /// Answers with this document.
    pub fn new(document: T) -> Self {
        Self { document, status: STATUS, headers: Vec::new(), kept: None }
    }
    /// The same with the entity tag of its version.
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        self.header(ETAG, EntityTag(version).to_string())
    }
    /// The same with its address.
    #[must_use]
    pub fn at(self, address: String) -> Self {
        self.header(LOCATION, address)
    }
    /// The same with another status than the usual one, for what was there already.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }
    /// The same with a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }
    /// The same, but a repetition of the request is answered with this body instead: for what is
    /// shown once.
    #[must_use]
    pub fn repeated_as(mut self, body: Value) -> Self {
        self.kept = Some(body);
        self
    }
    pub(super) fn document(&self) -> &T {
        &self.document
    }
    pub(super) fn code(&self) -> u16 {
        self.status
    }
    pub(super) fn kept_body(&self) -> Option<&Value> {
        self.kept.as_ref()
    }
    pub(super) fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl<T: Serialize + Described, const STATUS: u16> Answer for Reply<T, STATUS> {
    fn describe(operation: &mut Operation, defs: &mut Schemas) {
        operation.answers(STATUS, T::schema(defs));
    }
    fn into_response(self) -> Result<Response<Body>, Problem> {
        let mut bytes = serde_json::to_vec(&self.document).map_err(Problem::internal)?;
        // So that a terminal's prompt does not stick to it.
        bytes.push(b'\n');
        let mut response = Response::new(Body::from(bytes));
        *response.status_mut() = StatusCode::from_u16(self.status).map_err(Problem::internal)?;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            headers.insert(name, HeaderValue::try_from(value).map_err(Problem::internal)?);
        }
        Ok(response)
    }
}

/// A page of a list.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Listed<T> {
    /// What is on the page.
    pub items: Vec<T>,
    /// The token of the next page; `None` = this is the last one.
    pub next_page_token: Option<String>,
}

impl<T: Described> Described for Listed<T> {
    fn schema(defs: &mut Schemas) -> Value {
        let items = T::schema(defs);
        ObjectSchema::new("A page of a list.")
            .required("items", "What is on the page.", json!({ "type": "array", "items": items }))
            .required(
                "nextPageToken",
                "The token of the next page; null = this is the last one.",
                json!({ "type": ["string", "null"] }),
            )
            .finish()
    }
}

impl Call {
    /// The answer with a page of rows, each shown as `view` shows it.
    pub fn listed<R, K: Serialize, V>(
        &self,
        page: Page<R, K>,
        view: impl Fn(R) -> V,
    ) -> Result<Okay<Listed<V>>, Problem> {
        let next_page_token = match &page.next {
            None => None,
            Some(key) => {
                let key = serde_json::to_vec(key).map_err(Problem::internal)?;
                Some(self.next_page(&key))
            }
        };
        let items = page.items.into_iter().map(view).collect();
        Ok(Reply::new(Listed { items, next_page_token }))
    }
}

/// 204: done, nothing to say.
#[derive(Clone, Copy, Debug)]
pub struct Empty;

impl Answer for Empty {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers_nothing();
    }
    fn into_response(self) -> Result<Response<Body>, Problem> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        Ok(response)
    }
}

/// A response that is no JSON document, such as a page; not part of the OpenAPI document's schemas.
impl Answer for Response<Body> {
    fn describe(operation: &mut Operation, _: &mut Schemas) {
        operation.answers_text();
    }
    fn into_response(self) -> Result<Response<Body>, Problem> {
        Ok(self)
    }
}
