//! From a policy document to statements.

use super::{
    Effect, ExecuteApi, PolicyError, PolicyProblem as Problem,
    arn::{ResourceFault, ResourcePattern},
    condition::Condition,
    execute_api::short_form,
    json::{Node, REPEATED},
    operator::Operator,
    pattern::{Pattern, Syntax},
    principal::{PrincipalPattern, Principals},
    statement::{Actions, Resources, Statement},
};
use std::collections::HashSet;

/// How a document is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading<'a> {
    /// A resource policy names principals; an identity policy must not.
    pub(super) names_principals: bool,
    /// Expands the short form of resources.
    pub(super) api: Option<&'a ExecuteApi>,
}

type Members = [(String, Node)];
type Result<T> = std::result::Result<T, PolicyError>;

pub(super) fn parse(text: &[u8]) -> Result<Node> {
    Node::parse(text).map_err(|error| {
        let words = error.to_string();
        let problem = if words.starts_with(REPEATED) { Problem::RepeatedMember } else { Problem::Json };
        PolicyError::new("", words, problem)
    })
}

/// Whether a text is JSON in which no member stands twice.
#[cfg(feature = "authorizer")]
pub(crate) fn check_members(json: &[u8]) -> Result<()> {
    parse(json).map(drop)
}

pub(super) fn read(document: &Node, reading: Reading<'_>) -> Result<Vec<Statement>> {
    let members = object("", document)?;
    known(members, "", &["Version", "Id", "Statement"])?;
    let variables = version(members)?;
    if let Some(id) = member(members, "Id") {
        text("Id", id)?;
    }
    let statements = match member(members, "Statement") {
        Some(Node::Array(statements)) if statements.is_empty() => {
            return Err(PolicyError::new("Statement", "[]", Problem::Empty));
        }
        Some(Node::Array(statements)) => statements.as_slice(),
        Some(single) => std::slice::from_ref(single),
        None => return Err(PolicyError::new("Statement", "", Problem::MissingMember)),
    };
    let each = statements.iter().enumerate();
    let read: Vec<_> = each
        .map(|(index, node)| statement(node, variables, reading).map_err(|error| error.in_statement(index)))
        .collect::<Result<_>>()?;
    unique_sids(&read)?;
    Ok(read)
}

/// Whether policy variables are in force.
fn version(members: &Members) -> Result<bool> {
    let Some(node) = member(members, "Version") else { return Ok(false) };
    match text("Version", node)? {
        "2012-10-17" => Ok(true),
        "2008-10-17" => Ok(false),
        other => Err(PolicyError::new("Version", other, Problem::UnknownVersion)),
    }
}

fn unique_sids(statements: &[Statement]) -> Result<()> {
    let mut known = HashSet::new();
    for (index, statement) in statements.iter().enumerate() {
        let Some(sid) = statement.sid.as_deref().filter(|sid| !sid.is_empty()) else { continue };
        if !known.insert(sid) {
            return Err(PolicyError::new("Sid", sid, Problem::RepeatedSid).in_statement(index));
        }
    }
    Ok(())
}

const STATEMENT: [&str; 9] = [
    "Sid",
    "Effect",
    "Principal",
    "NotPrincipal",
    "Action",
    "NotAction",
    "Resource",
    "NotResource",
    "Condition",
];

fn statement(node: &Node, variables: bool, reading: Reading<'_>) -> Result<Statement> {
    let members = object("", node)?;
    known(members, "", &STATEMENT)?;
    let sid = member(members, "Sid").map(|node| text("Sid", node)).transpose()?;
    let effect = effect(members)?;
    Ok(Statement {
        sid: sid.map(Into::into),
        effect,
        principals: principals(members, effect, reading)?,
        actions: actions(members)?,
        resources: resources(members, variables, reading.api)?,
        conditions: conditions(members, variables)?,
    })
}

fn effect(members: &Members) -> Result<Effect> {
    let node = required(members, "Effect")?;
    match text("Effect", node)? {
        "Allow" => Ok(Effect::Allow),
        "Deny" => Ok(Effect::Deny),
        other => Err(PolicyError::new("Effect", other, Problem::UnknownEffect)),
    }
}

fn principals(members: &Members, effect: Effect, reading: Reading<'_>) -> Result<Principals> {
    let Some((name, node, negated)) = either(members, "Principal", "NotPrincipal")? else {
        return match reading.names_principals {
            true => Err(PolicyError::new("Principal", "", Problem::PrincipalMissing)),
            false => Ok(Principals::Attached),
        };
    };
    if !reading.names_principals {
        return Err(PolicyError::new(name, name, Problem::PrincipalInIdentityPolicy));
    }
    if negated && effect == Effect::Allow {
        return Err(PolicyError::new(name, name, Problem::NotPrincipalWithAllow));
    }
    let list = principal_list(name, node)?;
    Ok(if negated { Principals::Except(list) } else { Principals::Listed(list) })
}

fn principal_list(name: &str, node: &Node) -> Result<Box<[PrincipalPattern]>> {
    if let Node::Text(text) = node {
        let anyone = if text == "*" { Some(PrincipalPattern::Anyone) } else { None };
        let anyone = anyone.ok_or_else(|| PolicyError::new(name, text, Problem::InvalidPrincipal))?;
        return Ok([anyone].into());
    }
    let kinds = object(name, node)?;
    known(kinds, name, &["AWS", "Service", "Federated", "CanonicalUser"])?;
    let mut list = Vec::new();
    for (kind, node) in kinds {
        let member = format!("{name}.{kind}");
        for (place, value) in texts(&member, node)? {
            let compiled = match kind.as_str() {
                "AWS" => PrincipalPattern::aws(value),
                other => PrincipalPattern::other(other, value),
            };
            list.push(compiled.ok_or_else(|| PolicyError::new(place, value, Problem::InvalidPrincipal))?);
        }
    }
    if list.is_empty() { Err(PolicyError::new(name, "{}", Problem::Empty)) } else { Ok(list.into()) }
}

fn actions(members: &Members) -> Result<Actions> {
    let (name, node, negated) = either(members, "Action", "NotAction")?
        .ok_or_else(|| PolicyError::new("Action", "", Problem::MissingMember))?;
    let syntax = Syntax { wildcards: true, variables: false };
    let compile = |(place, value): (String, &str)| {
        let (service, action) = value.split_once(':').unwrap_or_default();
        let valid = value == "*" || !service.is_empty() && !action.is_empty();
        let pattern = Pattern::compile(value, syntax).filter(|_| valid);
        pattern.ok_or_else(|| PolicyError::new(place, value, Problem::InvalidAction))
    };
    let patterns = texts(name, node)?.into_iter().map(compile).collect::<Result<_>>()?;
    Ok(Actions { patterns, negated })
}

fn resources(members: &Members, variables: bool, api: Option<&ExecuteApi>) -> Result<Resources> {
    let (name, node, negated) = either(members, "Resource", "NotResource")?
        .ok_or_else(|| PolicyError::new("Resource", "", Problem::MissingMember))?;
    let compile = |(place, value): (String, &str)| {
        resource(value, variables, api).map_err(|problem| PolicyError::new(place, value, problem))
    };
    let patterns = texts(name, node)?.into_iter().map(compile).collect::<Result<_>>()?;
    Ok(Resources { patterns, negated })
}

fn resource(
    value: &str,
    variables: bool,
    api: Option<&ExecuteApi>,
) -> std::result::Result<ResourcePattern, Problem> {
    let long = match (short_form(value), api) {
        (Some(_), None) => return Err(Problem::ShortFormWithoutApi),
        (Some(_), Some(api)) => api.expand(value),
        (None, _) => None,
    };
    ResourcePattern::compile(long.as_deref().unwrap_or(value), variables).map_err(|fault| match fault {
        ResourceFault::NotAnArn => Problem::InvalidResource,
        ResourceFault::Variable => Problem::InvalidVariable,
    })
}

fn conditions(members: &Members, variables: bool) -> Result<Box<[Condition]>> {
    let Some(block) = member(members, "Condition") else { return Ok(Box::default()) };
    let mut compiled = Vec::new();
    for (name, keys) in object("Condition", block)? {
        let place = format!("Condition.{name}");
        let operator =
            Operator::parse(name).ok_or_else(|| PolicyError::new(&place, name, Problem::UnknownOperator))?;
        for (key, values) in object(&place, keys)? {
            let place = format!("{place}.{key}");
            if key.is_empty() {
                return Err(PolicyError::new(place, key, Problem::InvalidKey));
            }
            let values = condition_values(&place, values)?;
            compiled.push(condition(&place, (name, operator), key, values, variables)?);
        }
    }
    Ok(compiled.into())
}

fn condition(
    place: &str,
    (name, operator): (&str, Operator),
    key: &str,
    values: Vec<String>,
    variables: bool,
) -> Result<Condition> {
    let texts = values.clone();
    Condition::compile(name, operator, key, values, variables)
        .map_err(|(index, problem)| PolicyError::new(format!("{place}[{index}]"), &texts[index], problem))
}

/// Texts, and numbers and booleans as they are written; one or a list. A list may be empty: nothing matches it.
fn condition_values(place: &str, node: &Node) -> Result<Vec<String>> {
    let value = |node: &Node| match node {
        Node::Text(text) | Node::Number(text) => Ok(text.clone()),
        Node::Bool(flag) => Ok(flag.to_string()),
        other => Err(PolicyError::new(place, other.kind(), Problem::WrongType)),
    };
    match node {
        Node::Array(items) => items.iter().map(value).collect(),
        single => Ok(vec![value(single)?]),
    }
}

fn object<'a>(place: &str, node: &'a Node) -> Result<&'a Members> {
    match node {
        Node::Object(members) => Ok(members),
        other => Err(PolicyError::new(place, other.kind(), Problem::WrongType)),
    }
}

fn text<'a>(place: &str, node: &'a Node) -> Result<&'a str> {
    match node {
        Node::Text(text) => Ok(text),
        other => Err(PolicyError::new(place, other.kind(), Problem::WrongType)),
    }
}

/// One text or a list of at least one, each with its place.
fn texts<'a>(place: &str, node: &'a Node) -> Result<Vec<(String, &'a str)>> {
    match node {
        Node::Array(items) if items.is_empty() => Err(PolicyError::new(place, "[]", Problem::Empty)),
        Node::Array(items) => {
            let each = items.iter().enumerate();
            each.map(|(index, item)| {
                let place = format!("{place}[{index}]");
                text(&place, item).map(|text| (place.clone(), text))
            })
            .collect()
        }
        single => Ok(vec![(place.to_owned(), text(place, single)?)]),
    }
}

fn member<'a>(members: &'a Members, name: &str) -> Option<&'a Node> {
    members.iter().find(|(own, _)| own == name).map(|(_, node)| node)
}

fn required<'a>(members: &'a Members, name: &str) -> Result<&'a Node> {
    member(members, name).ok_or_else(|| PolicyError::new(name, "", Problem::MissingMember))
}

/// `X` or `NotX`, with whether it is the latter.
fn either<'a>(
    members: &'a Members,
    name: &'static str,
    negated: &'static str,
) -> Result<Option<(&'static str, &'a Node, bool)>> {
    match (member(members, name), member(members, negated)) {
        (Some(_), Some(_)) => Err(PolicyError::new(negated, name, Problem::BothForms)),
        (Some(node), None) => Ok(Some((name, node, false))),
        (None, Some(node)) => Ok(Some((negated, node, true))),
        (None, None) => Ok(None),
    }
}

fn known(members: &Members, place: &str, names: &[&str]) -> Result<()> {
    match members.iter().find(|(name, _)| !names.contains(&name.as_str())) {
        Some((name, _)) => {
            let place = if place.is_empty() { name.clone() } else { format!("{place}.{name}") };
            Err(PolicyError::new(place, name, Problem::UnknownMember))
        }
        None => Ok(()),
    }
}
