//! What goes wrong in a run, and in which order: all of it follows from the seed.

use std::collections::BTreeMap;
use std::fmt;

use engine::crash::CrashPoint;
use testkit::proxy::CommitCut;
use testkit::random::Random;

/// One fault. Times are in milliseconds; `ic` is 0 or 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// SIGKILL at a moment of chance; it comes back after a pause.
    KillCalculator { ic: usize, away: u64 },
    /// It dies by itself where it was told to, at the n-th time.
    CrashCalculator { ic: usize, point: CrashPoint, count: u64 },
    /// SIGSTOP and SIGCONT, for less or for more than the group waits for it.
    FreezeCalculator { ic: usize, span: u64, outlasts_session: bool },
    /// SIGTERM: it leaves the group in order, and joins it again.
    LeaveCalculator { ic: usize },
    /// SIGKILL of the process that takes events.
    KillFront,
    /// The same, with events in the log and their sender without an answer.
    CrashFront { count: u64 },
    /// SIGKILL of the process that pushes, with devices connected.
    KillPush,
    /// SIGKILL of the process that serves campaigns, which the calculators ask.
    KillCms { away: u64 },
    /// It hangs: whoever asks it gets no answer.
    FreezeCms { span: u64 },
    /// SIGKILL of the process that counts what is captured.
    KillAggregator { away: u64 },
    /// SIGKILL of the process that lands what is captured in files.
    KillLanding { away: u64 },
    /// One of the two hangs.
    FreezeReader { is_landing: bool, span: u64 },
    /// SIGKILL of Kafka Connect with Debezium.
    KillConnect { away: u64 },
    /// Debezium's connections to PostgreSQL are cut.
    CutCapture,
    /// PostgreSQL stops at once and starts again.
    StopPostgres { away: u64 },
    /// Backends are ended: all of them, or one in three.
    EndBackends { all: bool },
    /// The broker is killed, or stopped in order, and starts again.
    StopKafka { kill: bool },
    /// Redis is killed and comes back empty.
    KillRedis { away: u64 },
    /// FLUSHALL.
    FlushRedis,
    /// Redis is killed and comes back with an old copy of its data.
    AgeRedis { by: u64 },
    /// Redis hangs.
    FreezeRedis { span: u64 },
    /// All connections of a calculator to PostgreSQL are cut.
    CutDatabase { ic: usize },
    /// Connections are cut at a `COMMIT`.
    CutCommit { ic: usize, when: CommitCut },
    /// Each part to and from PostgreSQL comes later.
    SlowDatabase { ic: usize, delay: u64, span: u64 },
    /// Nothing comes through to or from PostgreSQL, and nobody is told.
    SilentDatabase { ic: usize, span: u64 },
    /// A few bytes at a time.
    CrumbleDatabase { ic: usize, span: u64 },
    /// Connections to Redis are cut, new ones refused for a while.
    CutRedis { span: u64 },
    /// Answers of Redis come later than a batch waits for them.
    SlowRedis { delay: u64, span: u64 },
}

/// How often each kind is drawn, in the order of [`Dice::fault`].
const WEIGHTS: [usize; 30] = [
    12, 20, 14, 4, 6, 6, 3, 5, 6, 8, 8, 2, 1, 7, 12, 5, 4, 12, 8, 12, 6, 6, 12, 5, 4, 5, 5, 5, 2, 3,
];

/// Crash points of a calculator.
const POINTS: [CrashPoint; 9] = [
    CrashPoint::BeforeLoad,
    CrashPoint::AfterDecide,
    CrashPoint::BeforeCommit,
    CrashPoint::InCommit,
    CrashPoint::AfterCommit,
    CrashPoint::BeforePublish,
    CrashPoint::AfterPublish,
    CrashPoint::BeforeLog,
    CrashPoint::AfterLog,
];

/// How long the group waits for a member that is silent, in milliseconds.
pub const SESSION_MS: u64 = 2000;

/// So many faults, one of each kind at least if there is room, in an order of chance.
pub fn schedule(seed: u64, count: usize) -> Vec<Fault> {
    let mut dice = Dice { random: Random(seed), points: Vec::new() };
    let mut kinds: Vec<usize> = (0..WEIGHTS.len()).collect();
    dice.shuffle(&mut kinds);
    let weights = WEIGHTS.iter().enumerate();
    let bag: Vec<usize> = weights.flat_map(|(kind, weight)| vec![kind; *weight]).collect();
    while kinds.len() < count {
        let mut more = bag.clone();
        dice.shuffle(&mut more);
        let room = count - kinds.len();
        kinds.extend(more.into_iter().take(room));
    }
    kinds.truncate(count);
    // The first of each kind stood at the head; they are spread over all of it.
    dice.shuffle(&mut kinds);
    kinds.into_iter().map(|kind| dice.fault(kind)).collect()
}

/// How often each kind is in a schedule.
pub fn kinds(schedule: &[Fault]) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for fault in schedule {
        *kinds.entry(fault.kind()).or_default() += 1;
    }
    kinds
}

struct Dice {
    random: Random,
    /// Crash points still to come in this round.
    points: Vec<CrashPoint>,
}

impl Dice {
    fn shuffle<T>(&mut self, cards: &mut [T]) {
        for place in (1..cards.len()).rev() {
            cards.swap(place, self.random.size(place + 1));
        }
    }

    fn ms(&mut self, from: i64, to: i64) -> u64 {
        self.random.between(from, to).unsigned_abs()
    }

    fn fault(&mut self, kind: usize) -> Fault {
        let ic = self.random.size(2);
        match kind {
            0 => Fault::KillCalculator { ic, away: self.ms(0, 400) },
            1 => {
                let (point, count) = (self.point(), 1 + self.random.below(3));
                Fault::CrashCalculator { ic, point, count }
            }
            2 => {
                let span = self.ms(100, 1200);
                Fault::FreezeCalculator { ic, span, outlasts_session: false }
            }
            3 => {
                let span = SESSION_MS + self.ms(500, 1500);
                Fault::FreezeCalculator { ic, span, outlasts_session: true }
            }
            4 => Fault::LeaveCalculator { ic },
            5 => Fault::KillFront,
            6 => Fault::CrashFront { count: 1 + self.random.below(5) },
            7 => Fault::KillPush,
            8 => Fault::StopPostgres { away: self.ms(0, 700) },
            9 => Fault::EndBackends { all: true },
            10 => Fault::EndBackends { all: false },
            11 => Fault::StopKafka { kill: true },
            12 => Fault::StopKafka { kill: false },
            13 => Fault::KillRedis { away: self.ms(0, 600) },
            14 => Fault::FlushRedis,
            15 => Fault::AgeRedis { by: self.ms(200, 800) },
            16 => Fault::FreezeRedis { span: self.ms(300, 1200) },
            17 => Fault::CutDatabase { ic },
            18 => Fault::CutCommit { ic, when: CommitCut::Before },
            19 => Fault::CutCommit { ic, when: CommitCut::After },
            20 => Fault::SlowDatabase { ic, delay: self.ms(5, 60), span: self.ms(400, 1200) },
            21 if self.random.one_in(2) => Fault::SilentDatabase { ic, span: self.ms(300, 2500) },
            21 => Fault::CrumbleDatabase { ic, span: self.ms(300, 1000) },
            23 => Fault::KillCms { away: self.ms(0, 1000) },
            24 => Fault::FreezeCms { span: self.ms(300, 2500) },
            25 => Fault::KillAggregator { away: self.ms(0, 400) },
            26 => Fault::KillLanding { away: self.ms(0, 400) },
            27 => {
                let is_landing = self.random.one_in(2);
                Fault::FreezeReader { is_landing, span: self.ms(200, 1500) }
            }
            28 => Fault::KillConnect { away: self.ms(0, 1000) },
            29 => Fault::CutCapture,
            _ if self.random.one_in(2) => Fault::CutRedis { span: self.ms(0, 500) },
            _ => Fault::SlowRedis { delay: self.ms(20, 700), span: self.ms(400, 1200) },
        }
    }

    /// Each point comes before any comes again.
    fn point(&mut self) -> CrashPoint {
        if self.points.is_empty() {
            let mut points = POINTS.to_vec();
            self.shuffle(&mut points);
            self.points = points;
        }
        self.points.pop().unwrap_or(CrashPoint::InCommit)
    }
}

impl Fault {
    /// Where a process is to die by itself.
    pub fn point(self) -> Option<CrashPoint> {
        match self {
            Self::CrashCalculator { point, .. } => Some(point),
            Self::CrashFront { .. } => Some(CrashPoint::AfterAppend),
            _ => None,
        }
    }

    /// Its name in the sum.
    pub fn kind(self) -> &'static str {
        match self {
            Self::KillCalculator { .. } => "calculator killed",
            Self::CrashCalculator { .. } => "calculator crashed at a point",
            Self::FreezeCalculator { outlasts_session: false, .. } => "calculator frozen briefly",
            Self::FreezeCalculator { .. } => "calculator frozen past its session",
            Self::LeaveCalculator { .. } => "calculator leaves and joins",
            Self::KillFront => "front killed",
            Self::CrashFront { .. } => "front crashed at a point",
            Self::KillPush => "push killed",
            Self::KillCms { .. } => "cms killed",
            Self::FreezeCms { .. } => "cms frozen",
            Self::KillAggregator { .. } => "aggregator killed",
            Self::KillLanding { .. } => "landing killed",
            Self::FreezeReader { is_landing: false, .. } => "aggregator frozen",
            Self::FreezeReader { .. } => "landing frozen",
            Self::KillConnect { .. } => "connect killed",
            Self::CutCapture => "connections of debezium cut",
            Self::StopPostgres { .. } => "postgresql stopped at once",
            Self::EndBackends { all: true } => "all backends ended",
            Self::EndBackends { .. } => "some backends ended",
            Self::StopKafka { kill: true } => "kafka killed",
            Self::StopKafka { .. } => "kafka stopped",
            Self::KillRedis { .. } => "redis killed",
            Self::FlushRedis => "redis emptied",
            Self::AgeRedis { .. } => "redis back with an old copy",
            Self::FreezeRedis { .. } => "redis frozen",
            Self::CutDatabase { .. } => "database connections cut",
            Self::CutCommit { when: CommitCut::Before, .. } => "commit cut before it arrives",
            Self::CutCommit { .. } => "commit cut before its answer",
            Self::SlowDatabase { .. } => "database slow",
            Self::SilentDatabase { .. } => "database silent",
            Self::CrumbleDatabase { .. } => "database in crumbs",
            Self::CutRedis { .. } => "redis connections cut",
            Self::SlowRedis { .. } => "redis slow",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[test]
fn a_seed_tells_the_schedule_and_all_kinds_are_in_it() {
    let one = schedule(7, 150);
    assert_eq!(one, schedule(7, 150));
    assert_ne!(one, schedule(8, 150));
    assert_eq!(one.len(), 150);
    // Two of the kinds drawn come in two forms each.
    assert!(kinds(&one).len() >= WEIGHTS.len(), "{:?}", kinds(&one));
    for point in POINTS {
        assert!(one.iter().any(|f| f.point() == Some(point)), "{point:?}");
    }
    assert_eq!(schedule(7, 5).len(), 5);
}
