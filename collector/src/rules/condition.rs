//! A rule's `where`: a CEL expression over the facts of an event.
//!
//! Invariants: only the facts listed here and cheap functions can be used; an expression has at most
//! [`MAX_NODES`] nodes and no loop, so its time is bounded; an expression that fails is not fulfilled.

use std::fmt;

use cel::common::ast::{EntryExpr, Expr};
use cel::common::types::{CelBool, CelInt, CelString};
use cel::common::value::CowVal;
use cel::context::VariableResolver;
use cel::{Context, IdedExpr, Program, Value};
use mingjing_proto::vocabulary::Named;

use super::Event;

/// Most nodes of an expression.
const MAX_NODES: usize = 200;
/// Longest expression in bytes.
const MAX_BYTES: usize = 2_000;
/// Functions written as names; operators are always allowed.
const FUNCTIONS: [&str; 4] = ["size", "contains", "startsWith", "endsWith"];
/// What an expression can ask.
pub(super) const FACTS: [&str; 22] = [
    "account",
    "amount",
    "cards",
    "class",
    "content",
    "conversation",
    "count",
    "department",
    "direction",
    "external",
    "group",
    "kind",
    "length",
    "links",
    "members",
    "minute",
    "peer",
    "phones",
    "sender",
    "target",
    "text",
    "weekday",
];

/// A compiled expression.
pub(super) struct Condition {
    program: Program,
}

impl fmt::Debug for Condition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Condition").finish_non_exhaustive()
    }
}

impl Condition {
    pub(super) fn compile(source: &str) -> Result<Self, String> {
        if source.len() > MAX_BYTES {
            return Err(format!(
                "`where` is longer than {MAX_BYTES} bytes; use words instead"
            ));
        }
        let program = Program::compile(source).map_err(|errors| {
            let first = errors.errors.first().map_or("", |error| error.msg.as_str());
            format!("`where` is not a CEL expression: {first}")
        })?;
        let mut nodes = 0;
        check(program.expression(), &mut nodes)?;
        Ok(Self { program })
    }

    pub(super) fn holds(&self, root: &Context<'static, 'static>, event: &Event<'_>) -> bool {
        let facts = Facts(*event);
        let mut context: Context<'_, '_> = Context::Child {
            parent: root,
            variables: Default::default(),
            resolver: None,
        };
        context.set_variable_resolver(&facts);
        matches!(self.program.execute(&context), Ok(Value::Bool(true)))
    }
}

fn check(node: &IdedExpr, nodes: &mut usize) -> Result<(), String> {
    *nodes += 1;
    if *nodes > MAX_NODES {
        return Err(format!(
            "`where` has more than {MAX_NODES} nodes; split the rule"
        ));
    }
    match &node.expr {
        Expr::Ident(name) if FACTS.contains(&name.as_str()) => Ok(()),
        Expr::Ident(name) => Err(format!(
            "`where` asks for `{name}`; there is only {}",
            FACTS.join(", ")
        )),
        Expr::Call(call) => {
            let name = call.func_name.as_str();
            let is_operator = name.contains('_') || name.starts_with(['@', '!', '-']);
            if !is_operator && !FUNCTIONS.contains(&name) {
                return Err(format!(
                    "`where` calls `{name}`; there is only {}",
                    FUNCTIONS.join(", ")
                ));
            }
            call.target
                .iter()
                .map(|target| target.as_ref())
                .chain(&call.args)
                .try_for_each(|node| check(node, nodes))
        }
        Expr::List(list) => list.elements.iter().try_for_each(|node| check(node, nodes)),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                check(&entry.key, nodes)?;
                check(&entry.value, nodes)
            }
            EntryExpr::StructField(field) => check(&field.value, nodes),
        }),
        Expr::Literal(_) => Ok(()),
        Expr::Comprehension(_) => {
            Err("`where` has a loop (all, exists, map, filter); use words or count".to_owned())
        }
        Expr::Select(_) | Expr::Struct(_) | Expr::Unspecified => {
            Err("`where` reads a field; facts have none".to_owned())
        }
    }
}

/// The facts, computed when asked for.
struct Facts<'a>(Event<'a>);

impl VariableResolver for Facts<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let event = &self.0;
        let it = event.activity;
        let text = |text: &'b str| Some(CowVal::owned(CelString::from(text)));
        let int = |number: i64| Some(CowVal::owned(CelInt::from(number)));
        let truth = |truth: bool| Some(CowVal::owned(CelBool::from(truth)));
        let talk = it.conversation.as_ref();
        match name {
            "account" => text(event.account),
            "amount" => int(it.amount_fen.unwrap_or(0)),
            "cards" => int(card_numbers(&event.normalised.text)),
            "class" => text(event.class),
            "content" => text(&it.content),
            "conversation" => text(talk.map_or("", |talk| &talk.title)),
            "count" => int(it.count.into()),
            "department" => text(event.department),
            "direction" => text(it.direction().name()),
            "external" => truth(talk.is_some_and(|talk| talk.external)),
            "group" => truth(talk.is_some_and(|talk| talk.group)),
            "kind" => text(it.kind().name()),
            "length" => int(count(it.text.chars().count())),
            "links" => int(count(event.normalised.text.matches("http").count())),
            "members" => int(count(it.members.len())),
            "minute" => int(event.local_minute_of_day.into()),
            "peer" => text(&it.peer),
            "phones" => int(phone_numbers(&event.normalised.text)),
            "sender" => text(&it.sender),
            "target" => text(&it.target),
            "text" => text(&event.normalised.text),
            "weekday" => int(event.weekday.into()),
            _ => None,
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn numbers(text: &str) -> Vec<&str> {
    text.split(|char: char| !char.is_ascii_digit())
        .filter(|part| !part.is_empty())
        .collect()
}

/// Mobile numbers of mainland China, also in groups of 3-4-4.
fn phone_numbers(text: &str) -> i64 {
    let numbers = numbers(text);
    let is_mobile = |number: &str| {
        let number = number.strip_prefix("86").unwrap_or(number);
        number.len() == 11
            && number.starts_with('1')
            && !matches!(number.as_bytes()[1], b'0'..=b'2')
    };
    let whole = numbers.iter().filter(|number| is_mobile(number)).count();
    let grouped = numbers.windows(3).filter(|part| {
        part[0].len() == 3 && part[1].len() == 4 && part[2].len() == 4 && is_mobile(&part.concat())
    });
    count(whole + grouped.count())
}

/// Bank card numbers: 16 to 19 digits, also in groups of four.
fn card_numbers(text: &str) -> i64 {
    let numbers = numbers(text);
    let whole = numbers
        .iter()
        .filter(|number| (16..=19).contains(&number.len()))
        .count();
    let grouped = numbers
        .windows(4)
        .filter(|part| part.iter().all(|part| part.len() == 4));
    count(whole) + i64::from(grouped.count() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_cheap_expressions_compile() {
        for (source, expected) in [
            ("amount > 100 && !(direction == 'in')", None),
            (
                "text.contains('x') || size(peer) > 3 || content in ['file', 'image']",
                None,
            ),
            ("hour > 3", Some("`hour`")),
            ("text.matches('a+')", Some("`matches`")),
            ("[1].all(x, x > 0)", Some("loop")),
            ("text >", Some("not a CEL")),
        ] {
            let result = Condition::compile(source).map_err(|problem| {
                assert!(
                    expected.is_some_and(|it| problem.contains(it)),
                    "{source}: {problem}"
                );
            });
            assert_eq!(result.is_ok(), expected.is_none(), "{source}");
        }
        let long = vec!["count > 1"; 80].join(" && ");
        assert!(Condition::compile(&long).is_err());
    }

    #[test]
    fn numbers_are_recognised_in_their_usual_writings() {
        for (text, phones, cards) in [
            ("王总13812345678", 1, 0),
            ("138-1234-5678和13912345678", 2, 0),
            ("8613812345678", 1, 0),
            ("订单20261123001122", 0, 0),
            ("6222021234567890123", 0, 1),
            ("6222 0212 3456 7890", 0, 1),
        ] {
            assert_eq!(
                (phone_numbers(text), card_numbers(text)),
                (phones, cards),
                "{text}"
            );
        }
    }
}
