//! What a route is: the declaration from which come its handler's place in the router, the check of
//! who may call it, its part of the OpenAPI document, its label in the metrics and its row in the
//! isolation tests. A handler cannot be reached but through a [`Route`], and there is no [`Route`]
//! without an [`Access`].

mod access;
mod connect;
mod handler;
mod service;

use axum::http::Method;

use crate::openapi::Operation;
pub use access::{Access, Scope};
pub use connect::{Connect, Connected};
pub use handler::{Handle, Handler, HandlerFuture};
pub use service::{Service, Services};

use domain::shape::Schemas;

/// What an operation's file says about it.
#[derive(Clone, Copy, Debug)]
pub struct Doc {
    /// Its id: camelCase, unique, stable.
    pub id: &'static str,
    /// What it does, in a few words.
    pub summary: &'static str,
    /// What else one should know, in sentences.
    pub about: &'static str,
    /// Problems beside those that its access and its parts imply.
    pub problems: &'static [crate::problem::Code],
}

/// One operation of the API.
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its documented path, such as `/api/v1/campaigns/{campaignId}:activate`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// What its file says about it.
    pub doc: Doc,
    /// Largest body it takes, bytes; 0 = it takes none.
    pub body_max: usize,
    pub(crate) serve: Serve,
}

/// What serves a route.
pub(crate) enum Serve {
    /// A call, with one answer.
    Call(Box<dyn Handle>),
    /// A connection of push, which stays.
    Connection(Connect),
}

/// Largest body of an ordinary operation, bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

impl Route {
    /// An operation.
    pub fn new<Args: 'static, H: Handler<Args>>(
        method: Method,
        path: &'static str,
        access: Access,
        doc: Doc,
        handler: H,
    ) -> Self {
        let body_max = if method == Method::GET { 0 } else { BODY_BYTES_MAX };
        Self { method, path, access, doc, body_max, serve: Serve::Call(handler::boxed(handler)) }
    }
    /// A connection of push, for end users. It checks their token itself, because browsers cannot
    /// show it where others do.
    pub fn connection(path: &'static str, doc: Doc, connect: Connect) -> Self {
        let (method, access, serve) = (Method::GET, Access::EndUser, Serve::Connection(connect));
        Self { method, path, access, doc, body_max: 0, serve }
    }
    /// What opens its connections, when it is one of push.
    pub fn connect(&self) -> Option<Connect> {
        match self.serve {
            Serve::Call(_) => None,
            Serve::Connection(connect) => Some(connect),
        }
    }
    /// Which component serves it; `None` when every process does.
    pub fn service(&self) -> Option<Service> {
        match self.serve {
            Serve::Call(_) => Service::of(&self.method, self.path),
            Serve::Connection(_) => Some(Service::Push),
        }
    }
    /// The same with a larger bound of its body, bytes.
    #[must_use]
    pub fn body_max(mut self, bytes: usize) -> Self {
        self.body_max = bytes;
        self
    }
    /// True when it changes something.
    pub fn changes(&self) -> bool {
        self.method != Method::GET
    }
    /// Its part of the OpenAPI document.
    pub fn describe(&self, defs: &mut Schemas) -> Operation {
        let mut operation = Operation::new(self);
        match &self.serve {
            Serve::Call(handle) => handle.describe(&mut operation, defs),
            Serve::Connection(connect) => (connect.describe)(&mut operation),
        }
        operation
    }
    /// The custom verb at the end of its path: `activate` in `…/{campaignId}:activate`.
    pub fn verb(&self) -> Option<(&'static str, &'static str)> {
        let last = self.path.rfind('/').unwrap_or(0);
        let colon = last + self.path[last..].rfind(':')?;
        Some((&self.path[..colon], &self.path[colon + 1..]))
    }
    /// The path as the router has it: a custom verb is a segment of its own there, because a
    /// segment cannot be part parameter, part text.
    pub fn internal_path(&self) -> String {
        match self.verb() {
            Some((before, verb)) => format!("{before}/~{verb}"),
            None => self.path.to_owned(),
        }
    }
}

impl std::fmt::Debug for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} ({})", self.method, self.path, self.doc.id)
    }
}
