//! Every route of the API, with who may call it. To add one: write its file under [`crate::api`] and
//! a line here; the tests then ask for a row of it in the isolation matrix.

use axum::http::Method;

use crate::api::*;
use crate::push::{sse, upgrade};
use crate::route::Access::{Admin, Public, Tenant, TenantOrService, TenantOrUser};
use crate::route::Route;
use crate::route::Scope::*;

macro_rules! routes {
    ($($method:ident $path:literal, $access:expr => $($operation:ident)::+ $([$bytes:expr])?;)+) => {
        vec![$(
            Route::new(Method::$method, $path, $access, $($operation)::+::DOC, $($operation)::+::handle)
                $(.body_max($bytes))?
        ,)+]
    };
}

/// The table. In brackets: the largest body, where it is not the usual one.
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    let mut table = routes! {
        POST "/api/v1/events",       Tenant(EventsWrite) => events::send;
        POST "/api/v1/events:batch", Tenant(EventsWrite) => events::batch  [events::batch::BODY_BYTES_MAX];

        GET  "/api/v1/decisions",                 Tenant(DecisionsRead)        => decisions::explain;
        GET  "/api/v1/incentives",                Tenant(IncentivesRead)       => incentives::list;
        GET  "/api/v1/users",                     Tenant(UsersRead)            => users::list;
        GET  "/api/v1/users/{userId}",            Tenant(UsersRead)            => users::read;
        PUT  "/api/v1/users/{userId}",            Tenant(UsersWrite)           => users::put;
        GET  "/api/v1/users/{userId}/incentives", TenantOrUser(IncentivesRead) => users::incentives;
        GET  "/api/v1/users/{userId}/progress",   TenantOrUser(UsersRead)      => users::progress;

        POST "/api/v1/campaigns",                         Tenant(CampaignsWrite) => campaigns::create;
        GET  "/api/v1/campaigns/search",                  TenantOrService(CampaignsRead) => campaigns::search;
        GET  "/api/v1/campaigns/{campaignId}",            Tenant(CampaignsRead)  => campaigns::read;
        PUT  "/api/v1/campaigns/{campaignId}",            Tenant(CampaignsWrite) => campaigns::update;
        POST "/api/v1/campaigns/{campaignId}:activate",   Tenant(CampaignsWrite) => campaigns::activate;
        POST "/api/v1/campaigns/{campaignId}:pause",      Tenant(CampaignsWrite) => campaigns::pause;
        POST "/api/v1/campaigns/{campaignId}:end",        Tenant(CampaignsWrite) => campaigns::end;
        POST "/api/v1/campaigns/{campaignId}:simulate",   Tenant(CampaignsRead)  => campaigns::simulate;
        GET  "/api/v1/campaigns/{campaignId}/revisions",  Tenant(CampaignsRead)  => campaigns::revisions;
        GET  "/api/v1/tenants/{tenantId}/campaigns",      Tenant(CampaignsRead)  => campaigns::list;

        POST "/api/v1/cohorts",                      Tenant(CohortsWrite) => cohorts::create [cohorts::BODY_BYTES_MAX];
        GET  "/api/v1/cohorts/{cohortId}",           Tenant(CohortsRead)  => cohorts::read;
        PUT  "/api/v1/cohorts/{cohortId}",           Tenant(CohortsWrite) => cohorts::update [cohorts::BODY_BYTES_MAX];
        GET  "/api/v1/cohorts/{cohortId}/members",   Tenant(CohortsRead)  => cohorts::members;
        POST "/api/v1/cohorts/{cohortId}:recompute", Tenant(CohortsWrite) => cohorts::recompute;
        GET  "/api/v1/tenants/{tenantId}/cohorts",   Tenant(CohortsRead)  => cohorts::list;
        GET  "/api/v1/jobs/{jobId}",                 Tenant(TenantRead)   => jobs::read;

        GET  "/api/v1/dead-letters",                       Tenant(DeadLettersWrite) => dead_letters::list;
        GET  "/api/v1/dead-letters/{deadLetterId}/raw",    Tenant(DeadLettersWrite) => dead_letters::raw;
        POST "/api/v1/dead-letters/{deadLetterId}:replay", Tenant(DeadLettersWrite) => dead_letters::replay;
        GET  "/api/v1/audit",                              Tenant(AuditRead)        => audit::list;

        POST "/api/v1/tenants",                                   Admin                 => tenants::create;
        GET  "/api/v1/tenants",                                   Admin                 => tenants::list;
        GET  "/api/v1/tenants/{tenantId}",                        Tenant(TenantRead)    => tenants::read;
        PUT  "/api/v1/tenants/{tenantId}",                        Admin                 => tenants::update;
        POST "/api/v1/tenants/{tenantId}:startReplay",            Admin                 => tenants::start_replay;
        POST "/api/v1/tenants/{tenantId}:endReplay",              Admin                 => tenants::end_replay;
        GET  "/api/v1/tenants/{tenantId}/limits",                 Tenant(LimitsRead)    => limits::read;
        POST "/api/v1/tenants/{tenantId}/limits",                 Tenant(LimitsWrite)   => limits::set_tenant;
        POST "/api/v1/tenants/{tenantId}/user-limits",            Tenant(LimitsWrite)   => limits::set_user;
        GET  "/api/v1/tenants/{tenantId}/aggregates",             Tenant(IncentivesRead) => aggregates::sums;
        GET  "/api/v1/tenants/{tenantId}/leaderboards",           Tenant(IncentivesRead) => aggregates::leaders;
        GET  "/api/v1/tenants/{tenantId}/api-keys",               Tenant(KeysWrite)     => keys::list;
        POST "/api/v1/tenants/{tenantId}/api-keys",               Tenant(KeysWrite)     => keys::create;
        POST "/api/v1/tenants/{tenantId}/api-keys/{keyId}:revoke", Tenant(KeysWrite)    => keys::revoke;
        GET  "/api/v1/tenants/{tenantId}/push-auth",              Tenant(PushAuthWrite) => push_auth::read;
        PUT  "/api/v1/tenants/{tenantId}/push-auth",              Tenant(PushAuthWrite) => push_auth::put;

        GET  "/healthz",            Public => server::healthz;
        GET  "/readyz",             Public => server::readyz;
        GET  "/metrics",            Public => server::metrics;
        GET  "/openapi.json",       Public => server::openapi;
        GET  "/docs/errors",        Public => server::error_list;
        GET  "/docs/errors/{slug}", Public => server::error_page;
    };
    // Connections, which stay.
    table.extend([
        Route::connection("/ws",  upgrade::DOC, upgrade::CONNECT),
        Route::connection("/sse", sse::DOC,     sse::CONNECT),
    ]);
    table
}
