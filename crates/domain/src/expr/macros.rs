//! The list functions of CEL. The library expands `list.exists(x, p)` into a loop; here the loop
//! is recognised again, as our evaluator has its own way to go through lists.

use cel::common::ast::{CallExpr, ComprehensionExpr, Expr, LiteralValue, operators};
use cel::parser::Expression;

use super::types::Quantifier;

/// A list function as it was written.
pub(super) struct ListFunction<'e> {
    pub(super) does: Does<'e>,
    pub(super) list: &'e Expression,
    /// The name of the item.
    pub(super) item: &'e str,
}

pub(super) enum Does<'e> {
    /// `exists(x, p)`, `all(x, p)`, `exists_one(x, p)`.
    Quantify(Quantifier, &'e Expression),
    /// `filter(x, keep)`, `map(x, to)`, `map(x, keep, to)`.
    Gather { keep: Option<&'e Expression>, to: Option<&'e Expression> },
}

/// Recognises the loop; `None` if the library ever expands into something else.
pub(super) fn recognise(each: &ComprehensionExpr) -> Option<ListFunction<'_>> {
    let Expr::Call(step) = &each.loop_step.expr else { return None };
    let does = match (&each.accu_init.expr, step.func_name.as_str()) {
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_OR) => {
            Does::Quantify(Quantifier::Exists, step.args.get(1)?)
        }
        (Expr::Literal(LiteralValue::Boolean(_)), operators::LOGICAL_AND) => {
            Does::Quantify(Quantifier::All, step.args.get(1)?)
        }
        (Expr::Literal(LiteralValue::Int(_)), operators::CONDITIONAL) => {
            Does::Quantify(Quantifier::ExistsOne, step.args.first()?)
        }
        (Expr::List(_), operators::ADD) => Does::Gather { keep: None, to: Some(appended(step)?) },
        (Expr::List(_), operators::CONDITIONAL) => {
            let Expr::Call(then) = &step.args.get(1)?.expr else { return None };
            let to = appended(then)?;
            let is_item = matches!(&to.expr, Expr::Ident(name) if *name == each.iter_var);
            Does::Gather { keep: step.args.first(), to: (!is_item).then_some(to) }
        }
        _ => return None,
    };
    Some(ListFunction { does, list: &each.iter_range, item: &each.iter_var })
}

/// The `x` of `result + [x]`.
fn appended(call: &CallExpr) -> Option<&Expression> {
    match &call.args.get(1)?.expr {
        Expr::List(list) => list.elements.first(),
        _ => None,
    }
}
