//! One request on its way to its handler, the parts that handlers take from it ([`Path`], [`Query`],
//! [`Document`]) and what they answer with ([`Reply`]).

mod answer;
mod etag;
mod page;
mod store;
mod take;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use ::store::control::idempotency::RequestKey;
use axum::http::HeaderMap;
use axum::http::header::{ETAG, IF_MATCH};
use bytes::Bytes;
use domain::id::TenantId;

use crate::app::App;
use crate::auth::Caller;
use crate::dispatch::Standing;
use crate::problem::{Code, Problem};
use crate::route::Route;

pub use answer::{Accepted, Answer, Created, Empty, Listed, Okay, Reply};
pub use etag::{EntityTag, matches};
pub(crate) use page::paged;
pub use page::{PageQuery, PageSize, PageToken, default_page_size};
pub use take::{Document, Path, Query, Take, check_json, malformed};

/// What a request brings.
pub struct Sent {
    /// Parameters of the path, decoded.
    pub path: Vec<(Arc<str>, String)>,
    /// The query as sent.
    pub query: Option<String>,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, complete.
    pub body: Bytes,
}

/// A request that has passed the checks of its route.
#[derive(Clone)]
pub struct Call {
    /// The server.
    pub app: App,
    /// Who calls.
    pub caller: Caller,
    /// The request's id, also in its answer and the log.
    pub request_id: Arc<str>,
    /// The route it came by.
    pub route: Arc<Route>,
    /// What it brings.
    pub sent: Arc<Sent>,
    /// What it repeats when it is repeated, if it came with an idempotency key.
    pub repeat: Option<RequestKey>,
    /// How its tenant stands after the events that it sent; empty when it sent none.
    pub(crate) tenant_events: Arc<OnceLock<Standing>>,
    kept: Arc<AtomicBool>,
}

impl Call {
    /// A call that is not a repetition, as far as is known.
    pub(crate) fn new(
        app: App,
        caller: Caller,
        request_id: Arc<str>,
        route: Arc<Route>,
        sent: Sent,
    ) -> Self {
        let (sent, tenant_events, kept) = (Arc::new(sent), Arc::default(), Arc::default());
        Self { app, caller, request_id, route, sent, repeat: None, tenant_events, kept }
    }
    /// Notes that the answer is kept under the idempotency key.
    fn mark_kept(&self) {
        self.kept.store(true, Ordering::Relaxed);
    }
    /// True once the answer is kept under the idempotency key.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.load(Ordering::Relaxed)
    }

    /// The tenant on whose behalf the call is made. Errors: [`Code::TenantRequired`] when the
    /// platform admin has not named one.
    pub fn tenant(&self) -> Result<TenantId, Problem> {
        self.caller.tenant().ok_or_else(|| {
            let detail = match self.caller {
                Caller::Service => "Name the tenant in the parameter tenantId.",
                _ => "You act as the platform admin: name the tenant in the header Incent-Tenant.",
            };
            Problem::new(Code::TenantRequired, detail)
        })
    }

    /// The tenant that a body, path or query names: the caller's own, or any for the platform admin
    /// who has not bound himself to one, and for the platform's own processes. Errors: [`Code::NotFound`] for somebody else's.
    pub fn tenant_named(&self, named: Option<TenantId>) -> Result<TenantId, Problem> {
        match (named, self.caller.tenant()) {
            (Some(named), Some(own)) if named != own => Err(Problem::not_found("tenant")),
            (Some(named), None) if !self.caller.is_above_tenants() => {
                // A caller without a tenant who is no admin reaches no route that names one.
                Err(Problem::internal(format_args!("tenant {named} named by {:?}", self.caller)))
            }
            (Some(named), _) => Ok(named),
            (None, _) => self.tenant(),
        }
    }

    /// The version in `If-Match`, if the caller insists on one. `*` insists on none.
    /// Errors: a header that is not one of our entity tags is stale by definition.
    pub fn expected_version(&self) -> Result<Option<u32>, Problem> {
        let Some(header) = self.sent.headers.get(IF_MATCH) else { return Ok(None) };
        match header.to_str().ok().map(str::trim) {
            Some("*") => Ok(None),
            Some(text) => match EntityTag::parse(text) {
                Some(tag) => Ok(Some(tag.0)),
                None => Err(Problem::new(
                    Code::StaleVersion,
                    format!("If-Match takes one tag as the header {ETAG} gave it, such as \"v3\"."),
                )),
            },
            None => Err(Problem::new(Code::StaleVersion, "If-Match is not readable text.")),
        }
    }

    /// A header as text; `None` when it is absent or not text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.sent.headers.get(name)?.to_str().ok()
    }
}

/// An address with an id in it, percent-encoded.
pub fn address(before: &str, id: impl std::fmt::Display) -> String {
    let id = id.to_string();
    format!(
        "{before}/{}",
        percent_encoding::utf8_percent_encode(&id, percent_encoding::NON_ALPHANUMERIC)
    )
}
