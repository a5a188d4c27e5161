//! From the route table to a router.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::routing::{MethodFilter, MethodRouter};

use crate::app::App;
use crate::dispatch::{self, Verbs};
use crate::push::Push;
use crate::route::{Route, Service};
use crate::routes;

/// The whole API without push, as an axum router.
pub fn router(app: App) -> Router {
    assemble(app, routes::table(), None)
}

/// The whole API and push.
pub fn router_with(app: App, push: Arc<Push>) -> Router {
    assemble(app, routes::table(), Some(push))
}

/// The router of another table, for tests.
pub fn router_of(app: App, table: Vec<Route>) -> Router {
    assemble(app, table, None)
}

fn assemble(app: App, table: Vec<Route>, push: Option<Arc<Push>>) -> Router {
    let verbs = Arc::new(Verbs::of(&table));
    let mut by_path: BTreeMap<String, Vec<Arc<Route>>> = BTreeMap::new();
    for route in table {
        by_path.entry(route.internal_path()).or_default().push(Arc::new(route));
    }
    let mut routes = Router::new().fallback(dispatch::no_route);
    for (path, operations) in by_path {
        routes = routes.route(&path, methods(&app, push.as_ref(), operations));
    }
    Router::new().fallback(move |request: Request| {
        dispatch::outermost(app.clone(), routes.clone(), verbs.clone(), request)
    })
}

fn methods(app: &App, push: Option<&Arc<Push>>, operations: Vec<Arc<Route>>) -> MethodRouter {
    let names: Vec<&str> = operations.iter().map(|route| route.method.as_str()).collect();
    let allow = names.join(", ");
    let mut methods = MethodRouter::new()
        .fallback(move |request: Request| dispatch::wrong_method(allow.clone(), request));
    for route in operations {
        // The table holds only methods that axum knows; a test asks every route.
        let Ok(filter) = MethodFilter::try_from(route.method.clone()) else { continue };
        if let Some(service) = elsewhere(app, push, &route) {
            methods =
                methods.on(filter, move |request: Request| dispatch::not_served(service, request));
            continue;
        }
        if let (Some(connect), Some(push)) = (route.connect(), push) {
            let (push, id) = (push.clone(), route.doc.id);
            methods = methods.on(filter, move |request: Request| {
                dispatch::connect(push.clone(), connect, id, request)
            });
            continue;
        }
        let app = app.clone();
        methods = methods
            .on(filter, move |request: Request| dispatch::run(app.clone(), route.clone(), request));
    }
    methods
}

/// The service of a route that this process leaves to others.
fn elsewhere(app: &App, push: Option<&Arc<Push>>, route: &Route) -> Option<Service> {
    let has = |service: &Service| match service {
        Service::Push => push.is_some(),
        service => app.config.services.has(*service),
    };
    route.service().filter(|service| !has(service))
}
