//! Tokens as the configuration gives them.

use std::collections::BTreeSet;
use std::sync::Arc;

use kenger_types::NamespaceName;

use super::GivenTokens;
use super::file::FileToken;
use crate::token::{self, Role, TOKENS_MAX, Token, TokenHash};

/// All tokens; what is wrong goes to `problems`.
pub(super) fn tokens(given: GivenTokens, problems: &mut Vec<String>) -> Vec<Arc<Token>> {
    let before = problems.len();
    let tokens: Vec<_> = match given {
        GivenTokens::Plain(mut plain) => {
            // KENGER_TOKEN may well be one of KENGER_TOKENS.
            let mut seen = BTreeSet::new();
            plain.retain(|(text, _)| seen.insert(text.clone()));
            (1..).zip(plain).filter_map(|(n, (text, origin))| admin(n, &text, &origin, problems)).collect()
        }
        GivenTokens::Tables(tables, file) => {
            (0..).zip(tables).filter_map(|(i, table)| scoped(i, table, &file, problems)).collect()
        }
    };
    if tokens.len() > TOKENS_MAX {
        problems.push(format!("tokens: there are at most {TOKENS_MAX}, not {}", tokens.len()));
    }
    if problems.len() == before {
        find_twins(&tokens, problems);
    }
    tokens.into_iter().map(Arc::new).collect()
}

/// A plain token allows everything, as in the original system.
fn admin(n: usize, text: &str, origin: &str, problems: &mut Vec<String>) -> Option<Token> {
    match token::check(text) {
        Ok(()) => Some(Token {
            name: format!("token-{n}"),
            role: Role::Admin,
            namespaces: BTreeSet::new(),
            hash: TokenHash::of(text.as_bytes()),
        }),
        Err(e) => {
            problems.push(format!("token: number {n}: {e} ({origin})"));
            None
        }
    }
}

fn scoped(i: usize, table: FileToken, file: &str, problems: &mut Vec<String>) -> Option<Token> {
    let FileToken { name, role, namespaces, sha256, token } = table;
    let mut wrong = |key: &str, what: String| problems.push(format!("tokens[{i}].{key}: {what} ({file})"));
    if name.is_empty() || name.len() > 64 || name.chars().any(char::is_control) {
        wrong("name", "has 1 to 64 bytes and no control characters".to_owned());
    }
    let role = role.parse().map_err(|e| wrong("role", e)).ok();
    let mut names = BTreeSet::new();
    for namespace in namespaces {
        match namespace.parse::<NamespaceName>() {
            Ok(namespace) => {
                names.insert(namespace);
            }
            Err(e) => wrong("namespaces", format!("{namespace:?}: {e}")),
        }
    }
    let hash = match (sha256, token) {
        (Some(digits), None) => digits.parse().map_err(|e| wrong("sha256", e)).ok(),
        (None, Some(text)) => {
            token::check(&text).map(|()| TokenHash::of(text.as_bytes())).map_err(|e| wrong("token", e)).ok()
        }
        (None, None) => {
            wrong("token", "give token or sha256".to_owned());
            None
        }
        (Some(_), Some(_)) => {
            wrong("token", "give token or sha256, not both".to_owned());
            None
        }
    };
    Some(Token { name, role: role?, namespaces: names, hash: hash? })
}

/// The same token twice, with other rights, would have those of whichever is found.
fn find_twins(tokens: &[Token], problems: &mut Vec<String>) {
    for (i, token) in tokens.iter().enumerate() {
        for earlier in tokens.iter().take(i) {
            if earlier.hash == token.hash {
                problems.push(format!("tokens: {:?} and {:?} are the same token", earlier.name, token.name));
            } else if earlier.name == token.name {
                problems.push(format!("tokens: two have the name {:?}", token.name));
            }
        }
    }
}
