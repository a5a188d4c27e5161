//! A look at the tokens of an expression before the library parses it.
//!
//! It bounds the work (the parser recurses) and catches the slips that people make, such as `=`
//! for `==`, `and` for `&&` or curly quotes, in words that help more than a grammar's.

use super::source::{Span, too_deep};
use super::{DEPTH_MAX, ExprError, TEXT_BYTES_MAX};

/// Most tokens of a text. A node has about three: `event`, `.`, `amount`.
const TOKENS_MAX: usize = 1_500;

/// What may follow a backslash.
const ESCAPES: &str = "abfnrtv\\'\"`?xXuU01234567";

/// Words that cannot stand behind a dot.
const KEYWORDS: [&str; 4] = ["in", "true", "false", "null"];

/// Pairs of brackets that belong together: the offsets of the opening and the closing one.
pub(super) type Brackets = Vec<(usize, usize)>;

/// Checks the text and pairs its brackets. Errors: the first thing that is wrong.
pub(super) fn check(text: &str) -> Result<Brackets, ExprError> {
    if text.len() > TEXT_BYTES_MAX {
        let all = Span::new(0, text.len());
        return Err(ExprError::new(
            all,
            format!("the text has {} bytes, at most {TEXT_BYTES_MAX} are allowed", text.len()),
        )
        .hint("split it into several rules"));
    }
    if text.trim().is_empty() {
        return Err(ExprError::new(Span::new(0, text.len()), "the text is empty")
            .hint("write a condition such as event.amount >= 100, or leave the field out"));
    }
    let mut look = Look { text, at: 0, open: Vec::new(), pairs: Vec::new(), after_dot: false };
    for _ in 0..TOKENS_MAX {
        if !look.token()? {
            return match look.open.pop() {
                Some((at, bracket)) => Err(ExprError::new(
                    Span::new(at, at + 1),
                    format!("the bracket {bracket} is never closed"),
                )),
                None => Ok(look.pairs),
            };
        }
    }
    Err(ExprError::new(Span::new(0, text.len()), "the text is too long").hint(format!(
        "at most {TOKENS_MAX} words and signs are allowed; split it into several rules"
    )))
}

struct Look<'t> {
    text: &'t str,
    at: usize,
    open: Vec<(usize, char)>,
    pairs: Brackets,
    after_dot: bool,
}

impl Look<'_> {
    /// Steps over one token; false at the end.
    fn token(&mut self) -> Result<bool, ExprError> {
        let rest = &self.text[self.at..];
        let blank = rest.len() - rest.trim_start().len();
        self.at += blank;
        let rest = &self.text[self.at..];
        let Some(first) = rest.chars().next() else { return Ok(false) };
        let dot = std::mem::take(&mut self.after_dot);
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => self.quoted(rest, 0)?,
            'r' | 'R' | 'b' | 'B' if rest[1..].starts_with(['"', '\'']) => self.quoted(rest, 1)?,
            '`' => match rest[1..].find('`') {
                Some(end) => end + 2,
                None => return Err(self.error(1, "this name has no closing backtick")),
            },
            'a'..='z' | 'A'..='Z' | '_' => self.word(rest, dot)?,
            '0'..='9' => rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len()),
            '(' | '[' | '{' => self.opening(first)?,
            ')' | ']' | '}' => self.closing(first)?,
            _ => {
                self.after_dot = first == '.';
                self.sign(rest, first)?
            }
        };
        self.at += length;
        Ok(true)
    }

    /// The length of a text with its quotes, `prefix` letters in front.
    fn quoted(&self, rest: &str, prefix: usize) -> Result<usize, ExprError> {
        let raw = rest.starts_with(['r', 'R']);
        let body = &rest[prefix..];
        let quote =
            &body[..if body.starts_with("\"\"\"") || body.starts_with("'''") { 3 } else { 1 }];
        let mut at = quote.len();
        while let Some(next) = body[at..].chars().next() {
            if body[at..].starts_with(quote) {
                return Ok(prefix + at + quote.len());
            }
            at += next.len_utf8();
            if next == '\\' && !raw {
                let escaped = body[at..].chars().next();
                if escaped.is_some_and(|c| !ESCAPES.contains(c)) {
                    return Err(self
                        .error(prefix + at, "this text holds an escape that does not exist")
                        .hint("write a backslash as \\\\"));
                }
                at += escaped.map_or(0, char::len_utf8);
            }
        }
        Err(self.error(prefix + quote.len(), "this text has no closing quote"))
    }

    fn word(&self, rest: &str, after_dot: bool) -> Result<usize, ExprError> {
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        let word = &rest[..end.unwrap_or(rest.len())];
        if after_dot && KEYWORDS.contains(&word) {
            return Err(self
                .error(word.len(), format!("{word} is a word of the language"))
                .hint(format!("write [\"{word}\"] for a field of that name")));
        }
        let sign = match word {
            _ if after_dot => None,
            "and" | "AND" => Some("&&"),
            "or" | "OR" => Some("||"),
            "not" | "NOT" => Some("!"),
            _ => None,
        };
        match sign {
            Some(sign) => Err(self
                .error(word.len(), format!("{word} is no operator here"))
                .hint(format!("write {sign}"))),
            None => Ok(word.len()),
        }
    }

    fn opening(&mut self, bracket: char) -> Result<usize, ExprError> {
        if self.open.len() >= DEPTH_MAX {
            return Err(self.error(1, too_deep()));
        }
        self.open.push((self.at, bracket));
        Ok(1)
    }

    fn closing(&mut self, bracket: char) -> Result<usize, ExprError> {
        let partner = match bracket {
            ')' => '(',
            ']' => '[',
            _ => '{',
        };
        match self.open.pop() {
            Some((at, open)) if open == partner => {
                self.pairs.push((at, self.at));
                Ok(1)
            }
            Some((_, open)) => Err(self.error(1, format!("{bracket} closes the bracket {open}"))),
            None => Err(self.error(1, format!("{bracket} closes no bracket"))),
        }
    }

    fn sign(&self, rest: &str, first: char) -> Result<usize, ExprError> {
        let two = rest.get(..2).unwrap_or("");
        if matches!(two, "==" | "!=" | "<=" | ">=" | "&&" | "||") {
            return Ok(2);
        }
        let message = match first {
            '=' => return Err(self.error(1, "= is no operator here").hint("write == to compare")),
            '&' => return Err(self.error(1, "& is no operator here").hint("write &&")),
            '|' => return Err(self.error(1, "| is no operator here").hint("write ||")),
            '“' | '”' | '„' | '‘' | '’' | '«' | '»' => {
                return Err(self
                    .error(first.len_utf8(), format!("{first} is no quote here"))
                    .hint("put texts in straight quotes: \"books\""));
            }
            '≥' | '≤' | '≠' => {
                return Err(self
                    .error(first.len_utf8(), format!("{first} is no operator here"))
                    .hint("write >=, <= or !="));
            }
            '<' | '>' | '!' | '+' | '-' | '*' | '/' | '%' | '?' | ':' | '.' | ',' => return Ok(1),
            _ => format!("{first:?} does not fit here"),
        };
        Err(self
            .error(first.len_utf8(), message)
            .hint("put texts in quotes, and names with other characters too: event[\"größe\"]"))
    }

    fn error(&self, length: usize, message: impl Into<String>) -> ExprError {
        ExprError::new(Span::new(self.at, self.at + length), message)
    }
}
