//! Inflicts the faults of a schedule, one after the other, while traffic flows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::time::{Duration, Instant};

use engine::crash::{CrashPlan, CrashPoint};
use testkit::proxy::{CommitCut, FaultProxy};
use testkit::random::Random;

use super::grounds::Grounds;
use super::member::Member;
use super::schedule::Fault;
use super::shops::Shop;
use super::traffic::Traffic;
use crate::distributed::rest::Rest;

/// How long a process may take to come to the point where it is to die: it starts, is given its
/// partitions when the session of its former life is over, and works.
const REACHES_WITHIN: Duration = Duration::from_secs(15);
/// How long a commit to be cut is waited for.
const COMMITS_WITHIN: Duration = Duration::from_secs(5);
/// How long a connection of Debezium is waited for: it waits ten seconds before it tries again.
const CAPTURES_WITHIN: Duration = Duration::from_secs(25);
/// Events that may wait to be decided when a fault comes: with more, senders wait.
const BEHIND_MAX: i64 = 6_000;
/// One fault in so many is followed by a change of a campaign.
const CHANGE_EVERY: u64 = 5;

/// Who inflicts them.
pub struct Nemesis<'r> {
    grounds: Grounds,
    traffic: &'r Traffic,
    shops: &'r mut [Shop],
    random: Random,
    log: File,
    begun: Instant,
    came: Came,
}

/// What came about.
#[derive(Debug, Default)]
pub struct Came {
    /// Faults by kind.
    pub done: BTreeMap<&'static str, usize>,
    /// Deaths at each point.
    pub points: BTreeMap<&'static str, usize>,
}

/// A moment in milliseconds.
fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

impl<'r> Nemesis<'r> {
    /// Over these grounds.
    pub fn new(
        grounds: Grounds,
        (traffic, shops): (&'r Traffic, &'r mut [Shop]),
        seed: u64,
        log: File,
    ) -> Self {
        let (random, came) = (Random(seed ^ 0xfa17), Came::default());
        Self { grounds, traffic, shops, random, log, begun: Instant::now(), came }
    }

    /// What is left when it is over.
    pub fn over(self) -> (Grounds, &'r mut [Shop], Came) {
        (self.grounds, self.shops, self.came)
    }

    /// Notes what happens, for whoever looks into a run that failed.
    fn note(&mut self, what: &str) {
        let at = self.begun.elapsed().as_secs_f64();
        writeln!(self.log, "{at:8.2} s  {what}").expect("the log can be written");
    }

    /// Inflicts the faults, each with its share of the traffic, for so long at most. Returns how
    /// many it came to.
    pub fn run(&mut self, schedule: &[Fault], most: Duration) -> usize {
        let batches = self.traffic.plan.amid_faults();
        let share = |faults: usize| batches * faults / (schedule.len() + 1);
        for (number, fault) in schedule.iter().enumerate() {
            if self.begun.elapsed() > most {
                return number;
            }
            self.traffic.release(share(number + 1));
            let moment = self.random.below(250);
            self.traffic.pass(ms(moment));
            self.bury();
            self.note(&format!("fault {}: {fault}", number + 1));
            if self.inflict(*fault) {
                *self.came.done.entry(fault.kind()).or_default() += 1;
            } else {
                self.note("it did not come about");
            }
            if self.random.one_in(CHANGE_EVERY) {
                self.change_a_campaign();
            }
            self.traffic.wait_for(share(number));
            self.keep_up();
        }
        schedule.len()
    }

    /// Sees who has died as told, and brings them back.
    fn bury(&mut self) {
        let mut died = Vec::new();
        for member in self.grounds.members() {
            if let Some(point) = member.died() {
                member.start(None);
                died.push((member.name, point));
            }
        }
        for (name, point) in died {
            self.count_death(name, point);
        }
        for ic in &mut self.grounds.ics {
            ic.scrape();
        }
    }

    fn count_death(&mut self, name: &str, point: CrashPoint) {
        self.note(&format!("{name} died {}", point.as_str()));
        // Counted when it comes about, which may be after the next fault was begun.
        let kind = match point {
            CrashPoint::AfterAppend => "front crashed at a point",
            _ => "calculator crashed at a point",
        };
        *self.came.done.entry(kind).or_default() += 1;
        *self.came.points.entry(point.as_str()).or_default() += 1;
    }

    /// Waits until what is not decided is no more than the faults to come can meet.
    fn keep_up(&mut self) {
        let begun = Instant::now();
        loop {
            let decided = self.grounds.db.number("select count(*) from events");
            let sent = self.traffic.tally().acknowledged * super::traffic::BATCH;
            if i64::try_from(sent).unwrap_or(i64::MAX) - decided <= BEHIND_MAX {
                return;
            }
            assert!(begun.elapsed() < Duration::from_secs(180), "{decided} of {sent} decided");
            self.bury();
            self.traffic.pass(ms(100));
        }
    }

    fn change_a_campaign(&mut self) {
        let place = self.random.size(self.shops.len());
        let (rest, traffic) = (Rest::new(&self.grounds.cms.url()), self.traffic);
        self.shops[place].switch(&rest, &self.grounds.db, || traffic.pass(ms(200)));
        self.note("a campaign was paused or activated");
    }

    /// One fault. False when it did not come about.
    fn inflict(&mut self, fault: Fault) -> bool {
        match fault {
            Fault::KillCalculator { ic, away } => self.kill(ms(away), move |g| &mut g.ics[ic]),
            Fault::KillFront => self.kill(ms(100), |g| &mut g.front),
            Fault::KillPush => self.kill(ms(100), |g| &mut g.push),
            Fault::KillCms { away } => self.kill(ms(away), |g| &mut g.cms),
            Fault::KillAggregator { away } => self.kill(ms(away), |g| &mut g.aggregator),
            Fault::KillLanding { away } => self.kill(ms(away), |g| &mut g.landing),
            Fault::FreezeCms { span } => self.freeze(span, |g| &g.cms),
            Fault::FreezeReader { is_landing: false, span } => self.freeze(span, |g| &g.aggregator),
            Fault::FreezeReader { span, .. } => self.freeze(span, |g| &g.landing),
            Fault::KillConnect { away } => {
                self.grounds.capture.server.kill();
                self.traffic.pass(ms(away));
                self.grounds.capture.server.restart();
            }
            Fault::CutCapture => return self.cut(|g| &g.capture.way, CAPTURES_WITHIN),
            Fault::CrashCalculator { ic, point, count } => {
                let plan = CrashPlan { point, count };
                self.crash(plan, move |g| &mut g.ics[ic]);
                return false;
            }
            Fault::CrashFront { count } => {
                let plan = CrashPlan { point: CrashPoint::AfterAppend, count };
                self.crash(plan, |g| &mut g.front);
                return false;
            }
            Fault::FreezeCalculator { ic, span, .. } => self.freeze(span, move |g| &g.ics[ic]),
            Fault::LeaveCalculator { ic } => self.leave(ic),
            Fault::StopPostgres { away } => {
                self.grounds.postgres.stop_at_once();
                self.traffic.pass(ms(away));
                self.grounds.postgres.start_again();
            }
            Fault::EndBackends { all } => return self.end_backends(all),
            Fault::StopKafka { kill } => {
                match kill {
                    true => self.grounds.kafka.kill(),
                    false => self.grounds.kafka.stop(),
                }
                self.grounds.kafka.restart();
            }
            Fault::CutCommit { when, .. } => return self.cut_commit(when),
            // The other one's, when it has none just now.
            Fault::CutDatabase { ic } => {
                let is_cut = |of: usize| self.cut(|g| &g.to_postgres[of], ms(200));
                return is_cut(ic) || is_cut(1 - ic);
            }
            other => self.disturb(other),
        }
        true
    }

    /// Faults of Redis and of the ways to it and to PostgreSQL.
    fn disturb(&mut self, fault: Fault) {
        let Grounds { redis, to_redis, to_postgres, .. } = &mut self.grounds;
        let pass = |span| self.traffic.pass(ms(span));
        match fault {
            Fault::KillRedis { away } => {
                redis.kill();
                redis.forget_copy();
                pass(away);
                redis.restart();
            }
            Fault::FlushRedis => {
                redis.ask(&["flushall"]);
            }
            Fault::AgeRedis { by } => {
                redis.keep_copy();
                pass(by);
                redis.restart();
            }
            Fault::FreezeRedis { span } => {
                redis.freeze(true);
                pass(span);
                redis.freeze(false);
            }
            Fault::CutRedis { span } => {
                to_redis.refuse(true);
                to_redis.cut();
                pass(span);
                to_redis.refuse(false);
            }
            Fault::SlowRedis { delay, span } => {
                to_redis.delay(ms(delay));
                pass(span);
                to_redis.delay(ms(0));
            }
            Fault::SlowDatabase { ic, delay, span } => {
                to_postgres[ic].delay(ms(delay));
                pass(span);
                to_postgres[ic].delay(ms(0));
            }
            Fault::SilentDatabase { ic, span } => {
                to_postgres[ic].silence(true);
                pass(span);
                to_postgres[ic].silence(false);
            }
            Fault::CrumbleDatabase { ic, span } => {
                to_postgres[ic].crumble(7);
                pass(span);
                to_postgres[ic].crumble(0);
            }
            other => unreachable!("{other} is inflicted elsewhere"),
        }
    }

    fn kill(&mut self, away: Duration, whom: impl Fn(&mut Grounds) -> &mut Member) {
        let member = whom(&mut self.grounds);
        let (name, died) = (member.name, member.kill());
        self.traffic.pass(away);
        whom(&mut self.grounds).start(None);
        if let Some(point) = died {
            self.count_death(name, point);
        }
    }

    fn freeze(&self, span: u64, whom: impl Fn(&Grounds) -> &Member) {
        whom(&self.grounds).signal("STOP");
        self.traffic.pass(ms(span));
        whom(&self.grounds).signal("CONT");
    }

    /// Has a process die at a point in its next life. It is killed first: a process is armed at its
    /// start.
    fn crash(&mut self, plan: CrashPlan, whom: impl Fn(&mut Grounds) -> &mut Member) {
        let traffic = self.traffic;
        let member = whom(&mut self.grounds);
        let before = member.kill();
        member.start(Some(plan));
        // Without anything to do it would not come to its point.
        let died = member.dies_within(REACHES_WITHIN, |time| {
            traffic.release_more();
            traffic.pass(time);
        });
        let name = member.name;
        if died.is_some() {
            member.start(None);
        }
        for point in before.into_iter().chain(died) {
            self.count_death(name, point);
        }
    }

    /// A calculator leaves the group in order, and joins it again.
    fn leave(&mut self, ic: usize) {
        let member = &mut self.grounds.ics[ic];
        if member.is_armed() {
            member.kill();
            member.start(None);
        }
        member.ready();
        let status = member.stop();
        assert!(status.success(), "{} does not stop in order: {status}", member.name);
        member.start(None);
    }

    fn end_backends(&mut self, all: bool) -> bool {
        let every = if all { 1 } else { 3 };
        let ended = format!(
            "select count(*) from (
                 select pg_terminate_backend(pid) from (
                     select pid, row_number() over (order by pid) - 1 as place from pg_stat_activity
                     where application_name = 'incent' and pid <> pg_backend_pid()) backends
                 where place % {every} = 0) ended"
        );
        let ended = self.grounds.db.number(&ended);
        self.note(&format!("{ended} backends ended"));
        ended > 0
    }

    /// Cuts connections at the next commits of whichever calculator has work.
    fn cut_commit(&mut self, when: CommitCut) -> bool {
        let ways = &self.grounds.to_postgres;
        let cut = || {
            let cut = ways.iter().map(|way| match when {
                CommitCut::Before => way.seen().commits_before,
                CommitCut::After => way.seen().commits_after,
            });
            cut.sum::<usize>()
        };
        let (before, begun) = (cut(), Instant::now());
        // The relay commits too: of two in a row, one is likely to be a batch.
        ways.iter().for_each(|way| way.cut_commits(when, 2));
        while cut() < before + 2 && begun.elapsed() < COMMITS_WITHIN {
            self.traffic.release_more();
            self.traffic.pass(ms(20));
        }
        ways.iter().for_each(|way| way.cut_commits(when, 0));
        cut() > before
    }

    /// Cuts the connections of a way, as soon as there are any. False when there were none in time.
    fn cut(&self, which: impl Fn(&Grounds) -> &FaultProxy, within: Duration) -> bool {
        let way = which(&self.grounds);
        let (before, begun) = (way.seen().cuts, Instant::now());
        while way.seen().cuts == before && begun.elapsed() < within {
            way.cut();
            self.traffic.pass(ms(20));
        }
        way.seen().cuts > before
    }

    /// Everything is up and nothing is disturbed any more.
    pub fn calm(&mut self) {
        self.bury();
        let mut armed = Vec::new();
        for member in self.grounds.members().filter(|member| member.is_armed()) {
            let (name, died) = (member.name, member.kill());
            member.start(None);
            armed.extend(died.map(|point| (name, point)));
        }
        for (name, point) in armed {
            self.count_death(name, point);
        }
        self.grounds.members().for_each(Member::ready);
        self.grounds.capture.in_order();
        self.note("all is calm");
    }
}
