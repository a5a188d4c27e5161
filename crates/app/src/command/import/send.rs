//! Sending: one thread reads, a few send, one keeps the books.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::batch::{Batch, Gatherer};
use super::reject::RejectFile;
use super::resume::Resume;
use crate::client::{As, Client, Reply, items, place};
use crate::failure::{Code, Failure, Outcome};
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::reading::{Broken, Item};

/// Longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(10);
/// First pause between two tries.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// What became of the rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Taken.
    pub accepted: u64,
    /// There already.
    pub duplicates: u64,
    /// Refused by the platform.
    pub refused: u64,
}

impl Tally {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self {
            accepted: self.accepted + other.accepted,
            duplicates: self.duplicates + other.duplicates,
            refused: self.refused + other.refused,
        }
    }
}

/// What to send and how.
pub struct Job<'a> {
    /// To whom.
    pub client: &'a Client,
    /// Query of the request: how the events take part.
    pub query: &'static str,
    /// Requests at the same time.
    pub senders: usize,
    /// Events in a request.
    pub batch_events: usize,
    /// How long to try again. Waiting until the tenant may send more is not counted.
    pub patience: Duration,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    /// Where progress is shown.
    pub progress: &'a Progress,
}

/// What the book-keeper hears.
enum Word {
    Answered(Answered),
    Broken(Broken),
    Failed(Failure),
}

/// A batch that was answered.
struct Answered {
    number: u64,
    rows: u64,
    tally: Tally,
    refused: Vec<Broken>,
}

impl Job<'_> {
    /// Sends every row. Errors: the first failure that trying again does not mend; what was answered
    /// until then is on record.
    pub fn send(
        &self,
        rows: impl Iterator<Item = Outcome<Result<Item, Broken>>>,
        resume: &mut Resume,
        rejects: &mut RejectFile,
    ) -> Outcome {
        let skip = resume.state().done;
        if skip > 0 {
            rejects.go_on()?;
        }
        let stop = AtomicBool::new(false);
        let (to_senders, work) = sync_channel::<Batch>(self.senders);
        let (words, heard) = sync_channel::<Word>(self.senders * 2);
        let work = Mutex::new(work);
        std::thread::scope(|scope| {
            let books = scope.spawn(|| self.keep_books(heard, resume, rejects, &stop));
            for _ in 0..self.senders {
                let words = words.clone();
                scope.spawn(|| self.send_batches(&work, words));
            }
            let produced = self.produce(rows, skip, (to_senders, words), &stop);
            match books.join() {
                Ok(kept) => kept.and(produced),
                Err(_) => Err(Failure::new(Code::Failure, "the import broke off; this is a bug")),
            }
        })
    }

    fn produce(
        &self,
        rows: impl Iterator<Item = Outcome<Result<Item, Broken>>>,
        skip: u64,
        (batches, words): (SyncSender<Batch>, SyncSender<Word>),
        stop: &AtomicBool,
    ) -> Outcome {
        let mut gatherer = Gatherer::new(self.batch_events);
        let mut seen = 0;
        self.progress.add(skip);
        for row in rows {
            self.interrupt.check()?;
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let sent = match row? {
                Ok(_) if seen < skip => {
                    seen += 1;
                    continue;
                }
                Ok(item) => match gatherer.push(item)? {
                    Some(batch) => batches.send(batch).is_ok(),
                    None => true,
                },
                Err(broken) => words.send(Word::Broken(broken)).is_ok(),
            };
            // A channel without a receiver means that the other side has failed and said why.
            if !sent {
                return Ok(());
            }
        }
        if let Some(batch) = gatherer.take() {
            let _ = batches.send(batch);
        }
        Ok(())
    }

    fn send_batches(&self, work: &Mutex<Receiver<Batch>>, words: SyncSender<Word>) {
        loop {
            let next = work.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(batch) = next else { return };
            let word = match self.send_batch(batch) {
                Ok(answered) => Word::Answered(answered),
                Err(failure) => Word::Failed(failure),
            };
            if words.send(word).is_err() {
                return;
            }
        }
    }

    fn send_batch(&self, batch: Batch) -> Outcome<Answered> {
        let path = format!("/api/v1/events:batch{}", self.query);
        let (started, mut pause, mut patience) = (Instant::now(), PAUSE_MIN, self.patience);
        loop {
            let reply = self.client.call(As::Tenant, "POST", &path, Some(batch.body.clone()));
            let (failure, wait) = match reply {
                Ok(reply) if reply.status < 300 => return answered(batch, reply),
                Ok(reply) => (reply.problem(), reply.retry_after.unwrap_or(pause)),
                Err(failure) => (failure, pause),
            };
            let passing = matches!(failure.code, Code::Limited | Code::Unavailable);
            if failure.code == Code::Limited {
                // A rate is no failure: who waits as told gets in, and the senders take turns.
                patience += wait;
            }
            if !passing || started.elapsed() + wait > patience {
                return Err(failure);
            }
            self.progress.remark(&format!("{}; trying again in {wait:.1?}", failure.what));
            if !self.interrupt.sleep(wait) {
                return Err(Failure::interrupted());
            }
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    /// Records answers in the order of the batches: what the resume file calls done has no holes.
    fn keep_books(
        &self,
        heard: Receiver<Word>,
        resume: &mut Resume,
        rejects: &mut RejectFile,
        stop: &AtomicBool,
    ) -> Outcome {
        let mut early: BTreeMap<u64, Answered> = BTreeMap::new();
        let (mut next, mut failure) = (0, None);
        for word in heard {
            let noted = match word {
                Word::Broken(broken) => rejects.keep(&broken),
                Word::Failed(why) => Err(why),
                Word::Answered(answered) => {
                    self.progress.add(answered.rows);
                    early.insert(answered.number, answered);
                    let mut noted = Ok(());
                    while let (Ok(()), Some(answered)) = (&noted, early.remove(&next)) {
                        next += 1;
                        noted = note(answered, resume, rejects);
                    }
                    noted
                }
            };
            if let Err(why) = noted {
                stop.store(true, Ordering::Relaxed);
                failure.get_or_insert(why);
            }
        }
        rejects.flush()?;
        failure.map_or(Ok(()), Err)
    }
}

fn note(answered: Answered, resume: &mut Resume, rejects: &mut RejectFile) -> Outcome {
    answered.refused.iter().try_for_each(|broken| rejects.keep(broken))?;
    rejects.flush()?;
    resume.advance(answered.rows, answered.tally)
}

fn answered(batch: Batch, mut reply: Reply) -> Outcome<Answered> {
    let results = items(&mut reply.body);
    if results.len() != batch.rows.len() {
        return Err(Failure::new(Code::Failure, "the platform's answer does not fit the request")
            .why(format!(
                "{} events were sent, {} results came back",
                batch.rows.len(),
                results.len()
            )));
    }
    let rows = batch.rows.len() as u64;
    let (mut tally, mut refused) = (Tally::default(), Vec::new());
    for ((line, raw), result) in batch.rows.into_iter().zip(&results) {
        match result.get("status").and_then(Value::as_str) {
            Some("ACCEPTED") => tally.accepted += 1,
            Some("DUPLICATE") => tally.duplicates += 1,
            _ => {
                tally.refused += 1;
                refused.push(Broken { line, raw, why: why(result), sound: true });
            }
        }
    }
    Ok(Answered { number: batch.number, rows, tally, refused })
}

/// Why an item was refused, in one line.
fn why(result: &Value) -> String {
    let problem = result.get("problem").unwrap_or(result);
    let text = |name: &str| problem.get(name).and_then(Value::as_str);
    let head = text("detail").or_else(|| text("title")).unwrap_or("refused without a reason");
    let errors = problem.get("errors").and_then(Value::as_array).into_iter().flatten();
    let places: Vec<String> = errors.map(place).collect();
    if places.is_empty() { head.to_owned() } else { format!("{head}: {}", places.join("; ")) }
}
