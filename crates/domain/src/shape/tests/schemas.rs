//! The schemas that come out.

use serde_json::json;

use super::*;

crate::view! {
    /// What goes out.
    pub struct Statement {
        /// What there is.
        "balance" balance: Decimal,
        "history" history: Vec<Option<Decimal>>,
        "names" names: BTreeMap<String, String>,
        "source" source: Limits,
        "closedAt" closed_at: Option<Timestamp>,
    }
}

crate::shape! {
    /// What comes in and goes out.
    pub struct Limits {
        "most" most: Decimal,
    }
}

crate::shape! {
    struct Empty {}
}

#[test]
fn a_document_has_its_schema() {
    let schema = schema::document::<Small>("https://incent.example/small.json");
    let expected = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://incent.example/small.json",
        "$ref": "#/$defs/Small",
        "$defs": {
            "Small": {
                "type": "object",
                "description": "A small document, in two lines.\n\nSee `Goal`.",
                "properties": {
                    "name": {
                        "type": "string", "minLength": 1, "maxLength": 20, "description": "Its name.",
                    },
                    "kind": {"$ref": "#/$defs/Kind", "default": "QUEST"},
                    "days": {"type": ["integer", "null"], "minimum": 1, "maximum": 366},
                    "goals": {
                        "type": "array", "items": {"$ref": "#/$defs/Goal"}, "minItems": 1, "maxItems": 3,
                    },
                    "other": {
                        "anyOf": [{"$ref": "#/$defs/Small"}, {"type": "null"}],
                        "description": "Another one.",
                    },
                    "extra": {},
                },
                "required": ["name", "goals"],
                "additionalProperties": false,
            },
            "Kind": {
                "type": "string",
                "enum": ["SIMPLE", "QUEST"],
                "description":
                    "What kind of campaign it is.\n- SIMPLE: One event, one reward.\n- QUEST: Several steps.",
            },
            "Goal": {
                "description": "What a step wants.",
                "oneOf": [
                    {
                        "type": "object",
                        "properties": {"count": {
                            "type": "integer", "minimum": 1, "maximum": 1000,
                            "description": "So many events.",
                        }},
                        "required": ["count"],
                        "additionalProperties": false,
                    },
                    {
                        "type": "object",
                        "properties": {"sum": {
                            "type": ["string", "number"], "format": "decimal",
                            "pattern": r"^-?[0-9]+(\.[0-9]+)?$", "examples": ["12.50"],
                            "description": "So much in total.",
                        }},
                        "required": ["sum"],
                        "additionalProperties": false,
                    },
                ],
            },
        },
    });
    assert_eq!(schema, expected, "{schema:#}");
}

crate::shape! {
    /// A small document,
    /// in two lines.
    ///
    /// See [`Goal`].
    pub struct Small {
        /// Its name.
        "name" name: Text<1, 20>,
        "kind" kind: Kind = Kind::Quest,
        "days" days: Option<Whole<1, 366>>,
        "goals" goals: Many<Goal, 1, 3>,
        /// Another one.
        "other" other: Option<Box<Small>>,
        "extra" extra: Option<Value>,
    }
}

#[test]
fn what_goes_out_has_all_its_fields_and_decimals_as_text() {
    let mut defs = Schemas::openapi();
    let reference = Statement::schema(&mut defs);
    assert_eq!(reference, json!({"$ref": "#/components/schemas/Statement"}));
    assert!(defs.clashes().is_empty());
    let defs = defs.into_definitions();
    let statement = &defs["Statement"];
    let fields = ["balance", "history", "names", "source", "closedAt"];
    assert_eq!(statement["required"], json!(fields));
    assert_eq!(statement["properties"]["balance"]["type"], "string");
    assert_eq!(statement["properties"]["history"]["items"]["type"], json!(["string", "null"]));
    assert_eq!(statement["properties"]["names"]["additionalProperties"], json!({"type": "string"}));
    let most = &defs["Limits"]["properties"]["most"]["type"];
    assert_eq!(*most, json!(["string", "number"]), "what also comes in keeps its one schema");
    let statement = Statement {
        balance: Decimal::new(1250, 2),
        history: vec![None],
        names: BTreeMap::new(),
        source: Limits { most: Decimal::ONE },
        closed_at: None,
    };
    assert_eq!(
        serde_json::to_string(&statement).expect("it is JSON"),
        r#"{"balance":"12.50","history":[null],"names":{},"source":{"most":"1"},"closedAt":null}"#,
    );
}

#[test]
fn two_types_of_one_name_are_noticed() {
    mod other {
        crate::view! {
            pub struct Statement {
                "id" id: u32,
            }
        }
    }
    let mut defs = Schemas::openapi();
    Statement::schema(&mut defs);
    Statement::schema(&mut defs);
    assert!(defs.clashes().is_empty());
    other::Statement::schema(&mut defs);
    assert_eq!(defs.clashes().len(), 1);
    assert!(defs.clashes()[0].starts_with("Statement is both "), "{:?}", defs.clashes());
}

#[test]
fn a_document_without_fields_knows_none() {
    assert_eq!(read_json::<Empty>(b"{}"), Ok(Empty {}));
    assert_eq!(
        faults_of::<Empty>(r#"{"a": 1}"#),
        ["/a UNKNOWN_FIELD is not a known field (no fields are known here)"],
    );
}
