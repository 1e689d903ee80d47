//! What a policy may say, beyond what the schema checks.
//!
//! The facts in [`GRAVE`] make a decision graver. A rule may require one of them; it may not require that one does
//! not hold, nor compare one: then every rule that fires on a decision fires on any graver one as well.

use baton_contract::TwinId;
use cedar_policy::Policy;
use cedar_policy::pst::{BinaryOp, Clause, Expr, UnaryOp, Var};

use crate::NESTING;

/// The records of facts that may only be required.
const GRAVE: [&str; 4] = ["reaches", "undo", "touches", "marks"];

/// What is wrong with a policy's shape.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    Negated(String),
    MentionsOverrides(String),
    TooDeep,
    About(String),
    Unreadable(String),
}

/// Whether an expression is asked to hold.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    /// The rule fires the sooner if it holds.
    ToHold,
    /// The rule fires the sooner if it does not.
    NotToHold,
    /// It is compared, counted or branched on.
    Otherwise,
}

/// Checks one policy. Needs a large stack: its expressions have not been measured yet.
pub(crate) fn check(policy: &Policy, twin: Option<&TwinId>) -> Result<(), Fault> {
    let tree = policy.to_pst().map_err(|error| Fault::Unreadable(error.to_string()))?;
    for clause in tree.body().clauses() {
        match clause {
            Clause::When(expr) => walk(expr, Asked::ToHold, NESTING)?,
            Clause::Unless(expr) => walk(expr, Asked::NotToHold, NESTING)?,
        }
    }
    let Some(twin) = twin else { return Ok(()) };
    let other = policy.entity_literals().into_iter().find(|entity| match entity.type_name().to_string().as_str() {
        "Twin" => entity.id().unescaped() != twin.as_str(),
        "Model" => true,
        _ => false,
    });
    other.map_or(Ok(()), |entity| Err(Fault::About(entity.to_string())))
}

fn walk(expr: &Expr, asked: Asked, room: usize) -> Result<(), Fault> {
    let room = room.checked_sub(1).ok_or(Fault::TooDeep)?;
    match expr {
        Expr::GetAttr { expr: of, attr } => attribute(of, attr, asked, room),
        Expr::HasAttr { expr: of, attrs } => {
            attrs.iter().try_for_each(|attr| mention(attr))?;
            // Whether the context has one of its optional facts; that it has the grave ones is always true.
            if matches!(**of, Expr::Var(Var::Context)) { Ok(()) } else { walk(of, Asked::Otherwise, room) }
        }
        Expr::Var(Var::Context) => Err(Fault::Negated("context".to_owned())),
        Expr::BinaryOp { op: BinaryOp::And | BinaryOp::Or, left, right } => {
            walk(left, asked, room)?;
            walk(right, asked, room)
        }
        Expr::UnaryOp { op: UnaryOp::Not, expr } => walk(expr, asked.flipped(), room),
        Expr::BinaryOp { left, right, .. } => {
            walk(left, Asked::Otherwise, room)?;
            walk(right, Asked::Otherwise, room)
        }
        Expr::UnaryOp { expr, .. } | Expr::Like { expr, .. } => walk(expr, Asked::Otherwise, room),
        Expr::Is { expr, in_expr, .. } => {
            walk(expr, Asked::Otherwise, room)?;
            in_expr.as_ref().map_or(Ok(()), |within| walk(within, Asked::Otherwise, room))
        }
        Expr::IfThenElse { cond, then_expr, else_expr } => {
            walk(cond, Asked::Otherwise, room)?;
            walk(then_expr, asked, room)?;
            walk(else_expr, asked, room)
        }
        Expr::Set(items) => items.iter().try_for_each(|item| walk(item, Asked::Otherwise, room)),
        Expr::Record(fields) => fields.values().try_for_each(|field| walk(field, Asked::Otherwise, room)),
        Expr::Literal(_) | Expr::Var(_) => Ok(()),
        other => Err(Fault::Unreadable(format!("`{other}` has no place in a rule"))),
    }
}

/// `of.attr`: a fact, a record of facts, or something deeper.
fn attribute(of: &Expr, attr: &str, asked: Asked, room: usize) -> Result<(), Fault> {
    mention(attr)?;
    match of {
        Expr::Var(Var::Context) if GRAVE.contains(&attr) => Err(Fault::Negated(format!("context.{attr}"))),
        Expr::Var(_) => Ok(()),
        Expr::GetAttr { expr, attr: record } if is_grave(expr, record) => match asked {
            Asked::ToHold => Ok(()),
            Asked::NotToHold | Asked::Otherwise => Err(Fault::Negated(format!("context.{record}.{attr}"))),
        },
        deeper => walk(deeper, Asked::Otherwise, room),
    }
}

fn is_grave(of: &Expr, record: &str) -> bool {
    matches!(of, Expr::Var(Var::Context)) && GRAVE.contains(&record)
}

fn mention(attr: &str) -> Result<(), Fault> {
    if attr.to_lowercase().contains("overrid") { Err(Fault::MentionsOverrides(attr.to_owned())) } else { Ok(()) }
}

impl Asked {
    fn flipped(self) -> Self {
        match self {
            Self::ToHold => Self::NotToHold,
            Self::NotToHold => Self::ToHold,
            Self::Otherwise => Self::Otherwise,
        }
    }
}
