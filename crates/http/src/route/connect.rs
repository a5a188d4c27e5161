//! Routes that are no calls: a connection of push stays and is served by [`crate::push`].

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::extract::Request;
use axum::response::Response;

use crate::openapi::Operation;
use crate::push::Push;

/// The answer to a request for a connection.
pub type Connected = Pin<Box<dyn Future<Output = Response> + Send>>;

/// How a connection of push is opened and described.
#[derive(Clone, Copy)]
pub struct Connect {
    /// Checks who asks, and answers. The connection goes on after the answer.
    pub open: fn(Arc<Push>, Request) -> Connected,
    /// Writes its parameters and answers into the operation.
    pub describe: fn(&mut Operation),
}
