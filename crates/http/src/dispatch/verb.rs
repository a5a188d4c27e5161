//! Custom verbs: `POST …/campaigns/{campaignId}:activate`.
//!
//! The router matches whole segments, so a verb is made a segment of its own before routing:
//! `…/{campaignId}/~activate`. Only where the whole path fits a declared route: a user called
//! `ann:activate` keeps that name in `PUT /api/v1/users/ann:activate`.

use axum::extract::Request;
use axum::http::{Extensions, Method, Uri};

use crate::route::Route;

/// The custom verbs of a route table.
#[derive(Debug, Default)]
pub struct Verbs(Vec<Template>);

#[derive(Debug)]
struct Template {
    method: Method,
    /// Segments before the verb; `None` = a parameter.
    segments: Vec<Option<&'static str>>,
    verb: &'static str,
}

/// Marks a request whose path was rewritten; holds the path as it was sent.
#[derive(Clone, Debug)]
pub struct CustomVerb(String);

impl Verbs {
    /// The verbs of these routes.
    pub fn of<'r>(routes: impl IntoIterator<Item = &'r Route>) -> Self {
        let template = |route: &Route| {
            let (before, verb) = route.verb()?;
            let fixed = |segment: &'static str| (!segment.starts_with('{')).then_some(segment);
            let segments = before.split('/').map(fixed).collect();
            Some(Template { method: route.method.clone(), segments, verb })
        };
        Self(routes.into_iter().filter_map(template).collect())
    }

    /// Rewrites the path of a request that fits one of them.
    pub fn rewrite(&self, request: &mut Request) {
        let path = request.uri().path();
        let Some((before, verb)) = path.rsplit_once(':').filter(|(_, verb)| !verb.contains('/'))
        else {
            return;
        };
        if !self.0.iter().any(|template| template.fits(request.method(), before, verb)) {
            return;
        }
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        let Ok(uri) = format!("{before}/~{verb}{query}").parse::<Uri>() else { return };
        let sent = CustomVerb(path.to_owned());
        *request.uri_mut() = uri;
        request.extensions_mut().insert(sent);
    }
}

impl Template {
    fn fits(&self, method: &Method, before: &str, verb: &str) -> bool {
        let mut segments = before.split('/');
        let same = |wanted: &Option<&str>| match (wanted, segments.next()) {
            (Some(fixed), Some(segment)) => *fixed == segment,
            (None, Some(segment)) => !segment.is_empty(),
            (_, None) => false,
        };
        self.verb == verb
            && self.method == *method
            && self.segments.iter().all(same)
            && segments.next().is_none()
    }
}

/// The path as the client sent it.
pub fn documented_path<'r>(path: &'r str, extensions: &'r Extensions) -> &'r str {
    extensions.get::<CustomVerb>().map_or(path, |sent| sent.0.as_str())
}
