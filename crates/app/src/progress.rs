//! Progress of long work: a bar on a terminal, otherwise a line every few seconds.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Output;
use crate::table::grouped;

/// How often a line is written when there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Progress towards a known (or unknown) number of things.
pub struct Progress {
    out: Output,
    verb: &'static str,
    noun: &'static str,
    total: Option<u64>,
    bar: Option<ProgressBar>,
    started: Instant,
    line: Mutex<Line>,
}

struct Line {
    done: u64,
    last: Instant,
    remarked: Option<Instant>,
}

impl Progress {
    /// Starts. `verb` as in "replaying", `noun` as in "purchases".
    pub fn start(out: &Output, verb: &'static str, noun: &'static str, total: Option<u64>) -> Self {
        let started = Instant::now();
        let bar = out.may_draw().then(|| {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr());
            let template = if total.is_some() {
                "{prefix} {bar:32} {human_pos}/{human_len} {msg}  {per_sec}  {eta} left"
            } else {
                "{prefix} {spinner} {human_pos} {msg}  {per_sec}"
            };
            let style = ProgressStyle::with_template(template);
            bar.set_style(
                style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸─"),
            );
            bar.set_prefix(verb);
            bar.set_message(noun);
            bar
        });
        let line = Mutex::new(Line { done: 0, last: started, remarked: None });
        Self { out: *out, verb, noun, total, bar, started, line }
    }

    /// So many more are done.
    pub fn add(&self, more: u64) {
        self.change(|done| done + more);
    }

    /// So many are done.
    pub fn set(&self, done: u64) {
        self.change(|_| done);
    }

    fn change(&self, change: impl FnOnce(u64) -> u64) {
        let Ok(mut line) = self.line.lock() else { return };
        line.done = change(line.done);
        if let Some(bar) = &self.bar {
            bar.set_position(line.done);
        } else if line.last.elapsed() >= LINE_EVERY {
            line.last = Instant::now();
            self.out.say(&self.text(line.done));
        }
    }

    /// Says something that may come up many times a second, every few seconds.
    pub fn remark(&self, text: &str) {
        let Ok(mut line) = self.line.lock() else { return };
        if line.remarked.is_some_and(|at| at.elapsed() < LINE_EVERY) {
            return;
        }
        line.remarked = Some(Instant::now());
        drop(line);
        self.say(text);
    }

    /// Says something without disturbing the bar.
    pub fn say(&self, text: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| self.out.say(text)),
            None => self.out.say(text),
        }
    }

    /// Ends; returns how long it took.
    pub fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }

    fn text(&self, done: u64) -> String {
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rate for people"
        )]
        let rate = grouped((done as f64 / seconds) as u64);
        match self.total {
            Some(total) => format!(
                "{} {}/{} {} ({rate}/s)",
                self.verb,
                grouped(done),
                grouped(total),
                self.noun
            ),
            None => format!("{} {} {} ({rate}/s)", self.verb, grouped(done), self.noun),
        }
    }
}
