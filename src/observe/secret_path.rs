//! Paths without the values of those of their variables that are secrets.

use super::access_log::mask;
use crate::{
    context::RequestContext,
    percent::{Plus, decode_lossy},
};
use std::borrow::Cow;

/// A path, or an ARN made of one, with the values of masked variables replaced, as they were sent and decoded: whole
/// segments, or all that a greedy variable took.
pub(super) fn mask_path<'a>(
    text: &'a str,
    context: &RequestContext,
    masks: impl Fn(&str) -> bool,
) -> Cow<'a, str> {
    let secrets = variables(context).filter(|name| masks(name));
    let values = secrets.filter_map(|name| context.path_parameter(name)).filter(|value| !value.is_empty());
    values.fold(text.into(), |text, value| {
        let masked = mask_value(&text, value);
        match decode_lossy(value, Plus::Literal) {
            Cow::Owned(decoded) if decoded != value => mask_value(&masked, &decoded).into(),
            _ => masked.into(),
        }
    })
}

fn mask_value(text: &str, value: &str) -> String {
    if value.contains('/') {
        return text.replace(value, &mask(value));
    }
    let shown = |segment: &str| if segment == value { mask(segment) } else { segment.to_owned() };
    text.split('/').map(shown).collect::<Vec<_>>().join("/")
}

/// The variables of the path as declared.
pub(super) fn variables(context: &RequestContext) -> impl Iterator<Item = &str> {
    let declared = context.route().map(|route| route.declared().variables.as_slice());
    declared.unwrap_or_default().iter().map(|name| name.trim_end_matches('+'))
}
