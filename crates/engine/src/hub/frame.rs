//! The frames as clients see them. A frame is written once per dialect and shared by all devices
//! and connections that it goes to.

use std::fmt::Write as _;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use domain::id::{CampaignId, UserId};
use domain::incentive::Incentive;
use domain::time::{SECOND_US, Timestamp};
use rust_decimal::Decimal;
use uuid::Uuid;

/// How a client wants to be spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The notification alone, as every client understands it.
    Plain,
    /// Subprotocol `incent.v1`: with `seq`, event, kind and coupon code, and with progress.
    V1,
}

/// An incentive on its way to clients.
#[derive(Debug)]
pub struct Frame {
    incentive: Arc<Incentive>,
    plain: OnceLock<Bytes>,
    v1: OnceLock<Bytes>,
}

impl Frame {
    /// The frame of an incentive.
    pub fn new(incentive: Arc<Incentive>) -> Self {
        Self { incentive, plain: OnceLock::new(), v1: OnceLock::new() }
    }
    /// The incentive's `seq`.
    pub fn seq(&self) -> u64 {
        self.incentive.seq
    }
    /// The incentive.
    pub fn incentive(&self) -> &Arc<Incentive> {
        &self.incentive
    }
    /// Its text, UTF-8. Written at the first call, shared by the later ones.
    pub fn text(&self, dialect: Dialect) -> Bytes {
        let cell = match dialect {
            Dialect::Plain => &self.plain,
            Dialect::V1 => &self.v1,
        };
        cell.get_or_init(|| Bytes::from(written(&self.incentive, dialect))).clone()
    }
    /// The same for who needs it last: when nobody else holds the frame there is nothing to share.
    pub fn into_text(self: Arc<Self>, dialect: Dialect) -> Bytes {
        let frame = match Arc::try_unwrap(self) {
            Ok(frame) => frame,
            Err(shared) => return shared.text(dialect),
        };
        let cell = match dialect {
            Dialect::Plain => frame.plain,
            Dialect::V1 => frame.v1,
        };
        cell.into_inner().unwrap_or_else(|| Bytes::from(written(&frame.incentive, dialect)))
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
fn written(incentive: &Incentive, dialect: Dialect) -> String {
    let mut out = String::with_capacity(320);
    out.push_str(r#"{"type":"INCENTIVE_NOTIFICATION","incentiveId":""#);
    id(incentive.id.0, &mut out);
    out.push_str(r#"","campaignId":""#);
    id(incentive.campaign.0, &mut out);
    out.push_str(r#"","reward":{"currency":"#);
    quote(&incentive.currency, &mut out);
    out.push_str(r#","amount":"#);
    number(incentive.amount, &mut out);
    out.push_str(r#"},"issuedAt":""#);
    match dialect {
        Dialect::Plain => {
            let whole = incentive.issued_at.micros() / SECOND_US * SECOND_US;
            time(Timestamp::from_stored(whole), &mut out);
            out.push('"');
        }
        Dialect::V1 => {
            time(incentive.issued_at, &mut out);
            // Writing to a String does not fail, here and below.
            _ = write!(out, r#"","seq":{},"eventId":"#, incentive.seq);
            quote(incentive.event_id.as_str(), &mut out);
            out.push_str(r#","kind":""#);
            out.push_str(incentive.kind.as_str());
            out.push('"');
            if let Some(code) = &incentive.coupon_code {
                out.push_str(r#","couponCode":"#);
                quote(code, &mut out);
            }
        }
    }
    out.push('}');
    out
}

/// Writes an id.
fn id(id: Uuid, out: &mut String) {
    out.push_str(id.hyphenated().encode_lower(&mut Uuid::encode_buffer()));
}

/// Writes an instant as its `Display` does, several times as fast: it is half of writing a frame.
fn time(at: Timestamp, out: &mut String) {
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
    let fields = [
        (0, 4, year),
        (5, 2, month),
        (8, 2, day),
        (11, 2, second / 3_600),
        (14, 2, second / 60 % 60),
        (17, 2, second % 60),
        (20, 6, micros),
    ];
    for (from, length, mut value) in fields {
        for digit in text[from..from + length].iter_mut().rev() {
            // Invariant: the remainder is a digit, since no instant is negative.
            *digit += u8::try_from(value % 10).unwrap_or(0);
            value /= 10;
        }
    }
    // No fraction where there is none, and none of its last zeros.
    let mut end = text.len() - 1;
    while text[end - 1] == b'0' && end > 20 {
        end -= 1;
    }
    let end = if end == 20 { 19 } else { end };
    text[end] = b'Z';
    out.push_str(std::str::from_utf8(&text[..=end]).unwrap_or_default());
}

/// Writes a JSON number: all digits of the decimal, without trailing zeros, as 50 and not 50.00.
fn number(amount: Decimal, out: &mut String) {
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
    pub fn text(&self) -> String {
        let mut text = String::with_capacity(128 + 64 * self.steps.len());
        _ = write!(
            text,
            r#"{{"type":"PROGRESS","campaignId":"{}","cycle":{},"steps":["#,
            self.campaign, self.cycle
        );
        for (n, step) in self.steps.iter().enumerate() {
            text.push_str(if n == 0 { r#"{"step":"# } else { r#",{"step":"# });
            quote(&step.step, &mut text);
            text.push_str(r#","value":"#);
            number(step.value, &mut text);
            _ = write!(text, r#","done":{}}}"#, step.is_done);
        }
        text.push_str("]}");
        text
    }
    /// An upper bound of its length in bytes, known before it is written.
    pub fn weight(&self) -> usize {
        128 + self.steps.iter().map(|step| 64 + 6 * step.step.len()).sum::<usize>()
    }
}

/// Writes a JSON string.
fn quote(text: &str, out: &mut String) {
    let plain = |byte: u8| byte >= 0x20 && byte != b'"' && byte != b'\\';
    out.push('"');
    if text.bytes().all(plain) {
        out.push_str(text);
    } else {
        for c in text.chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                c if u32::from(c) < 0x20 => _ = write!(out, "\\u{:04x}", u32::from(c)),
                c => out.push(c),
            }
        }
    }
    out.push('"');
}
