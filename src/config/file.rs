//! What only the TOML file can say: tables of members and tokens. Plain settings are in `settings`.

use std::fmt;

use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// A plain value, as text: it is checked where flags and environment variables are.
pub(super) struct Scalar(String);

impl From<Scalar> for String {
    fn from(value: Scalar) -> String {
        value.0
    }
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, a number or a boolean")
    }

    fn visit_str<E>(self, value: &str) -> Result<Scalar, E> {
        Ok(Scalar(value.to_owned()))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Scalar, E> {
        Ok(Scalar(value.to_string()))
    }
}

/// `members`: as text like the flag's, or tables `[[members]]`; as text from here on.
pub(super) struct MemberList(String);

impl From<MemberList> for String {
    fn from(list: MemberList) -> String {
        list.0
    }
}

impl<'de> Deserialize<'de> for MemberList {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MemberListVisitor)
    }
}

/// One of `[[members]]`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMember {
    id: i64,
    peer: String,
    api: String,
}

struct MemberListVisitor;

impl<'de> Visitor<'de> for MemberListVisitor {
    type Value = MemberList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tables [[members]] with id, peer and api, or a string ID=PEER@API,…")
    }

    fn visit_str<E>(self, value: &str) -> Result<MemberList, E> {
        Ok(MemberList(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<MemberList, A::Error> {
        let mut members = Vec::new();
        while let Some(FileMember { id, peer, api }) = tables.next_element()? {
            members.push(format!("{id}={peer}@{api}"));
        }
        Ok(MemberList(members.join(",")))
    }
}

/// `[[tokens]]`
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileToken {
    pub(super) name: String,
    pub(super) role: String,
    #[serde(default)]
    pub(super) namespaces: Vec<String>,
    pub(super) sha256: Option<String>,
    pub(super) token: Option<String>,
}
