//! The OpenAPI 3.1 document, from the route table.

use axum::http::Method;
use domain::shape::{Described as _, Schemas};
use serde_json::{Map, Value, json};

use crate::problem::{Code, MEDIA_TYPE, ProblemDocument};
use crate::route::{Access, Route, Scope};
use crate::routes;

/// One operation of the document while it is described.
#[derive(Debug)]
pub struct Operation {
    fields: Map<String, Value>,
    parameters: Vec<Value>,
    responses: Map<String, Value>,
    problems: Vec<Code>,
}

impl Operation {
    /// An operation without parts and answers yet.
    pub fn new(route: &Route) -> Self {
        let doc = route.doc;
        let mut fields = Map::new();
        fields.insert("operationId".into(), doc.id.into());
        fields.insert("summary".into(), doc.summary.into());
        if !doc.about.is_empty() {
            fields.insert("description".into(), doc.about.into());
        }
        fields.insert("tags".into(), json!([tag(route)]));
        fields.insert("security".into(), security(route.access));
        let mut operation = Self {
            fields,
            parameters: Vec::new(),
            responses: Map::new(),
            problems: doc.problems.to_vec(),
        };
        operation.imply(route);
        operation
    }

    /// What the route's access and method imply.
    fn imply(&mut self, route: &Route) {
        if route.access == Access::EndUser {
            self.problems.push(Code::Unauthenticated);
        } else if route.access != Access::Public {
            self.problems.extend([Code::Unauthenticated, Code::Forbidden, Code::RateLimited]);
            if route.access != Access::Admin {
                self.problems.push(Code::TenantBusy);
                self.parameters.push(json!({
                    "name": "Incent-Tenant",
                    "in": "header",
                    "description": "For which tenant the platform admin acts.",
                    "schema": { "type": "string", "format": "uuid" },
                }));
            }
        }
        if route.method == Method::POST && route.access != Access::Public {
            self.problems.extend([Code::IdempotencyInProgress, Code::IdempotencyKeyReused]);
            self.parameters.push(json!({
                "name": "Idempotency-Key",
                "in": "header",
                "description": "The same key with the same body has one effect and one answer, for 24 hours.",
                "schema": { "type": "string", "minLength": 1, "maxLength": 255 },
            }));
        }
    }

    /// It takes a body of this schema.
    pub fn takes(&mut self, schema: Value) {
        let problems = [
            Code::MalformedJson,
            Code::InvalidDocument,
            Code::BodyTooLarge,
            Code::UnsupportedMediaType,
        ];
        self.problems.extend(problems);
        let content = json!({ "application/json": { "schema": schema } });
        self.fields.insert("requestBody".into(), json!({ "required": true, "content": content }));
    }

    /// It takes parameters, which are the properties of this schema.
    pub fn parameters(&mut self, place: &str, schema: Value) {
        self.problems.push(if place == "path" { Code::NotFound } else { Code::InvalidParameter });
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        let Value::Object(properties) = &schema["properties"] else { return };
        for (name, property) in properties {
            let mut property = property.clone();
            let description =
                property.as_object_mut().and_then(|fields| fields.remove("description"));
            let mut parameter = json!({
                "name": name,
                "in": place,
                "required": place == "path" || required.contains(&json!(name)),
                "schema": property,
            });
            if let Some(description) = description {
                parameter["description"] = description;
            }
            self.parameters.push(parameter);
        }
    }

    /// It answers with a document.
    pub fn answers(&mut self, status: u16, schema: Value) {
        let content = json!({ "application/json": { "schema": schema } });
        self.answer(status, content);
    }
    /// It answers without a body.
    pub fn answers_nothing(&mut self) {
        self.responses.insert("204".into(), json!({ "description": "Done" }));
    }
    /// It answers with text.
    pub fn answers_text(&mut self) {
        self.answer(200, json!({ "text/plain": { "schema": { "type": "string" } } }));
    }
    /// It answers with a stream of this media type.
    pub fn streams(&mut self, media_type: &str) {
        self.answer(200, json!({ media_type: { "schema": { "type": "string" } } }));
    }
    /// It goes on in another protocol.
    pub fn switches_protocol(&mut self, to: &str) {
        let description = format!("The connection is a {to} now");
        self.responses.insert("101".into(), json!({ "description": description }));
    }
    fn answer(&mut self, status: u16, content: Value) {
        let description = match status {
            201 => "Made",
            202 => "Taken, to be done",
            _ => "Done",
        };
        let answer = json!({ "description": description, "content": content });
        self.responses.insert(status.to_string(), answer);
    }

    fn finish(mut self) -> Value {
        self.problems.extend([Code::Internal, Code::Unavailable, Code::Overloaded]);
        let mut by_status: std::collections::BTreeMap<u16, Vec<Code>> =
            std::collections::BTreeMap::new();
        for code in self.problems {
            let codes = by_status.entry(code.status().as_u16()).or_default();
            if !codes.contains(&code) {
                codes.push(code);
            }
        }
        for (status, codes) in by_status {
            let lines: Vec<String> =
                codes.iter().map(|code| format!("`{}`: {}", code.as_str(), code.title())).collect();
            // A reference may have a description of its own (OpenAPI 3.1): the codes of this operation.
            let answer = json!({
                "$ref": "#/components/responses/Problem",
                "description": lines.join("\n\n"),
            });
            self.responses.insert(status.to_string(), answer);
        }
        self.fields.insert("parameters".into(), self.parameters.into());
        self.fields.insert("responses".into(), self.responses.into());
        self.fields.into()
    }
}

/// The resource that a path is about: the last fixed segment but the version.
fn tag(route: &Route) -> &'static str {
    if route.connect().is_some() {
        return "push";
    }
    let path = route.path;
    let before_verb = path.split(':').next().unwrap_or(path);
    let mut fixed = before_verb.split('/').filter(|s| !s.is_empty() && !s.starts_with('{'));
    fixed.rfind(|s| *s != "api" && *s != "v1").unwrap_or("server")
}

fn security(access: Access) -> Value {
    match access {
        Access::Public => json!([]),
        Access::Admin => json!([{ "platformAdmin": [] }]),
        Access::Tenant(scope) => json!([{ "apiKey": [scope] }, { "platformAdmin": [] }]),
        Access::TenantOrUser(scope) => {
            json!([{ "apiKey": [scope] }, { "platformAdmin": [] }, { "endUser": [] }])
        }
        Access::TenantOrService(scope) => {
            json!([{ "apiKey": [scope] }, { "platformAdmin": [] }, { "service": [] }])
        }
        Access::EndUser => json!([{ "endUser": [] }]),
    }
}

/// The whole document.
pub fn openapi() -> Value {
    let mut defs = Schemas::openapi();
    ProblemDocument::schema(&mut defs);
    let mut paths: Map<String, Value> = Map::new();
    for route in routes::table() {
        let operation = route.describe(&mut defs).finish();
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Incent",
            "version": env!("CARGO_PKG_VERSION"),
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
            "description": "Amounts are decimal strings, times are RFC 3339 in UTC, `userId` and \
                `eventId` are the tenant's own strings. Unknown fields are refused.",
        },
        "servers": [{ "url": "/" }],
        "paths": paths,
        "components": {
            "schemas": defs.into_definitions(),
            "responses": {
                "Problem": {
                    "description": "What went wrong",
                    "content": { MEDIA_TYPE: { "schema": { "$ref": "#/components/schemas/Problem" } } },
                },
            },
            "securitySchemes": schemes(),
        },
    })
}

fn schemes() -> Value {
    let scopes: Vec<String> = Scope::WORDS.iter().map(|word| format!("`{word}`")).collect();
    json!({
        "platformAdmin": {
            "type": "http",
            "scheme": "bearer",
            "description": "The platform admin's token. To act for a tenant, name it in the header `Incent-Tenant`.",
        },
        "service": {
            "type": "http",
            "scheme": "bearer",
            "description": "The token that the platform's own processes share, for what calculators decide by.",
        },
        "apiKey": {
            "type": "http",
            "scheme": "bearer",
            "description": format!("A tenant's API key (`ik_…`) with scopes among {}.", scopes.join(", ")),
        },
        "endUser": {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": "JWT",
            "description": "A user's token from the tenant's issuer, with the claims sub, tenant, aud = `incent-push` and exp.",
        },
    })
}
