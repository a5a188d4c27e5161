//! A Rust file as the rules see it: code, comments and text literals apart, test code marked.
//!
//! This is a scanner and not a parser: it knows comments, literals and braces, which is all the
//! rules need, and it costs neither a dependency nor a second of build time.

use std::ops::Range;

/// A Rust file, taken apart. `code` and `comments` have the length of the text, everything else
/// blanked, so that a place in one is the same place in the other.
pub struct RustFile {
    /// The code alone: comments and the insides of literals are blanks.
    pub code: String,
    /// The comments alone.
    pub comments: String,
    /// The insides of string literals, with the place where each begins.
    pub strings: Vec<(usize, String)>,
    line_starts: Vec<usize>,
    test_code: Vec<Range<usize>>,
}

/// A function with a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Function<'a> {
    /// Its name.
    pub name: &'a str,
    /// Where the word `fn` stands.
    pub at: usize,
    /// Lines from `fn` to the closing brace.
    pub lines: usize,
}

impl RustFile {
    /// Takes a file apart. `all_test` marks the whole of it as test code.
    pub fn new(text: &str, all_test: bool) -> Self {
        let parts = Scanner::new(text).run();
        let line_starts: Vec<usize> = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|(_, b)| *b == b'\n').map(|(at, _)| at + 1))
            .collect();
        let test_code = match all_test {
            true => std::iter::once(0..text.len()).collect(),
            false => attributed(&parts.code, is_test_attribute),
        };
        Self {
            code: parts.code,
            comments: parts.comments,
            strings: parts.strings,
            line_starts,
            test_code,
        }
    }

    /// The line of a place, from 1.
    pub fn line(&self, at: usize) -> usize {
        self.line_starts.partition_point(|start| *start <= at)
    }

    /// Whether a place lies in test code.
    pub fn is_test(&self, at: usize) -> bool {
        self.test_code.iter().any(|range| range.contains(&at))
    }

    /// Lines outside test code.
    pub fn production_lines(&self) -> usize {
        let end = self.code.len();
        self.line_starts.iter().filter(|start| **start < end && !self.is_test(**start)).count()
    }

    /// The items under an attribute whose text `wanted` accepts; for an inner attribute the whole
    /// file.
    pub fn under(&self, wanted: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
        attributed(&self.code, wanted)
    }

    /// All functions with a body.
    pub fn functions(&self) -> Vec<Function<'_>> {
        let code = &self.code;
        words(code)
            .filter(|(_, word)| *word == "fn")
            .filter_map(|(at, _)| {
                let rest = &code[at + 2..];
                let name = rest.trim_start();
                let name = &name[..name.find(|c| !is_word(c)).unwrap_or(name.len())];
                // `fn(u32)` is a type and `fn $name` belongs to a macro.
                if name.is_empty() || !rest.starts_with(char::is_whitespace) {
                    return None;
                }
                let end = item_end(code, at);
                code[..end].ends_with('}').then(|| Function {
                    name,
                    at,
                    lines: self.line(end - 1) - self.line(at) + 1,
                })
            })
            .collect()
    }
}

fn is_test_attribute(text: &str) -> bool {
    text.contains("cfg(test)") || text.contains("cfg(all(test") || text.contains("cfg(any(test")
}

/// The identifiers and keywords of a code text, each with its place.
pub fn words(code: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut from = 0;
    std::iter::from_fn(move || {
        let start = from + code[from..].find(is_word)?;
        let end = code[start..].find(|c| !is_word(c)).map_or(code.len(), |n| start + n);
        from = end;
        Some((start, &code[start..end]))
    })
}

/// Whether a character can stand in an identifier.
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The items under the attributes that `wanted` accepts, each from its attribute to its end.
fn attributed(code: &str, wanted: impl Fn(&str) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(n) = code[from..].find('#') {
        let start = from + n;
        let inner = code[start..].starts_with("#![");
        if !inner && !code[start..].starts_with("#[") {
            from = start + 1;
            continue;
        }
        let end = group_end(code, start + 1 + usize::from(inner));
        if wanted(&code[start..end]) {
            found.push(if inner { 0..code.len() } else { start..item_end(code, end) });
        }
        from = end;
    }
    found
}

/// Where the item or statement that begins at `from` ends: after its `;`, or after the brace that
/// closes it. Attributes and everything in brackets are stepped over.
fn item_end(code: &str, from: usize) -> usize {
    // A `let` may hold whole blocks; only its `;` ends it.
    let is_let = code[from..].trim_start().starts_with("let ");
    let mut at = from;
    while let Some(c) = code[at..].chars().next() {
        match c {
            ';' => return at + 1,
            '{' if !is_let => return group_end(code, at),
            '}' => return at,
            '(' | '[' | '{' => at = group_end(code, at),
            _ => at += c.len_utf8(),
        }
    }
    code.len()
}

/// Where the bracket that opens at `from` is closed, that place included.
fn group_end(code: &str, from: usize) -> usize {
    let mut depth = 0usize;
    for (n, c) in code[from..].char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        if depth == 0 {
            return from + n + 1;
        }
    }
    code.len()
}

struct Parts {
    code: String,
    comments: String,
    strings: Vec<(usize, String)>,
}

/// What a stretch of the text is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Code,
    Comment,
    /// A literal, with the lengths of what opens and closes it.
    Literal {
        open: usize,
        close: usize,
        is_string: bool,
    },
}

struct Scanner<'a> {
    text: &'a str,
    at: usize,
    parts: Parts,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str) -> Self {
        let parts = Parts {
            code: String::with_capacity(text.len()),
            comments: String::with_capacity(text.len()),
            strings: Vec::new(),
        };
        Self { text, at: 0, parts }
    }

    fn run(mut self) -> Parts {
        while self.at < self.text.len() {
            let (kind, length) = self.next();
            self.take(kind, length);
        }
        self.parts
    }

    /// What begins here, and how long it is in bytes.
    fn next(&self) -> (Kind, usize) {
        let rest = &self.text[self.at..];
        if rest.starts_with("//") {
            return (Kind::Comment, rest.find('\n').unwrap_or(rest.len()));
        }
        if rest.starts_with("/*") {
            return (Kind::Comment, block_comment(rest));
        }
        if let Some(hashes) = self.raw_string(rest) {
            let close = format!("\"{}", "#".repeat(hashes));
            let open = hashes + 2;
            let length = rest[open..].find(&close).map_or(rest.len(), |n| open + n + close.len());
            return (Kind::Literal { open, close: close.len(), is_string: true }, length);
        }
        if rest.starts_with('"') {
            let length = quoted(rest, '"');
            return (Kind::Literal { open: 1, close: 1, is_string: true }, length);
        }
        if is_char_literal(rest) {
            let length = quoted(rest, '\'');
            return (Kind::Literal { open: 1, close: 1, is_string: false }, length);
        }
        (Kind::Code, rest.chars().next().map_or(1, char::len_utf8))
    }

    /// The number of hashes if a raw string begins here.
    fn raw_string(&self, rest: &str) -> Option<usize> {
        let before = self.text[..self.at].chars().next_back();
        // The `r` of `br"…"` follows its `b`; any other letter before it makes it an identifier.
        if !rest.starts_with('r') || before.is_some_and(|c| is_word(c) && c != 'b' && c != 'c') {
            return None;
        }
        let hashes = rest[1..].bytes().take_while(|b| *b == b'#').count();
        rest[1 + hashes..].starts_with('"').then_some(hashes)
    }

    fn take(&mut self, kind: Kind, length: usize) {
        let piece = &self.text[self.at..self.at + length];
        let parts = &mut self.parts;
        match kind {
            Kind::Code => {
                parts.code.push_str(piece);
                blank(&mut parts.comments, piece);
            }
            Kind::Comment => {
                parts.comments.push_str(piece);
                blank(&mut parts.code, piece);
            }
            Kind::Literal { open, close, is_string } => {
                let end = length.saturating_sub(close).max(open).min(length);
                let inside = &piece[open..end];
                parts.code.push_str(&piece[..open]);
                blank(&mut parts.code, inside);
                parts.code.push_str(&piece[end..]);
                blank(&mut parts.comments, piece);
                if is_string {
                    parts.strings.push((self.at + open, inside.to_owned()));
                }
            }
        }
        self.at += length;
    }
}

/// As many blanks as the piece has bytes; its line ends stay.
fn blank(to: &mut String, piece: &str) {
    to.extend(piece.bytes().map(|b| if b == b'\n' { '\n' } else { ' ' }));
}

/// The length of a block comment, nested ones included.
fn block_comment(rest: &str) -> usize {
    let bytes = rest.as_bytes();
    let (mut at, mut depth) = (0, 0usize);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => (at, depth) = (at + 2, depth + 1),
            [b'*', b'/', ..] => (at, depth) = (at + 2, depth - 1),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

/// The length of a literal in quotes, with its escapes.
fn quoted(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (n, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return n + 1,
            _ => {}
        }
    }
    rest.len()
}

/// `'a'` and `'\n'` are literals, `'a` is a lifetime.
fn is_char_literal(rest: &str) -> bool {
    let mut chars = rest.chars();
    chars.next() == Some('\'')
        && match chars.next() {
            Some('\\') => true,
            Some(_) => chars.next() == Some('\''),
            None => false,
        }
}
