//! Reads and writes the values of one topic.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_avro_fast::Schema;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState, read::SliceRead};
use serde_avro_fast::ser::SerializerConfig;
use serde_json::Value;

use super::framing::{Fingerprint, SchemaRef, unframe};
use super::known::Versions;
use super::registry::{Registry, RegistryError};

/// Longest value that is looked into, in bytes; more than any event of ours has.
pub const VALUE_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting of a datum.
const DEPTH_MAX: usize = 32;
/// Most elements of a list or map in a datum. Ours have none; a foreign writer's are skipped.
const ELEMENTS_MAX: usize = 100_000;
/// Most ids that are remembered.
const IDS_MAX: usize = 10_000;
/// How long an id that the registry does not have is not asked for again.
const REFUSED_FOR: Duration = Duration::from_secs(30);

/// Why a value cannot be read or written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Nothing will ever make it readable: a dead letter. Says what is wrong with it.
    #[error("{0}")]
    Poison(String),
    /// Its schema must be asked for first: [`Codec::fetch`], then again.
    #[error("the schema {0} has not been asked for yet")]
    Unknown(u32),
    /// The registry gives no answer: try again later.
    #[error("{0}")]
    Registry(String),
}

/// A schema that values were written with.
#[derive(Debug)]
pub struct Writer {
    schema: Schema,
    /// Microseconds in one unit of its `eventTs` or `issuedAt`: writers may count milliseconds.
    unit_us: i64,
}

impl Writer {
    fn new(text: &str) -> Result<Self, String> {
        let schema: Schema = text.parse().map_err(|e| format!("{e}"))?;
        let json: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let is_millis = is_millis(&json, "eventTs") || is_millis(&json, "issuedAt");
        Ok(Self { schema, unit_us: if is_millis { 1000 } else { 1 } })
    }

    /// Reads a datum of this schema. The error says what is wrong.
    pub fn read<'a, T: Deserialize<'a>>(&self, datum: &'a [u8]) -> Result<T, String> {
        let mut config = DeserializerConfig::new(&self.schema);
        config.max_seq_size = ELEMENTS_MAX;
        config.allowed_depth = DEPTH_MAX;
        let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
        let read = T::deserialize(state.deserializer()).map_err(|e| e.to_string())?;
        let mut rest = state.into_reader();
        let mut byte = [0];
        match std::io::Read::read(&mut rest, &mut byte) {
            Ok(0) => Ok(read),
            _ => Err("there are bytes after its end".to_owned()),
        }
    }

    /// A moment in microseconds, from the units of this schema; `None` if it does not fit.
    pub fn micros(&self, units: i64) -> Option<i64> {
        units.checked_mul(self.unit_us)
    }
}

/// Whether a field counts milliseconds. A number without a unit is taken as microseconds, which
/// is what our schema says.
fn is_millis(schema: &Value, field: &str) -> bool {
    let fields = schema["fields"].as_array().map(Vec::as_slice).unwrap_or_default();
    let kind = fields.iter().find(|f| f["name"] == field).map(|f| &f["type"]);
    let of = |kind: &Value| kind["logicalType"] == "timestamp-millis";
    kind.is_some_and(|kind| of(kind) || kind.as_array().is_some_and(|union| union.iter().any(of)))
}

/// What is known of an id.
#[derive(Clone)]
enum Answer {
    Schema(Arc<Writer>),
    Refused { why: String, at: Instant },
}

/// Reads and writes the values of one topic.
pub struct Codec {
    /// What the registry calls the schemas of the topic's values.
    subject: String,
    current: Arc<Writer>,
    by_fingerprint: HashMap<Fingerprint, Arc<Writer>>,
    registry: Option<Registry>,
    by_id: RwLock<HashMap<u32, Answer>>,
    /// The id of our current schema.
    own_id: OnceLock<u32>,
}

impl Codec {
    /// For a topic. With a registry, values are framed by ids, otherwise by fingerprints.
    ///
    /// # Errors
    /// A built-in schema cannot be parsed: a bug, and a test keeps it from happening.
    pub fn new(
        topic: &str,
        versions: Versions,
        registry: Option<Registry>,
    ) -> Result<Self, CodecError> {
        let mut by_fingerprint = HashMap::new();
        for text in versions.texts {
            let writer = Writer::new(text).map_err(CodecError::Poison)?;
            by_fingerprint.insert(*writer.schema.rabin_fingerprint(), Arc::new(writer));
        }
        let current = Arc::new(Writer::new(versions.current()).map_err(CodecError::Poison)?);
        let (by_id, own_id) = (RwLock::default(), OnceLock::new());
        let subject = format!("{topic}-value");
        Ok(Self { subject, current, by_fingerprint, registry, by_id, own_id })
    }

    /// A value in the current schema. Errors: [`CodecError::Registry`] before [`Self::register`]
    /// has succeeded, [`CodecError::Poison`] when the schema has no room for it.
    pub fn encode<T: Serialize>(&self, datum: &T) -> Result<Vec<u8>, CodecError> {
        let frame = match (&self.registry, self.own_id.get()) {
            (None, _) => SchemaRef::Fingerprint(*self.current.schema.rabin_fingerprint()),
            (Some(_), Some(id)) => SchemaRef::Id(*id),
            (Some(_), None) => {
                return Err(CodecError::Registry("the schema is not registered yet".to_owned()));
            }
        };
        let mut value = Vec::with_capacity(256);
        frame.write(&mut value);
        serde_avro_fast::to_datum(datum, value, &mut SerializerConfig::new(&self.current.schema))
            .map_err(|e| CodecError::Poison(e.to_string()))
    }

    /// The schema of a value and its datum. Errors: all of [`CodecError`].
    pub fn open<'a>(&self, value: &'a [u8]) -> Result<(Arc<Writer>, &'a [u8]), CodecError> {
        let poison = |why: String| Err(CodecError::Poison(why));
        if value.len() > VALUE_BYTES_MAX {
            return poison(format!("has {} bytes, at most {VALUE_BYTES_MAX} fit", value.len()));
        }
        match unframe(value) {
            Some((SchemaRef::Fingerprint(print), datum)) => match self.by_fingerprint.get(&print) {
                Some(writer) => Ok((writer.clone(), datum)),
                None => poison(format!(
                    "was written with a schema of fingerprint {:016x}, which is none of ours; use \
                     a schema registry for schemas of your own",
                    u64::from_le_bytes(print)
                )),
            },
            Some((SchemaRef::Id(id), datum)) => Ok((self.writer(id)?, datum)),
            None => poison(
                "is neither framed by a schema's id nor in Avro's single-object encoding".into(),
            ),
        }
    }

    fn writer(&self, id: u32) -> Result<Arc<Writer>, CodecError> {
        if self.registry.is_none() {
            let why = format!("was written with schema {id} of a registry, and none is configured");
            return Err(CodecError::Poison(why));
        }
        match self.by_id.read().unwrap_or_else(PoisonError::into_inner).get(&id) {
            Some(Answer::Schema(writer)) => Ok(writer.clone()),
            Some(Answer::Refused { why, at }) if at.elapsed() < REFUSED_FOR => {
                Err(CodecError::Poison(why.clone()))
            }
            _ => Err(CodecError::Unknown(id)),
        }
    }

    /// Asks the registry for a schema and remembers the answer, also that there is none. Blocks.
    /// Errors: [`CodecError::Registry`].
    pub fn fetch(&self, id: u32) -> Result<(), CodecError> {
        let Some(registry) = &self.registry else { return Ok(()) };
        let refused = |why: String| Answer::Refused { why, at: Instant::now() };
        let answer = match registry.schema(id) {
            Ok(text) => match Writer::new(&text) {
                Ok(writer) => Answer::Schema(Arc::new(writer)),
                Err(why) => refused(format!("its schema {id} cannot be used: {why}")),
            },
            Err(RegistryError::Refused(why)) => refused(format!("its schema {id}: {why}")),
            Err(RegistryError::Unreachable(why)) => return Err(CodecError::Registry(why)),
        };
        let mut by_id = self.by_id.write().unwrap_or_else(PoisonError::into_inner);
        if by_id.len() >= IDS_MAX {
            by_id.clear();
        }
        by_id.insert(id, answer);
        Ok(())
    }

    /// Makes sure that the registry has our current schema. Blocks at the first time; quick and
    /// without effect afterwards or without a registry. Errors: [`CodecError::Registry`], also
    /// when the registry refuses it, for that is for an operator to mend.
    pub fn register(&self, versions: Versions) -> Result<(), CodecError> {
        let Some(registry) = &self.registry else { return Ok(()) };
        if self.own_id.get().is_none() {
            let id = registry
                .register(&self.subject, versions.current())
                .map_err(|e| CodecError::Registry(e.to_string()))?;
            self.own_id.get_or_init(|| id);
        }
        Ok(())
    }

    /// True when [`Self::register`] has nothing to do.
    pub fn is_registered(&self) -> bool {
        self.registry.is_none() || self.own_id.get().is_some()
    }
}
