//! `/stages` and `/stages/{name}`: what each stage points to, and how it got there.

use super::json::{Object, object, push_object};
#[cfg(feature = "tracing")]
use crate::route::LoggingLevel;
use crate::{
    route::MethodSettings,
    stage::{CanarySettings, Stage, Stages},
};

/// All stages and deployments.
pub(super) fn stages(stages: &Stages, show_values: bool) -> String {
    let all = stages.stage_names().into_iter().filter_map(|name| stages.stage(&name));
    object(|o| {
        o.list("stages", all, |out, stage| {
            push_object(out, |o| push_stage(o, stages, &stage, show_values));
        });
        o.list("deployments", stages.deployments(), |out, (id, description)| {
            push_object(out, |o| _ = o.text("id", &id).text("description", &description));
        });
    })
}

/// One stage; `None` if there is none of that name.
pub(super) fn stage(stages: &Stages, name: &str, show_values: bool) -> Option<String> {
    let stage = stages.stage(name)?;
    Some(object(|o| push_stage(o, stages, &stage, show_values)))
}

fn push_stage(o: &mut Object<'_>, stages: &Stages, stage: &Stage, show_values: bool) {
    o.text("name", stage.name()).text("deploymentId", stage.deployment_id());
    o.texts("history", stages.history(stage.name()).iter().map(String::as_str));
    push_variables(o, "variables", stage.variables(), show_values);
    o.object("settings", |o| {
        for (method, settings) in stage.all_settings() {
            o.object(method, |o| push_settings(o, settings));
        }
    });
    if let Some(canary) = stage.canary_settings() {
        o.object("canary", |o| push_canary(o, canary, show_values));
    }
}

fn push_canary(o: &mut Object<'_>, canary: &CanarySettings, show_values: bool) {
    o.text("deploymentId", canary.deployment_id()).fraction("percentTraffic", canary.percent_traffic());
    push_variables(o, "stageVariableOverrides", canary.overrides(), show_values);
}

/// Names and values, or a list of the names: values may be addresses of what nobody outside should know.
fn push_variables<'a>(
    o: &mut Object<'_>,
    member: &str,
    variables: impl Iterator<Item = (&'a str, &'a str)>,
    show_values: bool,
) {
    if show_values {
        o.object(member, |o| variables.for_each(|(name, value)| _ = o.text(name, value)));
    } else {
        o.texts(member, variables.map(|(name, _)| name));
    }
}

fn push_settings(o: &mut Object<'_>, settings: &MethodSettings) {
    if let Some(throttle) = settings.throttle {
        o.object("throttle", |o| {
            o.value("rateLimit", throttle.rate_limit()).value("burstLimit", throttle.burst_limit());
            o.value("shadow", settings.shadow);
        });
    }
    if let Some(caching) = settings.caching {
        o.object("caching", |o| {
            o.value("enabled", caching.enabled).value("ttlSeconds", caching.ttl.as_secs());
            o.value("dataEncrypted", caching.data_encrypted);
            o.value("requireAuthorization", caching.require_authorization);
        });
    }
    #[cfg(feature = "tracing")]
    if let Some(logging) = settings.execution_logging {
        let level = match logging.level() {
            LoggingLevel::Off => "OFF",
            LoggingLevel::Error => "ERROR",
            LoggingLevel::Info => "INFO",
        };
        o.object("logging", |o| _ = o.text("level", level).value("dataTrace", logging.traces_data()));
    }
    #[cfg(feature = "emf")]
    if let Some(enabled) = settings.metrics_enabled {
        o.value("metricsEnabled", enabled);
    }
}
