//! `GET /api/v1/campaigns/search`: the campaigns in force that an action can move, or all that a
//! calculator decides by.

use axum::body::Body;
use axum::http::header::ETAG;
use axum::http::{HeaderValue, Response, StatusCode};
use domain::id::{ActionCode, TenantId};
use domain::shape::{Described as _, Fault, FaultCode, Faults, Schemas, schema};
use store::control::campaigns;

use super::Campaign;
use super::decision::{self, Configuration, Found};
use crate::call::{
    Answer, Call, Listed, Okay, PageSize, PageToken, Query, Reply, default_page_size, paged,
};
use crate::openapi::Operation;
use crate::problem::{Code, Part, Problem};
use crate::route::Doc;

domain::choice! {
    /// What is answered.
    pub enum View {
        /// A page of the campaigns in force that an action can move.
        Campaigns = "CAMPAIGNS",
        /// All of the tenant that decides, as one document of one `configVersion`, with its entity
        /// tag; not paged.
        Decision = "DECISION",
    }
}

domain::shape! {
    /// Which campaigns.
    pub struct SearchCampaigns {
        /// Whose; left out, the caller's own.
        "tenantId" tenant_id: Option<TenantId>,
        /// What is answered.
        "view" view: View = View::Campaigns,
        /// That this action can move; required in the view CAMPAIGNS, left out in the other.
        "action" action: Option<ActionCode>,
        /// Most items on the page.
        "pageSize" page_size: PageSize = default_page_size(),
        /// `nextPageToken` of the page before.
        "pageToken" page_token: Option<PageToken>,
    }
}
paged!(SearchCampaigns);

/// What it does.
pub const DOC: Doc = Doc {
    id: "searchCampaigns",
    summary: "Find the campaigns in force that an action can move, or all that decides",
    about: "Campaigns with a pattern are all in it; the rule tells whether the pattern fits. The \
            view DECISION is for the platform's own processes and its admin: the whole \
            configuration at one version, because a decision needs all of it. With If-None-Match \
            it answers 304 as long as the version is in force.",
    problems: &[Code::NotFound, Code::InvalidState],
};

/// Either view.
pub enum Searched {
    /// A page of campaigns.
    Page(Okay<Listed<Campaign>>),
    /// What decides.
    Decision(Okay<Configuration>),
    /// What decides is still what the caller has, by this entity tag.
    Unchanged(String),
}

impl Answer for Searched {
    fn describe(operation: &mut Operation, defs: &mut Schemas) {
        let views = [Listed::<Campaign>::schema(defs), Configuration::schema(defs)];
        operation.answers(200, schema::one_of(views));
    }
    fn into_response(self) -> Result<Response<Body>, Problem> {
        match self {
            Self::Page(page) => page.into_response(),
            Self::Decision(document) => document.into_response(),
            Self::Unchanged(tag) => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NOT_MODIFIED;
                let tag = HeaderValue::try_from(tag).map_err(Problem::internal)?;
                response.headers_mut().insert(ETAG, tag);
                Ok(response)
            }
        }
    }
}

/// Finds them.
pub async fn handle(call: Call, Query(query): Query<SearchCampaigns>) -> Result<Searched, Problem> {
    let tenant = call.tenant_named(query.tenant_id)?;
    let refused = |code, detail: &str| {
        Problem::invalid_parameters(Part::Query, &Faults::one(Fault::new("/action", code, detail)))
    };
    match (query.view, query.action.clone()) {
        (View::Campaigns, Some(action)) => {
            let page = call.page(&query)?;
            let page = call.read(move |sql| campaigns::search(sql, tenant, &action, page)).await?;
            Ok(Searched::Page(call.listed(page, Campaign::from)?))
        }
        (View::Campaigns, None) => Err(refused(FaultCode::Required, "is required")),
        (View::Decision, Some(_)) => {
            let detail = "means nothing in the view DECISION, which answers for all actions";
            Err(refused(FaultCode::NotAllowed, detail))
        }
        (View::Decision, None) => Ok(match decision::read(&call, tenant).await? {
            Found::Unchanged(tag) => Searched::Unchanged(tag),
            Found::Changed(document, tag) => {
                Searched::Decision(Reply::new(*document).header(ETAG, tag))
            }
        }),
    }
}
