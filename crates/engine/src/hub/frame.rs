//! The frames as clients see them. A frame is written once per dialect, also when several devices
//! are to get it.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::{Bytes, BytesMut};
use domain::id::{CampaignId, UserId};
use domain::incentive::Incentive;
use domain::time::{SECOND_US, Timestamp};
use rust_decimal::Decimal;
use uuid::Uuid;

/// Bytes that a frame takes as a rule.
const LENGTH: usize = 320;

/// How a client wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The notification alone, as every client understands it.
    Plain,
    /// Subprotocol `incent.v1`: with `seq`, event, kind and coupon code, and with progress.
    V1,
}

/// An incentive on its way to clients; clones are the same frame.
#[derive(Clone, Debug)]
pub struct Frame {
    incentive: Arc<Incentive>,
    /// The texts, by dialect, where several connections need them. One alone writes its own where
    /// it is sent from, which saves this.
    shared: Option<Arc<[OnceLock<Bytes>; 2]>>,
}

impl Frame {
    /// The frame of an incentive for one connection.
    pub fn new(incentive: Arc<Incentive>) -> Self {
        Self { incentive, shared: None }
    }
    /// The frame of an incentive for several connections: each of its texts is written once.
    pub fn for_several(incentive: Arc<Incentive>) -> Self {
        Self { incentive, shared: Some(Arc::default()) }
    }
    /// The incentive's `seq`.
    pub fn seq(&self) -> u64 {
        self.incentive.seq
    }
    /// Its text, UTF-8.
    pub fn text(&self, dialect: Dialect) -> Bytes {
        let write = || {
            let mut text = BytesMut::with_capacity(LENGTH);
            written(&self.incentive, dialect, &mut text);
            text.freeze()
        };
        match &self.shared {
            Some(texts) => texts[dialect as usize].get_or_init(write).clone(),
            None => write(),
        }
    }
    /// Writes its text at the end of `out`, which saves memory of its own for it.
    pub fn append_to(&self, dialect: Dialect, out: &mut BytesMut) {
        match &self.shared {
            Some(_) => out.extend_from_slice(&self.text(dialect)),
            None => written(&self.incentive, dialect, out),
        }
    }
    /// An upper bound of its length in bytes, known before it is written.
    pub fn weight(&self) -> usize {
        let incentive = &*self.incentive;
        let coupon = incentive.coupon_code.as_ref().map_or(0, String::len);
        // The fixed part of a V1 frame is 330 bytes at most; a character may need six (\u0000).
        340 + 6 * (incentive.currency.len() + coupon + incentive.event_id.as_str().len())
    }
}

/// Writes a frame. The fields of the plain one and their order are a promise.
fn written(incentive: &Incentive, dialect: Dialect, out: &mut BytesMut) {
    out.reserve(LENGTH);
    put(out, r#"{"type":"INCENTIVE_NOTIFICATION","incentiveId":""#);
    id(incentive.id.0, out);
    put(out, r#"","campaignId":""#);
    id(incentive.campaign.0, out);
    put(out, r#"","reward":{"currency":"#);
    quote(&incentive.currency, out);
    put(out, r#","amount":"#);
    number(incentive.amount, out);
    put(out, r#"},"issuedAt":""#);
    match dialect {
        Dialect::Plain => {
            let whole = incentive.issued_at.micros() / SECOND_US * SECOND_US;
            time(Timestamp::from_stored(whole), out);
            put(out, "\"");
        }
        Dialect::V1 => {
            time(incentive.issued_at, out);
            // Writing to memory does not fail, here and below.
            _ = write!(out, r#"","seq":{},"eventId":"#, incentive.seq);
            quote(incentive.event_id.as_str(), out);
            put(out, r#","kind":""#);
            put(out, incentive.kind.as_str());
            put(out, "\"");
            if let Some(code) = &incentive.coupon_code {
                put(out, r#","couponCode":"#);
                quote(code, out);
            }
        }
    }
    put(out, "}");
}

fn put(out: &mut BytesMut, text: &str) {
    out.extend_from_slice(text.as_bytes());
}

/// Writes an id.
fn id(id: Uuid, out: &mut BytesMut) {
    put(out, id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}

/// 00 to 99.
const PAIRS: [u8; 200] = {
    let mut pairs = [b'0'; 200];
    let mut n = 0;
    while n < 100 {
        pairs[2 * n] += (n / 10) as u8;
        pairs[2 * n + 1] += (n % 10) as u8;
        n += 1;
    }
    pairs
};

/// Writes an instant as its `Display` does, several times as fast: it is half of writing a frame.
fn time(at: Timestamp, out: &mut BytesMut) {
    let (seconds, micros) = (at.micros() / SECOND_US, at.micros() % SECOND_US);
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // From days to a date in the proleptic Gregorian calendar: years begin in March, so that the
    // leap day is their last; an era is 400 years or 146,097 days (H. Hinnant, "chrono-compatible
    // low-level date algorithms"). Days are counted from 0000-03-01.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + i64::from(month <= 2);

    let mut text = *b"0000-00-00T00:00:00.000000Z";
    let pairs = [
        (0, year / 100),
        (2, year % 100),
        (5, month),
        (8, day),
        (11, second / 3_600),
        (14, second / 60 % 60),
        (17, second % 60),
        (20, micros / 10_000),
        (22, micros / 100 % 100),
        (24, micros % 100),
    ];
    for (at, pair) in pairs {
        // Invariant: two digits, since no instant is negative or lies after the year 9999.
        let pair = usize::try_from(pair).unwrap_or(0) * 2;
        text[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    // No fraction where there is none, and none of its last zeros.
    let mut end = text.len() - 1;
    while text[end - 1] == b'0' && end > 20 {
        end -= 1;
    }
    let end = if end == 20 { 19 } else { end };
    text[end] = b'Z';
    put(out, std::str::from_utf8(&text[..=end]).unwrap_or_default());
}

/// Writes a JSON number: all digits of the decimal, without trailing zeros, as 50 and not 50.00.
fn number(amount: Decimal, out: &mut BytesMut) {
    let amount = amount.normalize();
    _ = match i64::try_from(amount.mantissa()) {
        // Most amounts are whole and small, which is quick to write.
        Ok(whole) if amount.scale() == 0 => write!(out, "{whole}"),
        _ => write!(out, "{amount}"),
    };
}

/// Progress of a user in one quest. It has no `seq`.
#[derive(Clone, Debug, PartialEq)]
pub struct QuestProgress {
    /// Whose.
    pub user: UserId,
    /// In which quest.
    pub campaign: CampaignId,
    /// In which of its cycles, from 1.
    pub cycle: u32,
    /// The steps that have any progress.
    pub steps: Vec<StepProgress>,
}

/// Progress in one step.
#[derive(Clone, Debug, PartialEq)]
pub struct StepProgress {
    /// The step's id.
    pub step: String,
    /// Events counted, or the sum so far.
    pub value: Decimal,
    /// True when its goal is reached.
    pub is_done: bool,
}

impl QuestProgress {
    /// Its frame, for clients of `incent.v1`.
    pub fn text(&self) -> Bytes {
        let mut text = BytesMut::with_capacity(128 + 64 * self.steps.len());
        _ = write!(
            text,
            r#"{{"type":"PROGRESS","campaignId":"{}","cycle":{},"steps":["#,
            self.campaign, self.cycle
        );
        for (n, step) in self.steps.iter().enumerate() {
            put(&mut text, if n == 0 { r#"{"step":"# } else { r#",{"step":"# });
            quote(&step.step, &mut text);
            put(&mut text, r#","value":"#);
            number(step.value, &mut text);
            _ = write!(text, r#","done":{}}}"#, step.is_done);
        }
        put(&mut text, "]}");
        text.freeze()
    }
    /// An upper bound of its length in bytes, known before it is written.
    pub fn weight(&self) -> usize {
        128 + self.steps.iter().map(|step| 64 + 6 * step.step.len()).sum::<usize>()
    }
}

/// Writes a JSON string.
fn quote(text: &str, out: &mut BytesMut) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    put(out, "\"");
    if text.bytes().all(plain) {
        put(out, text);
    } else {
        for c in text.chars() {
            _ = match c {
                '"' | '\\' => write!(out, "\\{c}"),
                c if u32::from(c) < 0x20 => write!(out, "\\u{:04x}", u32::from(c)),
                c => out.write_char(c),
            };
        }
    }
    put(out, "\"");
}
