//! The values on the policy's side of a condition, read once and typed.

use super::{
    ConditionValue, PolicyProblem,
    arn::ArnPattern,
    date::{self, Instant, NANOS},
    operator::Kind,
    pattern::{Pattern, Syntax, Variable},
};
use ipnet::IpNet;
use std::{cmp::Ordering, net::IpAddr};

/// A number as exact as it was given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Integer(i64),
    Decimal(f64),
}

impl Number {
    fn parse(text: &str) -> Option<Self> {
        if let Ok(integer) = text.parse() {
            return Some(Self::Integer(integer));
        }
        // `inf` and `nan` are numbers to Rust only.
        let plain = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
        let decimal = text.parse::<f64>().ok().filter(|number| plain && number.is_finite());
        decimal.map(Self::Decimal)
    }

    pub(super) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => Some(one.cmp(&other)),
            (one, other) => one.as_f64().partial_cmp(&other.as_f64()),
        }
    }

    fn as_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Decimal(decimal) => decimal,
        }
    }
}

/// How the value of a key, or of a variable, is read as what an operator compares.
pub(super) trait FromValue: Sized {
    /// `None` if the value is of another kind.
    fn from_value(value: ConditionValue<'_>) -> Option<Self>;

    fn from_text(text: &str) -> Option<Self> {
        Self::from_value(ConditionValue::Text(text))
    }
}

impl FromValue for Number {
    fn from_value(value: ConditionValue<'_>) -> Option<Self> {
        match value {
            ConditionValue::Integer(number) | ConditionValue::Time(number) => Some(Self::Integer(number)),
            ConditionValue::Decimal(number) => Some(Self::Decimal(number)),
            ConditionValue::Text(text) => Self::parse(text),
            _ => None,
        }
    }
}

impl FromValue for Instant {
    fn from_value(value: ConditionValue<'_>) -> Option<Self> {
        match value {
            ConditionValue::Integer(seconds) | ConditionValue::Time(seconds) => {
                Some(Self::from(seconds) * NANOS)
            }
            ConditionValue::Text(text) => date::parse(text),
            _ => None,
        }
    }
}

impl FromValue for bool {
    fn from_value(value: ConditionValue<'_>) -> Option<Self> {
        match value {
            ConditionValue::Bool(flag) => Some(flag),
            ConditionValue::Text(text) if text.eq_ignore_ascii_case("true") => Some(true),
            ConditionValue::Text(text) if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }
}

impl FromValue for IpNet {
    fn from_value(value: ConditionValue<'_>) -> Option<Self> {
        match value {
            ConditionValue::Ip(address) => Some(address.to_canonical().into()),
            ConditionValue::Text(text) => {
                let network = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Self::from));
                // No address would ever be in it: IPv4 addresses mapped into IPv6 are compared as IPv4.
                network.filter(|network| network.addr().to_canonical() == network.addr())
            }
            _ => None,
        }
    }
}

/// One value of a typed operator: known now, or a variable that stands alone.
#[derive(Clone, Debug)]
pub(super) enum Operand<T> {
    Value(T),
    Variable(Variable),
}

/// All values of one key.
#[derive(Clone, Debug)]
pub(super) enum Operands {
    Patterns(Box<[Pattern]>),
    Numbers(Box<[Operand<Number>]>),
    Dates(Box<[Operand<Instant>]>),
    Bools(Box<[Operand<bool>]>),
    Networks(Box<[Operand<IpNet>]>),
    Bytes(Box<[Box<[u8]>]>),
    /// `None` for a text that is no ARN pattern, which no ARN matches.
    Arns(Box<[Option<ArnPattern>]>),
}

/// Which value is at fault, and why.
pub(super) type Fault = (usize, PolicyProblem);

impl Operands {
    pub(super) fn compile(kind: Kind, values: &[String], variables: bool) -> Result<Self, Fault> {
        let syntax = Syntax { wildcards: kind == Kind::Like, variables };
        Ok(match kind {
            Kind::Text { .. } | Kind::Like => Self::Patterns(each(values, |text| {
                Pattern::compile(text, syntax).ok_or(PolicyProblem::InvalidVariable)
            })?),
            Kind::Arn => Self::Arns(each(values, |text| {
                ArnPattern::compile(text, variables).ok_or(PolicyProblem::InvalidVariable)
            })?),
            Kind::Binary => {
                Self::Bytes(each(values, |text| decode_base64(text).ok_or(PolicyProblem::InvalidBase64))?)
            }
            Kind::Number(_) => Self::Numbers(typed(values, variables, PolicyProblem::InvalidNumber)?),
            Kind::Date(_) => Self::Dates(typed(values, variables, PolicyProblem::InvalidDate)?),
            Kind::Bool | Kind::Null => Self::Bools(typed(values, variables, PolicyProblem::InvalidBoolean)?),
            Kind::Ip => Self::Networks(typed(values, variables, PolicyProblem::InvalidAddress)?),
        })
    }
}

fn each<T>(values: &[String], compile: impl Fn(&str) -> Result<T, PolicyProblem>) -> Result<Box<[T]>, Fault> {
    let compiled = values.iter().enumerate();
    compiled.map(|(index, text)| compile(text).map_err(|problem| (index, problem))).collect()
}

fn typed<T: FromValue>(
    values: &[String],
    variables: bool,
    problem: PolicyProblem,
) -> Result<Box<[Operand<T>]>, Fault> {
    each(values, |text| {
        if variables && text.contains("${") {
            return Variable::alone(text).map(Operand::Variable).ok_or(PolicyProblem::InvalidVariable);
        }
        T::from_text(text).map(Operand::Value).ok_or(problem)
    })
}

/// RFC 4648 section 4, with its padding.
fn decode_base64(text: &str) -> Option<Box<[u8]>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 || digits.len() % 4 == 1 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut bits, mut count) = (0_u32, 0);
    for digit in digits.bytes() {
        bits = bits << 6 | u32::from(base64_value(digit)?);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    // Bits left over would make two texts of one value.
    (bits & ((1 << count) - 1) == 0).then(|| bytes.into())
}

fn base64_value(digit: u8) -> Option<u8> {
    match digit {
        b'A'..=b'Z' => Some(digit - b'A'),
        b'a'..=b'z' => Some(digit - b'a' + 26),
        b'0'..=b'9' => Some(digit - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine, engine::general_purpose::STANDARD};
    use proptest::prelude::*;

    #[test]
    fn numbers_keep_their_precision() {
        let compare =
            |one: &str, other: &str| Number::parse(one).unwrap().compare(Number::parse(other).unwrap());
        assert_eq!(compare("9007199254740993", "9007199254740992"), Some(Ordering::Greater));
        assert_eq!(compare("10", "10.0"), Some(Ordering::Equal));
        assert_eq!(compare("-1", "0"), Some(Ordering::Less));
        assert_eq!(compare("1e3", "1000"), Some(Ordering::Equal));
        for text in ["", "ten", "inf", "NaN", "0x10", "1,5", "1e999"] {
            assert_eq!(Number::parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn base64_is_what_another_decoder_reads(text in "[A-Za-z0-9+/]{0,12}={0,3}") {
            let expected = STANDARD.decode(&text).ok();
            prop_assert_eq!(decode_base64(&text).map(Vec::from), expected);
        }
    }
}
