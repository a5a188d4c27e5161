//! Every problem the API can answer with, in one table.

use axum::http::StatusCode;

macro_rules! codes {
    ($($(#[doc = $about:literal])+ $variant:ident = $code:literal, $status:ident, $retryable:literal, $title:literal;)+) => {
        /// What kind of problem it is. The codes are stable: programs may decide on them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[doc = $about])+ $variant,)+ }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            fn entry(self) -> Entry {
                match self { $(Self::$variant => Entry {
                    code: $code,
                    status: StatusCode::$status,
                    retryable: $retryable,
                    title: $title,
                    about: concat!($($about, "\n"),+),
                },)+ }
            }
        }
    };
}

struct Entry {
    code: &'static str,
    status: StatusCode,
    retryable: bool,
    title: &'static str,
    about: &'static str,
}

codes! {
    /// The body cannot be parsed as JSON. The detail names line and column.
    /// Check quotes, commas and the encoding, which must be UTF-8.
    MalformedJson = "MALFORMED_JSON", BAD_REQUEST, false, "The body is not JSON";
    /// A parameter in the path, the query or a header is missing, unknown or outside its range.
    /// The list of errors names each one.
    InvalidParameter = "INVALID_PARAMETER", BAD_REQUEST, false, "A parameter is not valid";
    /// The page token was altered, or belongs to another list, other filters or another tenant.
    /// Start again without it, and pass on each `nextPageToken` with the same filters.
    InvalidPageToken = "INVALID_PAGE_TOKEN", BAD_REQUEST, false, "The page token is not valid";
    /// The platform admin acts for a tenant here and has not said for which.
    /// Name the tenant in the header `Incent-Tenant`.
    TenantRequired = "TENANT_REQUIRED", BAD_REQUEST, false, "No tenant is named";
    /// There is no credential, or it is not valid: unknown, expired, revoked or malformed.
    /// Send `Authorization: Bearer` with an API key, the platform admin's token or a user's JWT.
    Unauthenticated = "UNAUTHENTICATED", UNAUTHORIZED, false, "No valid credential";
    /// The credential is valid but does not reach this far. The detail names the scope it needs.
    Forbidden = "FORBIDDEN", FORBIDDEN, false, "The credential does not allow this";
    /// There is no such thing, or it belongs to another tenant, which looks the same.
    NotFound = "NOT_FOUND", NOT_FOUND, false, "Not found";
    /// The address belongs to a role that this process does not have. Ask a process that has it.
    NotServedHere = "NOT_SERVED_HERE", NOT_FOUND, false, "Another process serves this";
    /// The path exists, but not with this method. The header `Allow` lists those that do.
    MethodNotAllowed = "METHOD_NOT_ALLOWED", METHOD_NOT_ALLOWED, false, "The method is not allowed";
    /// The body did not arrive in time. Send it again.
    RequestTimeout = "REQUEST_TIMEOUT", REQUEST_TIMEOUT, true, "The body came too slowly";
    /// Something with this name or id exists already.
    AlreadyExists = "ALREADY_EXISTS", CONFLICT, false, "It exists already";
    /// What is asked for cannot be done in the state the thing is in. The detail says why.
    InvalidState = "INVALID_STATE", CONFLICT, false, "Not possible in this state";
    /// The event's id was used before for an event with other content.
    /// Ids are for ever: give the new event an id of its own.
    IdReused = "ID_REUSED", CONFLICT, false, "The event id was used for another event";
    /// The tenant is being replayed, or is not: this kind of event is refused for now.
    WrongMode = "WRONG_MODE", CONFLICT, false, "The tenant takes no such events now";
    /// A request with the same idempotency key is still running. Try again in a moment.
    IdempotencyInProgress = "IDEMPOTENCY_IN_PROGRESS", CONFLICT, true, "The same request is still running";
    /// The thing was changed since you read it. Read it again and repeat your change.
    StaleVersion = "STALE_VERSION", PRECONDITION_FAILED, false, "It was changed meanwhile";
    /// The body is larger than this operation takes. The detail names the bound.
    BodyTooLarge = "BODY_TOO_LARGE", PAYLOAD_TOO_LARGE, false, "The body is too large";
    /// The body must be JSON: send `Content-Type: application/json`, without compression.
    UnsupportedMediaType = "UNSUPPORTED_MEDIA_TYPE", UNSUPPORTED_MEDIA_TYPE, false, "The body must be JSON";
    /// The body is JSON but not the document that is wanted.
    /// The list of errors has a JSON Pointer to each bad field and, where we know, how to mend it.
    InvalidDocument = "INVALID_DOCUMENT", UNPROCESSABLE_ENTITY, false, "The document is not valid";
    /// The idempotency key was used before with another body. Use a new key for a new request.
    IdempotencyKeyReused = "IDEMPOTENCY_KEY_REUSED", UNPROCESSABLE_ENTITY, false, "The idempotency key was used for another request";
    /// The address speaks WebSocket and the request does not ask for one. Use a WebSocket client, or
    /// the event stream at `/sse`.
    UpgradeRequired = "UPGRADE_REQUIRED", UPGRADE_REQUIRED, false, "This address speaks WebSocket";
    /// Too many requests with this credential. Wait as long as the header `Retry-After` says.
    RateLimited = "RATE_LIMITED", TOO_MANY_REQUESTS, true, "Too many requests";
    /// The tenant sent more events than one tenant may send in the time, all its credentials together.
    /// None of the request was taken. Wait as long as the header `Retry-After` says, then send it again.
    TenantRateLimited = "TENANT_RATE_LIMITED", TOO_MANY_REQUESTS, true, "Too many events of this tenant";
    /// More requests of this tenant are running than one tenant may have at a time.
    /// Wait for their answers, and send many events in one request.
    TenantBusy = "TENANT_BUSY", TOO_MANY_REQUESTS, true, "Too many requests of this tenant at a time";
    /// A defect on our side. The log has its cause under the request id.
    Internal = "INTERNAL", INTERNAL_SERVER_ERROR, true, "Something went wrong on our side";
    /// More requests are running than this server takes. Wait as long as `Retry-After` says.
    Overloaded = "OVERLOADED", SERVICE_UNAVAILABLE, true, "The server is busy";
    /// A part of the platform cannot be reached for the moment. Try again with growing pauses.
    Unavailable = "UNAVAILABLE", SERVICE_UNAVAILABLE, true, "Not available for the moment";
    /// The disk or its quota is full. Nothing that was answered is lost; the operator has to make room.
    StorageFull = "STORAGE_FULL", SERVICE_UNAVAILABLE, true, "No room is left to store anything";
}

impl Code {
    /// Its name on the wire.
    pub fn as_str(self) -> &'static str {
        self.entry().code
    }
    /// The status it is answered with.
    pub fn status(self) -> StatusCode {
        self.entry().status
    }
    /// True when the same request may succeed later.
    pub fn retryable(self) -> bool {
        self.entry().retryable
    }
    /// A short name for people.
    pub fn title(self) -> &'static str {
        self.entry().title
    }
    /// What it means and how to mend it.
    pub fn about(self) -> &'static str {
        self.entry().about
    }
    /// Its name in addresses: `NOT_FOUND` is `not-found`.
    pub fn slug(self) -> String {
        self.as_str().to_ascii_lowercase().replace('_', "-")
    }
    /// The `type` of its documents, an address on this server.
    pub fn address(self) -> String {
        format!("/docs/errors/{}", self.slug())
    }
    /// From its name in addresses.
    pub fn from_slug(slug: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.slug() == slug)
    }
}
