//! How X-Ray calls an API: its service name, and the ARN of its stage.

use crate::observe::ApiInfo;

/// What X-Ray calls a stage of an API.
pub(super) const SERVICE_TYPE: &str = "AWS::ApiGateway::Stage";

/// `pets/prod`, of what X-Ray allows in a name: a document with another name is not taken (AWS: "AWS X-Ray segment
/// documents").
pub(super) fn service_name(api: &ApiInfo, stage: &str) -> String {
    const LONGEST: usize = 200;
    let allowed = |character: &char| character.is_alphanumeric() || " _.:/%&#=+\\-@".contains(*character);
    let name = if api.name().is_empty() { id(api) } else { api.name() };
    format!("{name}/{stage}").chars().filter(allowed).take(LONGEST).collect()
}

/// `arn:aws:apigateway:eu-west-1::/restapis/a1b2c3d4e5/stages/prod`.
pub(super) fn stage_arn(api: &ApiInfo, region: &str, stage: &str) -> String {
    format!("arn:{}:apigateway:{region}::/restapis/{}/stages/{stage}", partition(region), id(api))
}

/// The API's id, or else its name.
pub(super) fn id(api: &ApiInfo) -> &str {
    api.api_id().unwrap_or(api.name())
}

/// AWS: "Amazon Resource Names (ARNs)": Regions in China and of GovCloud have their own.
fn partition(region: &str) -> &'static str {
    match region {
        _ if region.starts_with("cn-") => "aws-cn",
        _ if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_only_what_x_ray_allows() {
        for (api, stage, wanted) in [
            ("testxray", "dev", "testxray/dev"),
            ("Pets (EU)!", "$default", "Pets EU/default"),
            ("Zoo_1.2:a%&#=+\\-@ äß", "prod", "Zoo_1.2:a%&#=+\\-@ äß/prod"),
            ("pets;*^<>~?\n", "-", "pets/-"),
        ] {
            assert_eq!(service_name(&ApiInfo::new(api), stage), wanted);
        }
        assert_eq!(service_name(&ApiInfo::new("").id("a1"), "prod"), "a1/prod");
        assert_eq!(service_name(&ApiInfo::new("ä".repeat(300)), "prod"), "ä".repeat(200));
    }

    #[test]
    fn arns_are_of_the_region_s_partition() {
        let api = ApiInfo::new("pets").id("a1");
        for (region, partition) in
            [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-east-1", "aws-us-gov")]
        {
            let wanted = format!("arn:{partition}:apigateway:{region}::/restapis/a1/stages/prod");
            assert_eq!(stage_arn(&api, region, "prod"), wanted);
        }
    }
}
