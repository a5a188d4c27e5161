//! What goes wrong, as RFC 9457 documents.
//!
//! A handler returns a [`Problem`]; the dispatcher adds the request's id and path and sends it.
//! Which code to choose: who has to act? 4xx the client (400 the request cannot be read, 422 it can
//! but its content will not do, 409 what is stored stands in the way), 5xx the operator. What a 5xx
//! has as its cause goes to the log under the request id and never into the body.

mod code;
pub mod page;

use axum::body::Body;
use axum::http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, Response};
use domain::shape::schema::ObjectSchema;
use domain::shape::{Described, Fault, FaultCode, Faults, JsonError, ReadError, Schemas, schema};
use engine::ports::{PortError, PortErrorKind};
use serde_json::{Map, Value, json};

pub use code::Code;

/// Media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// Where in the request a fault lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// In the body: the pointer is one into the document.
    Body,
    /// In the query: the pointer names the parameter.
    Query,
    /// In the path: the pointer names the parameter.
    Path,
    /// In the headers: the pointer names the header.
    Header,
}

impl Part {
    fn name(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Query => "query",
            Self::Path => "path",
            Self::Header => "header",
        }
    }
}

/// Something that went wrong with a request.
#[derive(Debug)]
pub struct Problem(Box<Facts>);

#[derive(Debug)]
struct Facts {
    code: Code,
    detail: String,
    faults: Vec<(Part, Fault)>,
    more: usize,
    retry_after: Option<u64>,
    allow: Option<String>,
    cause: Option<String>,
}

/// The request a problem is answered to.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    /// The request's id.
    pub request_id: &'a str,
    /// Its path, without the query.
    pub path: &'a str,
}

impl Problem {
    /// A problem of this kind; `detail` says what happened to this request, as a sentence.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self(Box::new(Facts {
            code,
            detail: detail.into(),
            faults: Vec::new(),
            more: 0,
            retry_after: None,
            allow: None,
            cause: None,
        }))
    }
    /// There is no such thing (or it is another tenant's).
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("There is no {what} here that you can see."))
    }
    /// A document with faults.
    pub fn invalid(faults: &Faults) -> Self {
        let detail = "The errors list each bad field and how to mend it.";
        Self::new(Code::InvalidDocument, detail).with_faults(Part::Body, faults)
    }
    /// A document with one fault.
    pub fn invalid_field(pointer: &str, code: FaultCode, detail: impl Into<String>) -> Self {
        Self::invalid(&Faults::one(Fault::new(pointer, code, detail)))
    }
    /// A parameter with a fault.
    pub fn invalid_parameter(part: Part, name: &str, detail: impl Into<String>) -> Self {
        let fault = Fault::new(&format!("/{name}"), FaultCode::Syntax, detail);
        Self::invalid_parameters(part, &Faults::one(fault))
    }
    /// Parameters with faults.
    pub fn invalid_parameters(part: Part, faults: &Faults) -> Self {
        let detail = format!("The errors list each bad parameter of the {}.", part.name());
        Self::new(Code::InvalidParameter, detail).with_faults(part, faults)
    }
    /// A defect on our side; the cause is logged and not told.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        let detail = "The request failed on our side. Tell the operator the request id.";
        let mut problem = Self::new(Code::Internal, detail);
        problem.0.cause = Some(cause.to_string());
        problem
    }
    /// A part of the platform that cannot be reached or has no room; the cause is logged.
    pub fn unavailable(code: Code, cause: impl std::fmt::Display) -> Self {
        let detail = match code {
            Code::StorageFull => {
                "There is no room to store it; nothing was changed. Send it again when the operator \
                 has made room."
            }
            _ => "Try again in a moment; nothing was changed.",
        };
        let mut problem = Self::new(code, detail);
        problem.0.retry_after = Some(1);
        problem.0.cause = Some(cause.to_string());
        problem
    }
    /// The same with the faults of a part of the request.
    #[must_use]
    pub fn with_faults(mut self, part: Part, faults: &Faults) -> Self {
        self.0.more += faults.more();
        self.0.faults.extend(faults.list().iter().map(|fault| (part, fault.clone())));
        self
    }
    /// The same with the time to wait, seconds.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.0.retry_after = Some(seconds);
        self
    }
    /// The same with the methods that the path has.
    #[must_use]
    pub fn allow(mut self, methods: String) -> Self {
        self.0.allow = Some(methods);
        self
    }
    /// What kind it is.
    pub fn code(&self) -> Code {
        self.0.code
    }
    /// Why, for the log; never told.
    pub fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }
    /// What happened, as a sentence.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// The document.
    pub fn document(&self, origin: Origin<'_>) -> Value {
        let mut document = self.brief();
        document.insert("instance".into(), origin.path.into());
        document.insert("requestId".into(), origin.request_id.into());
        Value::Object(document)
    }

    /// The document without what belongs to the request: for an item of a batch.
    pub fn brief(&self) -> Map<String, Value> {
        let code = self.0.code;
        let mut document = Map::new();
        document.insert("type".into(), code.address().into());
        document.insert("title".into(), code.title().into());
        document.insert("status".into(), code.status().as_u16().into());
        document.insert("detail".into(), self.0.detail.as_str().into());
        document.insert("code".into(), code.as_str().into());
        document.insert("retryable".into(), code.retryable().into());
        if !self.0.faults.is_empty() {
            let faults = self.0.faults.iter().map(|(part, fault)| fault_json(*part, fault));
            document.insert("errors".into(), faults.collect());
        }
        if self.0.more > 0 {
            document.insert("moreErrors".into(), self.0.more.into());
        }
        document
    }

    /// The answer. A defect on our side is logged with its cause: somebody must act.
    pub fn into_response(self, origin: Origin<'_>) -> Response<Body> {
        if self.0.code == Code::Internal {
            let cause = self.0.cause.as_deref().unwrap_or("no cause given");
            let (request_id, path, code) = (origin.request_id, origin.path, self.0.code.as_str());
            tracing::error!(request_id, path, code, cause, "a request failed");
        }
        let mut response = Response::new(Body::from(format!("{}\n", self.document(origin))));
        *response.status_mut() = self.0.code.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(seconds) = self.0.retry_after {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(Ok(allow)) = self.0.allow.as_deref().map(HeaderValue::from_str) {
            headers.insert(ALLOW, allow);
        }
        if self.0.code == Code::Unauthenticated {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"incent\""));
        }
        response
    }
}

fn fault_json(part: Part, fault: &Fault) -> Value {
    let mut json = json!({
        "pointer": fault.pointer,
        "code": fault.code,
        "detail": fault.detail,
        "hint": fault.hint,
    });
    if part != Part::Body {
        json["in"] = part.name().into();
    }
    json
}

impl From<JsonError> for Problem {
    fn from(error: JsonError) -> Self {
        Self::new(Code::MalformedJson, format!("The body is not JSON: {error}."))
    }
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        Self::invalid(&faults)
    }
}

impl From<ReadError> for Problem {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Json(error) => error.into(),
            ReadError::Faults(faults) => faults.into(),
        }
    }
}

impl From<PortError> for Problem {
    fn from(error: PortError) -> Self {
        match error.kind {
            PortErrorKind::Unavailable | PortErrorKind::Fenced => {
                Self::unavailable(Code::Unavailable, error)
            }
            PortErrorKind::Full => Self::unavailable(Code::StorageFull, error),
            PortErrorKind::Corrupt | PortErrorKind::Invalid => Self::internal(error),
        }
    }
}

/// The schema of a problem document.
#[derive(Debug)]
pub struct ProblemDocument;

impl Described for ProblemDocument {
    fn schema(defs: &mut Schemas) -> Value {
        defs.define_output::<Self>("Problem", |defs| {
            let codes: Vec<&str> = Code::ALL.iter().map(|code| code.as_str()).collect();
            let fault = Fault::schema(defs);
            let text = || json!({ "type": "string" });
            ObjectSchema::new("What went wrong (RFC 9457).")
                .required("type", "Address of a page about this kind of problem.", text())
                .required("title", "The kind of problem, for people.", text())
                .required("status", "The status of the answer.", json!({ "type": "integer" }))
                .required("detail", "What happened to this request.", text())
                .required("code", "The kind of problem, for programs.", schema::words(&codes))
                .required(
                    "retryable",
                    "True when the same request may succeed later.",
                    bool::schema(defs),
                )
                .optional("instance", "The path of the request.", text())
                .optional("requestId", "The request's id, also in the server's log.", text())
                .optional("errors", "Each bad field.", json!({ "type": "array", "items": fault }))
                .optional(
                    "moreErrors",
                    "Bad fields that are not listed.",
                    json!({ "type": "integer" }),
                )
                .finish()
        })
    }
}

/// An error's text as a sentence: with a capital and a full stop.
pub fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}
