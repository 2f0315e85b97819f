//! One condition of a statement: an operator, a key, and the policy's values.

use super::{
    ConditionKey, ConditionValue, PolicyProblem,
    operand::{FromValue, Operand, Operands},
    operator::{Kind, Operator, Quantifier},
    pattern::{Case, Variables},
};
use ipnet::IpNet;
use std::net::IpAddr;

/// The outcome of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Truth {
    Yes,
    No,
    /// It cannot be evaluated: a `Deny` applies, an `Allow` does not.
    Unknown,
}

/// The outcome of comparing one value, before negation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Match,
    NoMatch,
    /// The request's value is not of the operator's type. It equals nothing, so the `Not` operators hold; to the
    /// others it is unknown.
    OtherType,
    Unknown,
}

#[derive(Clone, Debug)]
pub(super) struct Condition {
    operator: Operator,
    key: ConditionKey,
    operands: Operands,
    /// As the policy wrote them, for explanations.
    operator_name: Box<str>,
    texts: Box<[String]>,
}

impl Condition {
    pub(super) fn compile(
        operator_name: &str,
        operator: Operator,
        key: &str,
        texts: Vec<String>,
        variables: bool,
    ) -> Result<Self, (usize, PolicyProblem)> {
        let operands = Operands::compile(operator.kind, &texts, variables)?;
        Ok(Self {
            operator,
            key: ConditionKey::new(key),
            operands,
            operator_name: operator_name.into(),
            texts: texts.into(),
        })
    }

    pub(super) fn operator_name(&self) -> &str {
        &self.operator_name
    }

    pub(super) fn key(&self) -> &ConditionKey {
        &self.key
    }

    pub(super) fn texts(&self) -> &[String] {
        &self.texts
    }

    pub(super) fn evaluate(&self, variables: &Variables<'_>) -> Truth {
        let value = variables.keys.value(&self.key).filter(|value| !value.is_empty_list());
        if self.operator.kind == Kind::Null {
            return self.is_null(value.is_none(), variables);
        }
        value.map_or_else(|| self.without_value(), |value| self.with_value(value, variables))
    }

    fn is_null(&self, absent: bool, variables: &Variables<'_>) -> Truth {
        self.truth(self.compare(ConditionValue::Bool(absent), variables))
    }

    /// The key is absent. `ForAllValues` holds of no value, `ForAnyValue` does not; a `Not` operator holds.
    fn without_value(&self) -> Truth {
        let holds = match self.operator.quantifier {
            _ if self.operator.if_exists => true,
            Some(Quantifier::All) => true,
            Some(Quantifier::Any) => false,
            None => self.operator.negated,
        };
        if holds { Truth::Yes } else { Truth::No }
    }

    fn with_value(&self, value: ConditionValue<'_>, variables: &Variables<'_>) -> Truth {
        match (value, self.operator.quantifier) {
            (ConditionValue::Unreadable, _) => Truth::Unknown,
            // A null set, such as an empty text, has no value that could fail.
            (ConditionValue::Text(""), Some(Quantifier::All)) => Truth::Yes,
            (ConditionValue::List(list), quantifier) => {
                let texts = (0..).map_while(|index| list.text(index));
                let each = texts.map(|text| self.compare(ConditionValue::Text(text), variables));
                self.quantify(each, quantifier)
            }
            (single, _) => self.truth(self.compare(single, variables)),
        }
    }

    /// Without a quantifier a key of several values matches where any value matches, and a `Not` operator holds
    /// where none does. AWS does not say.
    fn quantify(&self, each: impl Iterator<Item = Found>, quantifier: Option<Quantifier>) -> Truth {
        let truths = each.map(|found| self.truth(found));
        let all = match quantifier {
            Some(Quantifier::All) => true,
            Some(Quantifier::Any) => false,
            None => self.operator.negated,
        };
        let (decisive, otherwise) = if all { (Truth::No, Truth::Yes) } else { (Truth::Yes, Truth::No) };
        let mut outcome = otherwise;
        for truth in truths {
            if truth == decisive {
                return decisive;
            }
            if truth == Truth::Unknown {
                outcome = Truth::Unknown;
            }
        }
        outcome
    }

    fn truth(&self, found: Found) -> Truth {
        match (found, self.operator.negated) {
            (Found::Match, false) | (Found::NoMatch | Found::OtherType, true) => Truth::Yes,
            (Found::Match, true) | (Found::NoMatch, false) => Truth::No,
            (Found::OtherType, false) | (Found::Unknown, _) => Truth::Unknown,
        }
    }

    /// Whether the value matches any of the policy's. One that matches decides, whatever could not be read.
    fn compare(&self, value: ConditionValue<'_>, variables: &Variables<'_>) -> Found {
        let found = self.find(value, variables);
        if variables.take_unreadable() && found != Found::Match { Found::Unknown } else { found }
    }

    fn find(&self, value: ConditionValue<'_>, variables: &Variables<'_>) -> Found {
        match (&self.operands, self.operator.kind) {
            (Operands::Patterns(patterns), kind) => {
                let folded = kind == Kind::Text { ignore_case: true };
                let case = if folded { Case::Insensitive } else { Case::Sensitive };
                any_text(value, patterns, |pattern, text| pattern.matches(text, case, variables))
            }
            (Operands::Arns(patterns), _) => any_text(value, patterns, |pattern, text| {
                pattern.as_ref().is_some_and(|pattern| pattern.matches(text, variables))
            }),
            (Operands::Bytes(wanted), _) => any_bytes(value, wanted),
            (Operands::Numbers(numbers), Kind::Number(comparison)) => {
                any_typed(value, numbers, variables, |found, wanted| comparison.holds(found.compare(*wanted)))
            }
            (Operands::Dates(dates), Kind::Date(comparison)) => {
                any_typed(value, dates, variables, |found, wanted| {
                    comparison.holds(found.partial_cmp(wanted))
                })
            }
            (Operands::Bools(flags), _) => {
                any_typed(value, flags, variables, |found, wanted| found == wanted)
            }
            (Operands::Networks(networks), _) => any_network(value, networks, variables),
            (Operands::Numbers(_) | Operands::Dates(_), _) => Found::Unknown,
        }
    }
}

fn any_text<P>(value: ConditionValue<'_>, patterns: &[P], matches: impl Fn(&P, &str) -> bool) -> Found {
    let any = value.with_text(|text| patterns.iter().any(|pattern| matches(pattern, text)));
    match any {
        Some(true) => Found::Match,
        Some(false) => Found::NoMatch,
        None => Found::OtherType,
    }
}

fn any_bytes(value: ConditionValue<'_>, wanted: &[Box<[u8]>]) -> Found {
    let found = match value {
        ConditionValue::Binary(bytes) => bytes,
        ConditionValue::Text(text) => text.as_bytes(),
        _ => return Found::OtherType,
    };
    if wanted.iter().any(|bytes| **bytes == *found) { Found::Match } else { Found::NoMatch }
}

fn any_typed<T: FromValue>(
    value: ConditionValue<'_>,
    operands: &[Operand<T>],
    variables: &Variables<'_>,
    holds: impl Fn(&T, &T) -> bool,
) -> Found {
    let Some(found) = T::from_value(value) else { return Found::OtherType };
    let mut outcome = Found::NoMatch;
    for operand in operands {
        let holds = match operand {
            Operand::Value(wanted) => Some(holds(&found, wanted)),
            Operand::Variable(variable) => {
                let wanted = variable.with_value(variables, |value| T::from_value(value));
                // A null variable equals nothing; one of another type cannot be compared.
                wanted.map_or(Some(false), |wanted| wanted.map(|wanted| holds(&found, &wanted)))
            }
        };
        match holds {
            Some(true) => return Found::Match,
            Some(false) => {}
            None => outcome = Found::Unknown,
        }
    }
    outcome
}

fn any_network(value: ConditionValue<'_>, networks: &[Operand<IpNet>], variables: &Variables<'_>) -> Found {
    let Some(address) = address_of(value) else { return Found::OtherType };
    // As a text it may have been meant as either family. What knows the family gives an address, not a text.
    if address.to_canonical() != address {
        return Found::Unknown;
    }
    any_typed(ConditionValue::Ip(address), networks, variables, |found, network| {
        network.contains(&found.addr())
    })
}

fn address_of(value: ConditionValue<'_>) -> Option<IpAddr> {
    match value {
        ConditionValue::Ip(address) => Some(address.to_canonical()),
        ConditionValue::Text(text) => text.parse().ok(),
        _ => None,
    }
}
