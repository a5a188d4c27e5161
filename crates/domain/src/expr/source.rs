//! The text of an expression, parsed by the library: its tree, and the stretch of text that
//! belongs to each node.

use cel::common::ast::{LiteralValue, SourceInfo};
use cel::parser::{Expression, ParseErrors, Parser};

use super::tokens;
use super::{DEPTH_MAX, ExprError};

/// A stretch of the text in bytes, end exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        let narrow = |n| u32::try_from(n).unwrap_or(u32::MAX);
        Self { start: narrow(start), end: narrow(end) }
    }
    pub(super) fn join(self, other: Self) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
    /// The text it covers.
    pub(super) fn of(self, text: &str) -> &str {
        text.get(self.start as usize..self.end as usize).unwrap_or(text)
    }
}

/// A parsed text.
pub(super) struct Source<'t> {
    pub(super) text: &'t str,
    pub(super) tree: Expression,
    info: SourceInfo,
    /// Offsets of brackets that belong together: opening, closing.
    brackets: Vec<(usize, usize)>,
}

impl<'t> Source<'t> {
    /// Checks the bounds and parses. Errors: the first thing that is wrong.
    pub(super) fn parse(text: &'t str) -> Result<Self, ExprError> {
        let brackets = tokens::check(text)?;
        let depth = u16::try_from(DEPTH_MAX).unwrap_or(u16::MAX);
        let parsed = Parser::new()
            .max_recursion_depth(depth + 8)
            .enable_ident_escape_syntax(true)
            .parse_with_source_info(text);
        match parsed {
            Ok((tree, info)) => Ok(Self { text, tree, info, brackets }),
            Err(errors) => Err(plain_error(text, &errors)),
        }
    }

    /// The token that made a node: its operator, name or literal.
    pub(super) fn token(&self, id: u64) -> Span {
        let (start, last) = self.info.offset_for(id).unwrap_or((0, 0));
        let (start, last) = (start as usize, last as usize);
        let width = self.text.get(last..).and_then(|t| t.chars().next()).map_or(1, char::len_utf8);
        Span::new(start.min(self.text.len()), (last + width).min(self.text.len()))
    }

    /// All the text of a node, its brackets closed.
    pub(super) fn span(&self, node: &Expression) -> Span {
        let mut span = self.cover(node);
        // A parenthesis around an operand is no node; take in what is only half inside.
        let half_inside = |span: Span, open: usize, close: usize| {
            let inside = |at: usize| (span.start as usize..span.end as usize).contains(&at);
            inside(open) != inside(close)
        };
        while let Some((open, close)) =
            self.brackets.iter().find(|(open, close)| half_inside(span, *open, *close))
        {
            span = span.join(Span::new(*open, close + 1));
        }
        span
    }

    /// From the first to the last token of a node.
    fn cover(&self, node: &Expression) -> Span {
        use cel::common::ast::Expr;
        let own = self.token(node.id);
        match &node.expr {
            Expr::Call(call) => {
                let named = match call.func_name.starts_with(|c: char| c.is_ascii_alphabetic()) {
                    true => own.join(self.name_before(own)),
                    false => own,
                };
                call.target
                    .as_deref()
                    .into_iter()
                    .chain(&call.args)
                    .fold(named, |s, n| s.join(self.cover(n)))
            }
            Expr::Select(select) if select.test => {
                own.join(self.name_before(own)).join(self.cover(&select.operand))
            }
            Expr::Select(select) => self.with_name_after(own).join(self.cover(&select.operand)),
            Expr::List(list) => list.elements.iter().fold(own, |s, n| s.join(self.cover(n))),
            Expr::Comprehension(each) => own.join(self.cover(&each.iter_range)),
            Expr::Literal(literal) if is_negative(literal) => own.join(self.minus_before(own)),
            _ => own,
        }
    }

    /// The sign of a negative literal, which the library makes part of it.
    fn minus_before(&self, digits: Span) -> Span {
        let at = self.text[..digits.start as usize].rfind('-').unwrap_or(digits.start as usize);
        Span::new(at, digits.end as usize)
    }

    /// The name of the function that a node calls.
    pub(super) fn function_name(&self, call: &Expression) -> Span {
        let name = self.name_before(self.token(call.id));
        Span { end: name.end.saturating_sub(1).max(name.start), ..name }
    }

    /// The name in front of an opening parenthesis, with it.
    fn name_before(&self, open: Span) -> Span {
        let before = self.text[..open.start as usize].trim_end();
        let name = before.len() - before.chars().rev().take_while(|c| is_word(*c)).count();
        Span::new(name, open.end as usize)
    }

    /// The name behind a dot.
    fn with_name_after(&self, dot: Span) -> Span {
        let rest = &self.text[dot.end as usize..];
        let name = rest.trim_start();
        let length = match name.strip_prefix('`') {
            Some(quoted) => quoted.find('`').map_or(name.len(), |at| at + 2),
            None => name.chars().take_while(|c| is_word(*c)).count(),
        };
        Span::new(dot.start as usize, self.text.len() - name.len() + length)
    }
}

/// Whether a literal carries a minus.
pub(super) fn is_negative(literal: &LiteralValue) -> bool {
    match literal {
        LiteralValue::Int(n) => *n.inner() < 0,
        LiteralValue::Double(n) => n.inner().is_sign_negative(),
        _ => false,
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Says the first error of the library in plain words, with its place in bytes.
fn plain_error(text: &str, errors: &ParseErrors) -> ExprError {
    let syntax = |e: &&cel::parser::ParseError| e.msg.starts_with("Syntax error");
    let first = errors.errors.iter().find(syntax).or_else(|| errors.errors.first());
    let Some(first) = first else {
        return ExprError::new(Span::new(0, text.len()), "this is not an expression");
    };
    let span = word_at(text, byte_offset(text, first.pos));
    let found = span.of(text);
    let message = first.msg.trim_start_matches("Syntax error: ");
    if span.start == span.end {
        return ExprError::new(
            span,
            "the text ends where a value or the rest of one should follow",
        );
    }
    if message.contains("int literal") || message.contains("double literal") {
        return ExprError::new(span, format!("the number {found} is too large"))
            .hint("larger whole numbers can be written as 1e19, up to 28 digits");
    }
    if message.contains("string literal") {
        return ExprError::new(span, "this text holds an escape that does not exist")
            .hint("write a backslash as \\\\");
    }
    if message.contains("has() macro") {
        return ExprError::new(span, "has() takes a field")
            .hint("write has(event.amount); a name with other characters is put in backticks");
    }
    if message.contains("simple name") {
        return ExprError::new(span, "the first argument names the item")
            .hint("write event.items.exists(item, item.price > 5)");
    }
    if message.contains("reserved identifier") {
        return ExprError::new(span, format!("{found} is a reserved word"));
    }
    if message.contains("Recursion limit") {
        return ExprError::new(Span::new(0, text.len()), too_deep());
    }
    ExprError::new(span, format!("{found} does not fit here"))
        .hint("an operator or a bracket may be missing in front of it")
}

/// What is said of a text that is nested too deep.
pub(super) fn too_deep() -> String {
    format!(
        "this is nested more than {DEPTH_MAX} levels deep; split it, or use sum([…]) for long sums"
    )
}

/// From the library's line and column (in characters, both from 1) to a byte offset.
fn byte_offset(text: &str, (line, column): (isize, isize)) -> usize {
    let index = |n: isize| usize::try_from(n - 1).unwrap_or(0);
    let mut start = 0;
    for (number, content) in text.split_inclusive('\n').enumerate() {
        if number == index(line) {
            let column = content.char_indices().nth(index(column));
            return start + column.map_or(content.len(), |(at, _)| at);
        }
        start += content.len();
    }
    text.len()
}

/// The word or the character that stands at an offset; empty at the end.
fn word_at(text: &str, at: usize) -> Span {
    let rest = &text[at..];
    let word = rest.find(|c: char| !is_word(c)).unwrap_or(rest.len());
    let length = if word > 0 { word } else { rest.chars().next().map_or(0, char::len_utf8) };
    Span::new(at, at + length)
}
