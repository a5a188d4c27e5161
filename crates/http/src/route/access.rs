//! Who may call a route.

domain::choice! {
    /// What an API key may do. A key has one or several of them.
    pub enum Scope {
        /// Read the tenant itself and its jobs.
        TenantRead = "tenant:read",
        /// Send events.
        EventsWrite = "events:write",
        /// Read decisions, with the reason for each campaign.
        DecisionsRead = "decisions:read",
        /// Read incentives.
        IncentivesRead = "incentives:read",
        /// Read users and their progress.
        UsersRead = "users:read",
        /// Set the attributes of users.
        UsersWrite = "users:write",
        /// Read campaigns and try them out.
        CampaignsRead = "campaigns:read",
        /// Make, change, activate and pause campaigns.
        CampaignsWrite = "campaigns:write",
        /// Read limits and their use.
        LimitsRead = "limits:read",
        /// Set limits.
        LimitsWrite = "limits:write",
        /// Read cohorts and their members.
        CohortsRead = "cohorts:read",
        /// Make and recompute cohorts.
        CohortsWrite = "cohorts:write",
        /// List, make and revoke API keys; a key can give away only scopes that it has itself.
        KeysWrite = "keys:write",
        /// Read and set how the tokens of end users are verified.
        PushAuthWrite = "push-auth:write",
        /// List, read and replay dead letters.
        DeadLettersWrite = "dead-letters:write",
        /// Read the audit log.
        AuditRead = "audit:read",
    }
}

/// Who may call a route. There is no default: each route names its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a credential.
    Public,
    /// The platform admin.
    Admin,
    /// An API key of the tenant with this scope, or the platform admin acting for the tenant.
    Tenant(Scope),
    /// As [`Access::Tenant`], or the end user whose id stands in the path.
    TenantOrUser(Scope),
    /// As [`Access::Tenant`], or another process of the platform, by the service credential, for any
    /// tenant.
    TenantOrService(Scope),
    /// An end user, by a token of the tenant's issuer, and nobody else.
    EndUser,
}

impl Access {
    /// The scope that an API key needs.
    pub fn scope(self) -> Option<Scope> {
        match self {
            Self::Public | Self::Admin | Self::EndUser => None,
            Self::Tenant(scope) | Self::TenantOrUser(scope) | Self::TenantOrService(scope) => {
                Some(scope)
            }
        }
    }
}
