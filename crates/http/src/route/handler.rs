//! Handlers are plain async functions over a [`Call`], the parts they take from it and what they
//! answer: `async fn handle(call: Call, Path(id): Path<OneCampaign>) -> Result<Okay<Campaign>, Problem>`. The
//! types in the signature are also what the OpenAPI document says, so the two cannot differ.

use std::future::Future;
use std::pin::Pin;

use axum::body::Body;
use axum::http::Response;
use domain::shape::Schemas;

use crate::call::{Answer, Call, Take};
use crate::openapi::Operation;
use crate::problem::Problem;

/// What a handler gives.
pub type HandlerFuture = Pin<Box<dyn Future<Output = Result<Response<Body>, Problem>> + Send>>;

/// A handler whose types have been forgotten.
pub trait Handle: Send + Sync {
    /// Writes the parts and the answer into the operation.
    fn describe(&self, operation: &mut Operation, defs: &mut Schemas);
    /// Takes the parts from the call and runs.
    fn run(&self, call: Call) -> HandlerFuture;
}

/// An async function that can serve a route. `Args` keeps the implementations for functions of one,
/// two, … arguments apart.
pub trait Handler<Args>: Clone + Send + Sync + 'static {
    /// As [`Handle::describe`].
    fn describe(operation: &mut Operation, defs: &mut Schemas);
    /// As [`Handle::run`].
    fn run(self, call: Call) -> HandlerFuture;
}

macro_rules! handlers {
    ($(($($part:ident $value:ident),*);)+) => {$(
        impl<F, Fut, A, $($part),*> Handler<(Call, $($part,)*)> for F
        where
            F: Fn(Call, $($part),*) -> Fut + Clone + Send + Sync + 'static,
            Fut: Future<Output = Result<A, Problem>> + Send + 'static,
            A: Answer,
            $($part: Take,)*
        {
            fn describe(operation: &mut Operation, defs: &mut Schemas) {
                $($part::describe(operation, defs);)*
                A::describe(operation, defs);
            }
            fn run(self, call: Call) -> HandlerFuture {
                Box::pin(async move {
                    $(let $value = $part::take(&call)?;)*
                    self(call, $($value),*).await?.into_response()
                })
            }
        }
    )+};
}
handlers! {
    ();
    (P1 one);
    (P1 one, P2 two);
    (P1 one, P2 two, P3 three);
}

struct Typed<Args, H> {
    handler: H,
    args: std::marker::PhantomData<fn(Args)>,
}

impl<Args, H: Handler<Args>> Handle for Typed<Args, H> {
    fn describe(&self, operation: &mut Operation, defs: &mut Schemas) {
        H::describe(operation, defs);
    }
    fn run(&self, call: Call) -> HandlerFuture {
        self.handler.clone().run(call)
    }
}

pub(super) fn boxed<Args: 'static, H: Handler<Args>>(handler: H) -> Box<dyn Handle> {
    Box::new(Typed { handler, args: std::marker::PhantomData })
}
