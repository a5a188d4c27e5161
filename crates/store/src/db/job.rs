//! A closure on its way to a connection, and its answer on the way back.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::error::{Result, StoreError};

/// A closure with the type of its result erased. Run once, then answered once.
pub(super) trait Job: Send {
    /// Runs the closure and keeps its result. True when it succeeded.
    fn run(&mut self, conn: &Connection) -> bool;
    /// The error it ended with, if it did.
    fn error(&self) -> Option<&StoreError>;
    /// Turns success (or not having run) into this error: the commit failed.
    fn fail(&mut self, error: &StoreError);
    /// Sends the result to the caller. A caller that has gone away is no error.
    fn answer(self: Box<Self>);
}

struct Work<F, T> {
    closure: Option<F>,
    result: Result<T>,
    reply: oneshot::Sender<Result<T>>,
}

/// Boxes a closure; the receiver gets its result.
pub(super) fn job<F, T>(closure: F) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
where
    F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    let (reply, answer) = oneshot::channel();
    let work = Work { closure: Some(closure), result: Err(StoreError::Closed), reply };
    (Box::new(work), answer)
}

/// Runs a closure. A defect in one must not take the thread, and with it everybody, down; the
/// connection is safe to use on, for the caller rolls back whatever was begun.
pub(super) fn run<F, T>(closure: F, conn: &Connection) -> Result<T>
where
    F: FnOnce(&Connection) -> Result<T>,
{
    catch_unwind(AssertUnwindSafe(|| closure(conn)))
        .unwrap_or_else(|panic| Err(StoreError::Panicked { detail: message(&*panic) }))
}

impl<F, T> Job for Work<F, T>
where
    F: FnOnce(&Connection) -> Result<T> + Send,
    T: Send,
{
    fn run(&mut self, conn: &Connection) -> bool {
        if let Some(closure) = self.closure.take() {
            self.result = run(closure, conn);
        }
        self.result.is_ok()
    }

    fn error(&self) -> Option<&StoreError> {
        self.result.as_ref().err()
    }

    fn fail(&mut self, error: &StoreError) {
        if self.result.is_ok() || self.closure.is_some() {
            self.closure = None;
            self.result = Err(error.clone());
        }
    }

    fn answer(self: Box<Self>) {
        let _gone = self.reply.send(self.result);
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
