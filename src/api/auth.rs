//! Who asks, and what they may: tokens, roles and namespaces.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use kenger_cluster::FeedFilter;
use kenger_types::api::header::API_TOKEN;
use kenger_types::{ErrorCode, NamespaceName};

use super::error::Failure;
use crate::token::{self, Role, Token};

/// Who asks. Without a token everything is allowed: the member was started with
/// `--insecure-no-auth`, or the route is open.
#[derive(Debug, Clone, Default)]
pub(super) struct Caller(Option<Arc<Token>>);

impl Caller {
    /// Recognises the token of a request and checks that it has the role.
    pub(super) fn authenticate(
        tokens: &[Arc<Token>],
        headers: &HeaderMap,
        needed: Role,
    ) -> Result<Self, Failure> {
        if tokens.is_empty() {
            return Ok(Self(None));
        }
        let presented = presented(headers).ok_or_else(|| Failure::unauthenticated(false))?;
        let token = token::find(tokens, presented).ok_or_else(|| Failure::unauthenticated(true))?;
        if token.role < needed {
            return Err(Failure::new(
                ErrorCode::PermissionDenied,
                format!("this needs the role {needed}; the token {:?} has {}", token.name, token.role),
            ));
        }
        Ok(Self(Some(token.clone())))
    }

    /// The token's name, for logs.
    pub(super) fn name(&self) -> &str {
        self.0.as_ref().map_or("-", |token| &token.name)
    }

    /// Whether the caller is bound to some namespaces.
    pub(super) fn is_scoped(&self) -> bool {
        self.0.as_ref().is_some_and(|token| !token.namespaces.is_empty())
    }

    /// Whether the caller may touch this namespace.
    pub(super) fn allows(&self, namespace: &NamespaceName) -> bool {
        self.0.as_ref().is_none_or(|token| token.allows(namespace))
    }

    /// That the caller may touch this namespace.
    pub(super) fn check(&self, namespace: &NamespaceName) -> Result<(), Failure> {
        if self.allows(namespace) {
            return Ok(());
        }
        Err(Failure::new(
            ErrorCode::PermissionDenied,
            format!("the token {:?} is not for the namespace {namespace:?}", self.name()),
        ))
    }

    /// What the caller sees: the namespaces that it asks for, or all that it may see.
    pub(super) fn filter(&self, asked: Option<BTreeSet<NamespaceName>>) -> Result<FeedFilter, Failure> {
        match (asked, &self.0) {
            (Some(names), _) => {
                names.iter().try_for_each(|name| self.check(name))?;
                Ok(FeedFilter::namespaces(names))
            }
            (None, Some(token)) => Ok(FeedFilter::namespaces(token.namespaces.iter().cloned())),
            (None, None) => Ok(FeedFilter::all()),
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Caller>().cloned().unwrap_or_default())
    }
}

/// The token that a request brings. `Authorization` with another scheme than Bearer is somebody
/// else's, for instance a proxy's.
fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.as_bytes().split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
    });
    let token = bearer.or_else(|| headers.get(API_TOKEN).map(|value| value.as_bytes().trim_ascii()))?;
    (!token.is_empty()).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::TokenHash;

    fn tokens() -> Vec<Arc<Token>> {
        let token = |name: &str, role, namespaces: &[&str]| {
            Arc::new(Token {
                name: name.to_owned(),
                role,
                namespaces: namespaces.iter().map(|ns| ns.parse().unwrap()).collect(),
                hash: TokenHash::of(name.as_bytes()),
            })
        };
        vec![token("r", Role::Read, &[]), token("w", Role::Register, &["shop"]), token("a", Role::Admin, &[])]
    }

    fn ask(name: &'static str, value: &str, needed: Role) -> Result<Caller, ErrorCode> {
        let mut headers = HeaderMap::new();
        headers.insert(name, value.parse().unwrap());
        Caller::authenticate(&tokens(), &headers, needed).map_err(|failure| failure.code())
    }

    #[test]
    fn a_token_comes_as_bearer_or_in_its_own_header() {
        assert_eq!(ask("authorization", "Bearer a", Role::Admin).unwrap().name(), "a");
        assert_eq!(ask("authorization", "bEARER  a ", Role::Admin).unwrap().name(), "a");
        assert_eq!(ask("x-api-token", "a", Role::Admin).unwrap().name(), "a");
        for (name, value) in [
            ("authorization", "a"),
            ("authorization", "Bearer"),
            ("authorization", "Bearer "),
            ("authorization", "Basic a"),
            ("authorization", "Bearer b"),
            ("x-api-token", ""),
            ("x-api-token", "Bearer a"),
        ] {
            assert_eq!(
                ask(name, value, Role::Read).unwrap_err(),
                ErrorCode::Unauthenticated,
                "{name}: {value}"
            );
        }
        let nothing = Caller::authenticate(&tokens(), &HeaderMap::new(), Role::Read);
        assert_eq!(nothing.unwrap_err().code(), ErrorCode::Unauthenticated);
    }

    #[test]
    fn a_role_includes_those_below_it_and_none_above() {
        for (token, allowed) in [("r", 1), ("w", 2), ("a", 3)] {
            for (n, role) in [(1, Role::Read), (2, Role::Register), (3, Role::Admin)] {
                let result = ask("x-api-token", token, role).map(|_| ()).map_err(|code| code.status());
                assert_eq!(result, if n <= allowed { Ok(()) } else { Err(403) }, "{token} as {role}");
            }
        }
    }

    #[test]
    fn a_token_with_namespaces_sees_and_touches_those_alone() {
        let caller = ask("x-api-token", "w", Role::Read).unwrap();
        let [shop, other]: [NamespaceName; 2] = ["shop", "other"].map(|ns| ns.parse().unwrap());
        assert!(caller.check(&shop).is_ok());
        assert_eq!(caller.check(&other).unwrap_err().code(), ErrorCode::PermissionDenied);
        let all = caller.filter(None).unwrap();
        assert!(all.wants(&shop) && !all.wants(&other));
        assert!(caller.filter(Some([shop, other.clone()].into())).is_err());
        let everywhere = ask("x-api-token", "r", Role::Read).unwrap();
        assert!(everywhere.filter(None).unwrap().wants(&other));
    }

    #[test]
    fn without_any_token_everything_is_allowed() {
        let caller = Caller::authenticate(&[], &HeaderMap::new(), Role::Admin).unwrap();
        assert!(caller.check(&"any".parse().unwrap()).is_ok() && !caller.is_scoped());
    }
}
