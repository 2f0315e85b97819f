//! Resource path templates: `/pets`, `/pets/{id}`, `/{proxy+}`.

use crate::error::ConfigError;

/// One part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Static(Box<str>),
    /// `{name}`: exactly one segment.
    Variable(Box<str>),
    /// `{name+}`: one or more segments, last.
    Greedy(Box<str>),
}

/// Cuts a template into its segments; `/` has none.
pub(crate) fn parse(template: &str) -> Result<Vec<Segment>, ConfigError> {
    let fault = |problem: &'static str| ConfigError::new("resource path", template, problem);
    let Some(rest) = template.strip_prefix('/') else { return Err(fault("does not start with `/`")) };
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    let segments: Vec<_> =
        rest.split('/').map(|text| segment(text).map_err(fault)).collect::<Result<_, _>>()?;
    check_names(&segments).map_err(fault)?;
    Ok(segments)
}

fn segment(text: &str) -> Result<Segment, &'static str> {
    match text.strip_prefix('{').map(|inner| inner.strip_suffix('}')) {
        None if text.is_empty() => Err("has an empty segment"),
        None if matches!(text, "." | "..") => Err("has a dot segment"),
        // Text to AWS; whoever writes it here means a variable, as to other routers.
        None if text.starts_with([':', '*']) => Err("a variable is written `{name}` or `{name+}`"),
        None if text.bytes().all(is_static_byte) => Ok(Segment::Static(text.into())),
        None | Some(None) => Err("a segment is neither text, `{name}` nor `{name+}`"),
        Some(Some(name)) => match name.strip_suffix('+') {
            Some(name) => variable_name(name).map(Segment::Greedy),
            None => variable_name(name).map(Segment::Variable),
        },
    }
}

fn variable_name(name: &str) -> Result<Box<str>, &'static str> {
    let valid =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.:$".contains(&byte));
    valid.then(|| name.into()).ok_or("a variable's name holds letters, digits and `_-.:$` only")
}

/// AWS allows letters, digits and `_-.,:`; the rest of RFC 3986's unreserved and sub-delims are our extension.
fn is_static_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.,:~!$&'()*+;=@".contains(&byte)
}

fn check_names(segments: &[Segment]) -> Result<(), &'static str> {
    let greedy_first = segments.iter().rev().skip(1).any(|segment| matches!(segment, Segment::Greedy(_)));
    if greedy_first {
        return Err("a greedy variable is not the last segment");
    }
    let mut names: Vec<_> = segments.iter().filter_map(Segment::name).collect();
    names.sort_unstable();
    if names.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("a variable's name appears twice");
    }
    if names.len() > super::MAX_VARIABLES {
        return Err("has more than 16 variables");
    }
    Ok(())
}

impl Segment {
    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Static(_) => None,
            Self::Variable(name) | Self::Greedy(name) => Some(name),
        }
    }
}
