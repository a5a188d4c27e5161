//! What went wrong, in the words of the ports.

use engine::ports::{PortError, PortErrorKind};
use rdkafka::error::KafkaError;

use crate::avro::CodecError;

/// A failure of Kafka while doing something. Everything that may pass by itself is `Unavailable`.
pub fn kafka(what: &str, error: &KafkaError) -> PortError {
    unavailable(format!("Kafka: {what}: {error}"))
}

/// A failure that may pass by itself.
pub fn unavailable(message: String) -> PortError {
    PortError { kind: PortErrorKind::Unavailable, message }
}

/// The log is not what it was.
pub fn corrupt(message: String) -> PortError {
    PortError { kind: PortErrorKind::Corrupt, message }
}

/// A value that cannot be written.
pub fn codec(error: CodecError) -> PortError {
    match error {
        CodecError::Poison(why) => PortError { kind: PortErrorKind::Invalid, message: why },
        CodecError::Registry(why) => unavailable(why),
        CodecError::Unknown(_) => unavailable(error.to_string()),
    }
}

/// Runs what blocks on a thread of its own.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, PortError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|e| PortError {
        kind: PortErrorKind::Invalid,
        message: format!("a task of the Kafka adapter has failed: {e}"),
    })
}
