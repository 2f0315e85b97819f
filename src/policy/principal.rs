//! Who calls, and whom a statement names.

use super::arn;

/// Who makes a request, as a resource policy sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestPrincipal<'a> {
    /// Nobody that IAM knows: methods without authorizer, with a Lambda authorizer, or with Cognito. Only `"*"`
    /// names them.
    #[default]
    Anonymous,
    /// The ARN of a user, of an assumed-role or federated session, or of an account's root.
    Aws(&'a str),
    /// A service, `lambda.amazonaws.com`.
    Service(&'a str),
    /// An identity provider, by its ARN or domain.
    Federated(&'a str),
    /// A canonical user id.
    CanonicalUser(&'a str),
}

/// How closely a statement names a caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Named {
    No,
    /// By the account, which delegates to the account's own policies.
    ByAccount,
    Directly,
}

#[derive(Clone, Debug)]
pub(super) enum PrincipalPattern {
    Anyone,
    Account(Box<str>),
    /// A role names its sessions too, by account and name: a session's ARN does not show the role's path, and the
    /// names of an account's roles are unique.
    Role {
        arn: Box<str>,
        account: Box<str>,
        name: Box<str>,
    },
    Arn(Box<str>),
    Service(Box<str>),
    Federated(Box<str>),
    CanonicalUser(Box<str>),
}

impl PrincipalPattern {
    /// A value below `AWS`: `*`, an account id, or an ARN without wildcards.
    pub(super) fn aws(text: &str) -> Option<Self> {
        if text == "*" {
            return Some(Self::Anyone);
        }
        if is_account(text) {
            return Some(Self::Account(text.into()));
        }
        let [_, partition, service, region, account, resource] = arn::split(text)?;
        let known = matches!(service, "iam" | "sts") && !partition.is_empty() && region.is_empty();
        if !known || !is_account(account) || resource.is_empty() || text.contains(['*', '?', '$']) {
            return None;
        }
        if resource == "root" {
            return Some(Self::Account(account.into()));
        }
        match resource.strip_prefix("role/").and_then(|path| path.rsplit('/').next()) {
            Some("") => None,
            Some(name) => Some(Self::Role { arn: text.into(), account: account.into(), name: name.into() }),
            None => resource.contains('/').then(|| Self::Arn(text.into())),
        }
    }

    /// A value below `Service`, `Federated` or `CanonicalUser`.
    pub(super) fn other(kind: &str, text: &str) -> Option<Self> {
        if text.is_empty() || text.contains(['*', '?']) {
            return None;
        }
        match kind {
            "Service" => Some(Self::Service(text.into())),
            "Federated" => Some(Self::Federated(text.into())),
            "CanonicalUser" => Some(Self::CanonicalUser(text.into())),
            _ => None,
        }
    }

    fn names(&self, caller: RequestPrincipal<'_>) -> Named {
        let direct = match (self, caller) {
            (Self::Anyone, _) => true,
            (Self::Account(id), RequestPrincipal::Aws(arn)) => return names_account(id, arn),
            (Self::Role { arn, account, name }, RequestPrincipal::Aws(caller)) => {
                **arn == *caller || role_of_session(caller) == Some((&**account, &**name))
            }
            (Self::Arn(arn), RequestPrincipal::Aws(caller)) => **arn == *caller,
            (Self::Service(name), RequestPrincipal::Service(caller)) => **name == *caller,
            (Self::Federated(name), RequestPrincipal::Federated(caller)) => **name == *caller,
            (Self::CanonicalUser(id), RequestPrincipal::CanonicalUser(caller)) => **id == *caller,
            _ => false,
        };
        if direct { Named::Directly } else { Named::No }
    }
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn names_account(id: &str, caller: &str) -> Named {
    match arn::split(caller) {
        Some([.., account, "root"]) if account == id => Named::Directly,
        Some([.., account, _]) if account == id => Named::ByAccount,
        _ => Named::No,
    }
}

/// Account and role name of `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
fn role_of_session(caller: &str) -> Option<(&str, &str)> {
    let [_, _, "sts", _, account, resource] = arn::split(caller)? else { return None };
    let (role, _session) = resource.strip_prefix("assumed-role/")?.split_once('/')?;
    Some((account, role))
}

/// `Principal` or `NotPrincipal` of a statement.
#[derive(Clone, Debug)]
pub(super) enum Principals {
    /// An identity policy: whoever it is attached to.
    Attached,
    Listed(Box<[PrincipalPattern]>),
    Except(Box<[PrincipalPattern]>),
}

impl Principals {
    pub(super) fn names(&self, caller: RequestPrincipal<'_>) -> Named {
        match self {
            Self::Attached => Named::Directly,
            Self::Listed(list) => list.iter().map(|one| one.names(caller)).max().unwrap_or(Named::No),
            Self::Except(list) if is_excepted(list, caller) => Named::No,
            Self::Except(_) => Named::Directly,
        }
    }
}

/// Whether `NotPrincipal` leaves the caller out. As documented, an exception holds only if everything that the caller
/// is stands in the list: the user and its account; the session, its role and its account.
fn is_excepted(list: &[PrincipalPattern], caller: RequestPrincipal<'_>) -> bool {
    let lists = |wanted: &dyn Fn(&PrincipalPattern) -> bool| list.iter().any(wanted);
    if lists(&|one| matches!(one, PrincipalPattern::Anyone)) {
        return true;
    }
    let RequestPrincipal::Aws(arn) = caller else {
        return lists(&|one| one.names(caller) == Named::Directly);
    };
    let account =
        lists(&|one| matches!(one, PrincipalPattern::Account(id) if names_account(id, arn) != Named::No));
    let itself = lists(
        &|one| matches!(one, PrincipalPattern::Arn(own) | PrincipalPattern::Role { arn: own, .. } if **own == *arn),
    );
    let role = role_of_session(arn).is_none()
        || lists(&|one| matches!(one, PrincipalPattern::Role { .. }) && one.names(caller) == Named::Directly);
    account && role && (itself || arn.ends_with(":root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALICE: RequestPrincipal<'_> = RequestPrincipal::Aws("arn:aws:iam::111122223333:user/alice");
    const SESSION: RequestPrincipal<'_> = RequestPrincipal::Aws("arn:aws:sts::111122223333:assumed-role/R/s");
    const ROOT: RequestPrincipal<'_> = RequestPrincipal::Aws("arn:aws:iam::111122223333:root");

    fn listed(values: &[&str]) -> Box<[PrincipalPattern]> {
        values.iter().map(|value| PrincipalPattern::aws(value).unwrap()).collect()
    }

    #[test]
    fn accounts_roles_and_sessions() {
        let names = |value: &str, caller| Principals::Listed(listed(&[value])).names(caller);
        for account in ["111122223333", "arn:aws:iam::111122223333:root"] {
            assert_eq!(names(account, ALICE), Named::ByAccount);
            assert_eq!(names(account, SESSION), Named::ByAccount);
            assert_eq!(names(account, ROOT), Named::Directly);
            assert_eq!(names(account, RequestPrincipal::Anonymous), Named::No);
        }
        assert_eq!(names("arn:aws:iam::111122223333:role/R", SESSION), Named::Directly);
        assert_eq!(names("arn:aws:iam::111122223333:role/path/R", SESSION), Named::Directly);
        assert_eq!(names("arn:aws:iam::999900001111:role/R", SESSION), Named::No);
        assert_eq!(names("arn:aws:iam::111122223333:role/R2", SESSION), Named::No);
        assert_eq!(names("arn:aws:sts::111122223333:assumed-role/R/s", SESSION), Named::Directly);
        assert_eq!(names("arn:aws:sts::111122223333:assumed-role/R/t", SESSION), Named::No);
        assert_eq!(names("arn:aws:iam::111122223333:user/alice", ALICE), Named::Directly);
        assert_eq!(names("arn:aws:iam::111122223333:user/alice", RequestPrincipal::Anonymous), Named::No);
        assert_eq!(names("*", RequestPrincipal::Anonymous), Named::Directly);
    }

    #[test]
    fn the_other_kinds_do_not_mix() {
        let service = PrincipalPattern::other("Service", "lambda.amazonaws.com").unwrap();
        assert_eq!(service.names(RequestPrincipal::Service("lambda.amazonaws.com")), Named::Directly);
        assert_eq!(service.names(RequestPrincipal::Federated("lambda.amazonaws.com")), Named::No);
        assert_eq!(service.names(RequestPrincipal::Anonymous), Named::No);
        assert!(PrincipalPattern::other("Service", "*").is_none());
        assert!(PrincipalPattern::other("Group", "g").is_none());
    }

    #[test]
    fn an_exception_needs_everything_that_the_caller_is() {
        let named = |values: &[&str], caller| Principals::Except(listed(values)).names(caller);
        let account = "111122223333";
        let (user, role, session) = (
            "arn:aws:iam::111122223333:user/alice",
            "arn:aws:iam::111122223333:role/R",
            "arn:aws:sts::111122223333:assumed-role/R/s",
        );
        assert_eq!(named(&[user, account], ALICE), Named::No);
        assert_eq!(named(&[user], ALICE), Named::Directly);
        assert_eq!(named(&[account], ALICE), Named::Directly);
        assert_eq!(named(&[account], ROOT), Named::No);
        assert_eq!(named(&[session, role, account], SESSION), Named::No);
        assert_eq!(named(&[session, account], SESSION), Named::Directly);
        assert_eq!(named(&[role, account], SESSION), Named::Directly);
        assert_eq!(named(&[user, account], RequestPrincipal::Anonymous), Named::Directly);
        assert_eq!(named(&["*"], RequestPrincipal::Anonymous), Named::No);
    }

    #[test]
    fn what_is_no_principal() {
        for text in [
            "",
            "arn:aws:iam::111122223333:role/*",
            "arn:aws:iam::1111:user/a",
            "arn:aws:s3:::bucket",
            "11112222333",
            "arn:aws:iam::111122223333:",
            "arn:aws:iam::111122223333:role/",
            "arn:aws:iam::111122223333:user/${aws:username}",
            "AIDAEXAMPLE",
        ] {
            assert!(PrincipalPattern::aws(text).is_none(), "{text}");
        }
    }
}
