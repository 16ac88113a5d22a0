//! Tokens: who may do what. Only their SHA-256 is kept, so that neither a log nor a core dump of
//! the configuration gives one away.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use kenger_types::NamespaceName;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};

/// Longest token, in bytes: it has to fit into a header line.
pub const TOKEN_MAX_BYTES: usize = 512;
/// Most tokens: each request is compared with all of them.
pub const TOKENS_MAX: usize = 1_000;

/// What a token allows. Each role includes those before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Lists, sync, watch, status and metrics.
    Read,
    /// Also: register, deregister and heartbeat.
    Register,
    /// Everything.
    Admin,
}

impl Role {
    /// The role's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Role::Read => "read",
            Role::Register => "register",
            Role::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        [Role::Read, Role::Register, Role::Admin]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or_else(|| format!("{text:?} is not one of read, register, admin"))
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Of a token in plain text.
    pub fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl FromStr for TokenHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a SHA-256 has 64 hexadecimal digits".to_owned();
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut hash = [0; 32];
        for (byte, digits) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digits = std::str::from_utf8(digits).map_err(|_| wrong())?;
            *byte = digits
                .bytes()
                .all(|b| b.is_ascii_hexdigit())
                .then(|| u8::from_str_radix(digits, 16).ok())
                .flatten()
                .ok_or_else(wrong)?;
        }
        Ok(Self(hash))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(…)")
    }
}

/// One token, as it is known to the member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// For logs; not secret.
    pub name: String,
    /// What it allows.
    pub role: Role,
    /// Which namespaces it allows it for; all if there is none.
    pub namespaces: BTreeSet<NamespaceName>,
    /// What the bearer is recognised by.
    pub hash: TokenHash,
}

impl Token {
    /// Whether the token may touch this namespace.
    pub fn allows(&self, namespace: &NamespaceName) -> bool {
        self.namespaces.is_empty() || self.namespaces.contains(namespace)
    }
}

/// The token that `presented` is, if any. Takes as long for a token that nobody has as for the first
/// or the last one that somebody has.
pub fn find<'a, T: AsRef<Token>>(tokens: &'a [T], presented: &[u8]) -> Option<&'a T> {
    let presented = TokenHash::of(presented);
    let mut found = Choice::from(0);
    let mut index = 0;
    for (i, token) in (0u64..).zip(tokens) {
        let same = token.as_ref().hash.0.ct_eq(&presented.0);
        index.conditional_assign(&i, same);
        found |= same;
    }
    if !bool::from(found) {
        return None;
    }
    tokens.get(usize::try_from(index).ok()?)
}

/// Checks a token in plain text. The message never contains it.
///
/// # Errors
/// It is empty, too long, or cannot stand in a header line.
pub fn check(token: &str) -> Result<(), String> {
    match token.len() {
        0 => return Err("a token must not be empty".to_owned()),
        n if n > TOKEN_MAX_BYTES => {
            return Err(format!("a token has at most {TOKEN_MAX_BYTES} bytes, this one has {n}"));
        }
        _ => {}
    }
    if token.bytes().all(|b| b.is_ascii_graphic()) {
        Ok(())
    } else {
        Err("a token has printable ASCII without spaces only, because it is sent in a header".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn token(name: &str, text: &str) -> Arc<Token> {
        Arc::new(Token {
            name: name.to_owned(),
            role: Role::Read,
            namespaces: BTreeSet::new(),
            hash: TokenHash::of(text.as_bytes()),
        })
    }

    #[test]
    fn each_token_is_found_by_its_text_and_no_other_text_finds_one() {
        let tokens = [token("first", "aaaa"), token("middle", "bbbb"), token("last", "cccc")];
        for (name, text) in [("first", "aaaa"), ("middle", "bbbb"), ("last", "cccc")] {
            assert_eq!(find(&tokens, text.as_bytes()).unwrap().name, name);
        }
        for text in ["", "aaa", "aaaaa", "AAAA", "bbbb ", "\0"] {
            assert!(find(&tokens, text.as_bytes()).is_none(), "{text:?}");
        }
        assert!(find::<Arc<Token>>(&[], b"aaaa").is_none());
    }

    #[test]
    fn a_hash_is_read_from_hexadecimal_digits_only() {
        // echo -n defaultToken | sha256sum
        let digits = "6f1e435592e55331fd008d2214cf001338bd7a3fc5af0b35037599b5a9bf58b7";
        let parsed: TokenHash = digits.parse().unwrap();
        assert_eq!(digits.parse::<TokenHash>().unwrap(), TokenHash::of(b"defaultToken"));
        assert_eq!(digits.to_uppercase().parse::<TokenHash>().unwrap(), parsed);
        for wrong in
            ["", "6f1e", &format!("{digits}00"), &digits.replace('2', "g"), &digits.replace("6f", "+f")]
        {
            assert!(wrong.parse::<TokenHash>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn neither_a_token_nor_its_hash_is_printed() {
        let printed = format!("{:?}", token("ci", "geheim"));
        assert!(printed.contains("ci"));
        assert!(!printed.contains("geheim"));
        assert!(printed.contains("TokenHash(…)"), "{printed}");
    }

    #[test]
    fn roles_include_those_before_them() {
        assert!(Role::Read < Role::Register && Role::Register < Role::Admin);
    }
}
