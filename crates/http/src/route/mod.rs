//! What a route is: the declaration from which come its handler's place in the router, the check of
//! who may call it, its part of the OpenAPI document, its label in the metrics and its row in the
//! isolation tests. A handler cannot be reached but through a [`Route`], and there is no [`Route`]
//! without an [`Access`].

mod access;
mod handler;

use axum::http::Method;

use crate::openapi::Operation;
pub use access::{Access, Scope};
pub use handler::{Handle, Handler, HandlerFuture};

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
    pub(crate) handle: Box<dyn Handle>,
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
        Self { method, path, access, doc, body_max, handle: handler::boxed(handler) }
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
        self.handle.describe(&mut operation, defs);
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
