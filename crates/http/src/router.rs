//! From the route table to a router.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter};

use crate::app::App;
use crate::dispatch::{self, Verbs};
use crate::route::Route;
use crate::routes;

/// The whole API as an axum router.
pub fn router(app: App) -> Router {
    router_with(app, Router::new())
}

/// The whole API and further routes, such as those of push. These check their callers themselves;
/// like all others their requests get an id, are counted, and survive a panic.
pub fn router_with(app: App, further: Router) -> Router {
    assemble(app, routes::table(), further)
}

/// The router of another table, for tests.
pub fn router_of(app: App, table: Vec<Route>) -> Router {
    assemble(app, table, Router::new())
}

fn assemble(app: App, table: Vec<Route>, further: Router) -> Router {
    let verbs = Arc::new(Verbs::of(&table));
    let mut by_path: BTreeMap<String, Vec<Arc<Route>>> = BTreeMap::new();
    for route in table {
        by_path.entry(route.internal_path()).or_default().push(Arc::new(route));
    }
    let mut routes = further.fallback(dispatch::no_route);
    for (path, operations) in by_path {
        routes = routes.route(&path, methods(&app, operations));
    }
    Router::new().fallback(move |request: Request| {
        dispatch::outermost(app.clone(), routes.clone(), verbs.clone(), request)
    })
}

fn methods(app: &App, operations: Vec<Arc<Route>>) -> MethodRouter {
    let names: Vec<&str> = operations.iter().map(|route| route.method.as_str()).collect();
    let allow = names.join(", ");
    let mut methods = MethodRouter::new()
        .fallback(move |request: Request| dispatch::wrong_method(allow.clone(), request));
    for route in operations {
        // The table holds only methods that axum knows; a test asks every route.
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        let app = app.clone();
        methods = methods
            .on(filter, move |request: Request| dispatch::run(app.clone(), route.clone(), request));
    }
    methods
}
