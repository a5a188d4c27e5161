//! Which column becomes which part of an event.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;

use csv::StringRecord;
use domain::id::{ActionCode, EventId, UserRef};
use domain::shape::{Text, suggest};
use domain::time::Zone;
use rust_decimal::Decimal;
use serde_json::Value;

use super::record::{Fields, Record, text_of};
use super::time::TimeFormat;
use super::{Event, Kind};
use crate::config::document;
use crate::failure::{Failure, Outcome};

/// The column that a reject file adds: rows that were mended keep the ids of their first lines.
pub const REJECTED_LINE: &str = "rejected_line";
/// The column of a reject file with the reason.
pub const REJECTED_WHY: &str = "rejected_why";

/// Flags of the mapping. JSON lines need none when they are events as the REST API takes them.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(skip)]
#[command(next_help_heading = "Columns")]
pub struct Flags {
    /// File with the mapping (YAML or JSON); flags win over it
    #[arg(long, value_name = "FILE")]
    pub map: Option<PathBuf>,
    /// Column of the user
    #[arg(long, value_name = "COL")]
    pub user: Option<String>,
    /// Column of the time
    #[arg(long, value_name = "COL")]
    pub time: Option<String>,
    /// auto, unix, unix-ms, or a pattern such as %d/%m/%Y
    #[arg(long, value_name = "FORMAT")]
    pub time_format: Option<String>,
    /// Zone of times that name none [default: UTC]
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// The action of every row
    #[arg(long, value_name = "ACTION", conflicts_with = "action_column")]
    pub action: Option<String>,
    /// Column of the action
    #[arg(long, value_name = "COL")]
    pub action_column: Option<String>,
    /// Column of the event id, columns joined as a+b, or the word line
    #[arg(long, value_name = "RULE")]
    pub event_id: Option<String>,
    /// Put before every event id
    #[arg(long, value_name = "TEXT")]
    pub event_id_prefix: Option<String>,
    /// A field of the payload: NAME=COL:TYPE or COL:TYPE, with text, number, bool or json
    #[arg(long, value_name = "FIELD")]
    pub payload: Vec<String>,
    /// Column that holds the whole payload as a JSON object
    #[arg(long, value_name = "COL")]
    pub payload_column: Option<String>,
}

domain::shape! {
    /// How the columns of a file become events.
    pub struct MappingFile {
        /// Column of the user.
        "user" user: Option<Text<1, 200>>,
        /// Column of the time.
        "time" time: Option<Text<1, 200>>,
        /// `auto`, `unix`, `unix-ms`, or a pattern such as `%d/%m/%Y`.
        "timeFormat" time_format: Option<Text<1, 100>>,
        /// Zone of times that name none; UTC when left out.
        "timeZone" time_zone: Option<Zone>,
        /// The action of every row.
        "action" action: Option<Text<1, 64>>,
        /// Column of the action.
        "actionColumn" action_column: Option<Text<1, 200>>,
        /// Column of the event id, columns joined as `a+b`, or the word `line`.
        "eventId" event_id: Option<Text<1, 500>>,
        /// Put before every event id.
        "eventIdPrefix" event_id_prefix: Option<Text<1, 64>>,
        /// Fields of the payload: name to `column:type`.
        "payload" payload: BTreeMap<String, String> = BTreeMap::new(),
        /// Column that holds the whole payload as a JSON object.
        "payloadColumn" payload_column: Option<Text<1, 200>>,
    }
}

/// What a payload field's text is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FieldType {
    Text,
    Number,
    Bool,
    Json,
}

/// Where the action comes from.
#[derive(Clone, Debug, PartialEq)]
enum ActionSource {
    Always(ActionCode),
    Column(String),
}

/// Where the event id comes from.
#[derive(Clone, Debug, PartialEq)]
enum IdRule {
    Line,
    Columns(Vec<String>),
}

/// A mapping that is complete.
#[derive(Clone, Debug, PartialEq)]
pub struct Mapping {
    user: String,
    time: String,
    time_format: TimeFormat,
    zone: Zone,
    action: ActionSource,
    id: IdRule,
    id_prefix: String,
    fields: BTreeMap<String, (String, FieldType)>,
    payload_column: Option<String>,
}

impl Mapping {
    /// From the flags and the file they may name. Errors: something is missing or unreadable.
    pub fn resolve(flags: Flags, kind: Kind) -> Outcome<Self> {
        let empty = Value::Object(serde_json::Map::new());
        let file: MappingFile = match &flags.map {
            Some(path) => document::read(path)?,
            // Nothing is required in it.
            None => domain::shape::read(&empty).map_err(|e| Failure::usage(e.to_string()))?,
        };
        // JSON lines are taken for events as the REST API takes them, unless told otherwise.
        let own = |name: &str| (kind == Kind::Jsonl).then(|| name.to_owned());
        let pick = |flag: Option<String>, file: Option<String>| flag.or(file);
        let missing = |what: &str, flag: &str| {
            Failure::usage(format!("which column holds the {what}?"))
                .mend(format!("name it with {flag}"))
        };
        let user = pick(flags.user, text(file.user)).or_else(|| own("userId"));
        let time = pick(flags.time, text(file.time)).or_else(|| own("eventTs"));
        let format = pick(flags.time_format, text(file.time_format));
        let zone = match flags.time_zone {
            Some(name) => Zone::named(&name).map_err(|e| Failure::usage(e.to_string()))?,
            None => file.time_zone.unwrap_or_else(Zone::utc),
        };
        let action = action_source(
            (flags.action, flags.action_column),
            (text(file.action), text(file.action_column)),
            own("action"),
        )?;
        let id = pick(flags.event_id, text(file.event_id)).or_else(|| own("eventId"));
        let fields = if flags.payload.is_empty() {
            file.payload
                .iter()
                .map(|(name, spec)| field(Some(name), spec))
                .collect::<Outcome<_>>()?
        } else {
            flags.payload.iter().map(|spec| flag_field(spec)).collect::<Outcome<_>>()?
        };
        let whole = pick(flags.payload_column, text(file.payload_column));
        let untold = whole.is_none() && BTreeMap::is_empty(&fields);
        Ok(Self {
            user: user.ok_or_else(|| missing("user", "--user COL"))?,
            time: time.ok_or_else(|| missing("time", "--time COL"))?,
            time_format: TimeFormat::parse(format.as_deref().unwrap_or("auto")).map_err(Failure::usage)?,
            zone,
            action,
            id: id_rule(&id.ok_or_else(|| {
                missing("event id", "--event-id COL").why("an event's id keeps it from counting twice")
                    .mend("name a column, columns as --event-id a+b, or take the line's number with --event-id line")
            })?),
            id_prefix: pick(flags.event_id_prefix, text(file.event_id_prefix)).unwrap_or_default(),
            fields,
            payload_column: if untold { own("payload") } else { whole },
        })
    }
}

fn text<const MIN: usize, const MAX: usize>(value: Option<Text<MIN, MAX>>) -> Option<String> {
    value.map(Text::into_string)
}

fn action_source(
    flags: (Option<String>, Option<String>),
    file: (Option<String>, Option<String>),
    own: Option<String>,
) -> Outcome<ActionSource> {
    let always = |code: String| {
        ActionCode::new(&code)
            .map(ActionSource::Always)
            .map_err(|why| Failure::usage(format!("the action {code:?} {why}")))
    };
    match (flags, file) {
        ((Some(code), _), _) | ((None, None), (Some(code), None)) => always(code),
        ((None, Some(column)), _) | ((None, None), (None, Some(column))) => {
            Ok(ActionSource::Column(column))
        }
        ((None, None), (Some(_), Some(_))) => {
            Err(Failure::usage("the mapping names both action and actionColumn").mend("keep one"))
        }
        ((None, None), (None, None)) => own.map(ActionSource::Column).ok_or_else(|| {
            Failure::usage("which action are these events?")
                .mend("give --action purchase, or the column that says it with --action-column COL")
        }),
    }
}

fn id_rule(text: &str) -> IdRule {
    if text == "line" {
        IdRule::Line
    } else {
        IdRule::Columns(text.split('+').map(|c| c.trim().to_owned()).collect())
    }
}

/// `NAME=COL:TYPE` or `COL:TYPE`.
fn flag_field(spec: &str) -> Outcome<(String, (String, FieldType))> {
    match spec.split_once('=') {
        Some((name, rest)) => field(Some(name), rest),
        None => field(None, spec),
    }
}

fn field(name: Option<&str>, spec: &str) -> Outcome<(String, (String, FieldType))> {
    let (column, kind) = match spec.rsplit_once(':') {
        Some((column, "text")) => (column, FieldType::Text),
        Some((column, "number")) => (column, FieldType::Number),
        Some((column, "bool")) => (column, FieldType::Bool),
        Some((column, "json")) => (column, FieldType::Json),
        Some((_, other)) => {
            let near = suggest(other, ["text", "number", "bool", "json"]);
            let near = near.map(|n| format!("; did you mean {n}?")).unwrap_or_default();
            return Err(Failure::usage(format!("{other:?} is no type of a field{near}"))
                .mend("write NAME=COL:number, with text, number, bool or json"));
        }
        None => (spec, FieldType::Text),
    };
    Ok((name.unwrap_or(column).to_owned(), (column.to_owned(), kind)))
}

/// A mapping fitted to the columns of a file.
pub struct Plan {
    mapping: Mapping,
    /// Places of the columns in a CSV row.
    columns: BTreeMap<String, usize>,
    has_rejected_line: bool,
}

impl Plan {
    /// Fits a mapping to the headings. Errors: a column that is not there.
    pub fn new(mapping: &Mapping, kind: Kind, headings: &StringRecord) -> Outcome<Self> {
        let mut columns = BTreeMap::new();
        for name in mapping.columns() {
            let found = headings.iter().position(|heading| heading == name);
            let index = match (found, kind) {
                (Some(index), _) => index,
                (None, Kind::Jsonl) => 0,
                (None, Kind::Csv) => return Err(no_column(name, headings)),
            };
            columns.insert(name.to_owned(), index);
        }
        let rejected = headings.iter().position(|heading| heading == REJECTED_LINE);
        if let Some(index) = rejected {
            columns.insert(REJECTED_LINE.to_owned(), index);
        }
        Ok(Self { mapping: mapping.clone(), columns, has_rejected_line: rejected.is_some() })
    }

    /// The event of a row. Errors: why it is none.
    pub fn event(&self, record: &Record, kind: Kind) -> Result<Event, String> {
        let fields = if kind == Kind::Jsonl { record.fields()? } else { Fields::new() };
        let row = Row { plan: self, record, fields, kind };
        let map = &self.mapping;
        let time = row.need(&map.time)?;
        let event_ts = map
            .time_format
            .read(&time, &map.zone)
            .map_err(|why| format!("the time in {:?}: {why}", map.time))?;
        let user = row.need(&map.user)?;
        let user_id =
            UserRef::new(&user).map_err(|why| format!("the user in {:?} {why}", map.user))?;
        let action = match &map.action {
            ActionSource::Always(action) => action.clone(),
            ActionSource::Column(column) => ActionCode::new(&row.need(column)?)
                .map_err(|why| format!("the action in {column:?} {why}"))?,
        };
        let id = self.event_id(&row)?;
        let event_id = EventId::new(&id).map_err(|why| format!("the event id {id:?} {why}"))?;
        Ok(Event { event_id, user_id, action, event_ts, payload: self.payload(&row)? })
    }

    fn event_id(&self, row: &Row<'_>) -> Result<String, String> {
        let rest = match &self.mapping.id {
            IdRule::Line if self.has_rejected_line => row.need(REJECTED_LINE)?.into_owned(),
            IdRule::Line => row.record.line.to_string(),
            IdRule::Columns(columns) => {
                let parts = columns.iter().map(|column| row.need(column));
                parts.collect::<Result<Vec<_>, _>>()?.join("-")
            }
        };
        Ok(format!("{}{rest}", self.mapping.id_prefix))
    }

    fn payload(&self, row: &Row<'_>) -> Result<String, String> {
        if let Some(column) = &self.mapping.payload_column {
            let Some(text) = row.get(column) else { return Ok("{}".to_owned()) };
            let object: Result<Fields<'_>, _> = serde_json::from_str(&text);
            return match object {
                Ok(_) => Ok(text.into_owned()),
                Err(e) => Err(format!("the payload in {column:?} is not a JSON object: {e}")),
            };
        }
        let mut payload = String::from("{");
        for (name, (column, kind)) in &self.mapping.fields {
            // An empty cell is a field that is missing, which rules treat as unknown.
            let Some(text) = row.get(column) else { continue };
            if payload.len() > 1 {
                payload.push(',');
            }
            payload.push_str(&Value::from(name.as_str()).to_string());
            payload.push(':');
            let value = json_value(&text, *kind);
            payload.push_str(&value.map_err(|why| format!("{text:?} in {column:?} {why}"))?);
        }
        payload.push('}');
        Ok(payload)
    }
}

impl Mapping {
    fn columns(&self) -> impl Iterator<Item = &str> {
        let action = match &self.action {
            ActionSource::Column(column) => Some(column.as_str()),
            ActionSource::Always(_) => None,
        };
        let ids: &[String] = match &self.id {
            IdRule::Columns(columns) => columns,
            IdRule::Line => &[],
        };
        [self.user.as_str(), self.time.as_str()]
            .into_iter()
            .chain(action)
            .chain(ids.iter().map(String::as_str))
            .chain(self.payload_column.as_deref())
            .chain(self.fields.values().map(|(column, _)| column.as_str()))
    }
}

struct Row<'a> {
    plan: &'a Plan,
    record: &'a Record,
    fields: Fields<'a>,
    kind: Kind,
}

impl Row<'_> {
    fn get(&self, name: &str) -> Option<Cow<'_, str>> {
        match self.kind {
            Kind::Jsonl => self.fields.get(name).and_then(|value| text_of(value)),
            Kind::Csv => {
                let index = self.plan.columns.get(name)?;
                self.record.cell(*index).map(Cow::Borrowed)
            }
        }
    }
    fn need(&self, name: &str) -> Result<Cow<'_, str>, String> {
        self.get(name).ok_or_else(|| format!("{name:?} is empty"))
    }
}

fn json_value(text: &str, kind: FieldType) -> Result<String, String> {
    match kind {
        FieldType::Text => Ok(Value::from(text).to_string()),
        FieldType::Number => match text.parse::<Decimal>() {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err("is not a number; write it as 1234.50".to_owned()),
        },
        FieldType::Bool => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "y" => Ok("true".to_owned()),
            "false" | "0" | "no" | "n" => Ok("false".to_owned()),
            _ => Err("is neither true nor false".to_owned()),
        },
        FieldType::Json => match serde_json::from_str::<serde::de::IgnoredAny>(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(e) => Err(format!("is not JSON: {e}")),
        },
    }
}

fn no_column(name: &str, headings: &StringRecord) -> Failure {
    let near = suggest(name, headings.iter());
    let near = near.map(|near| format!("; did you mean {near:?}?")).unwrap_or_default();
    Failure::usage(format!("there is no column {name:?}{near}"))
        .why(format!("the columns are {}", headings.iter().collect::<Vec<_>>().join(", ")))
}
