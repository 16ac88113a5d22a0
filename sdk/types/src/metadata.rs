//! What a service says about one of its nodes; `version` is the pair that canary release uses.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::{self, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Invalid;
use crate::limits::{METADATA_KEY_MAX_BYTES, METADATA_MAX_PAIRS, METADATA_VALUE_MAX_BYTES};

/// The metadata key whose value tells the version of the service that a node runs.
pub const VERSION_KEY: &str = "version";

/// At most 32 pairs; keys of 1 to 64 bytes, values of at most 512, neither with control characters.
///
/// Shared and immutable: a node is copied into changes, snapshots and tables, its metadata is not.
/// Sorted pairs and no tree, because a hundred thousand nodes have one pair or two each.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata(Option<Arc<[Pair]>>);

type Pair = (Box<str>, Box<str>);

impl Metadata {
    /// The value of `key`.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find_map(|(k, value)| (k == key).then_some(value))
    }

    /// The version of the service that the node runs, if it says so.
    pub fn version(&self) -> Option<&str> {
        self.get(VERSION_KEY)
    }

    /// All pairs in the order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().flat_map(|pairs| pairs.iter()).map(|(key, value)| (&**key, &**value))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |pairs| pairs.len())
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl Serialize for Metadata {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(PairsVisitor)
    }
}

/// As for a map, but a key that is there twice is an error: nobody can say which value was meant.
struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Metadata;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if pairs.contains_key(&key) {
                return Err(de::Error::custom(format!("metadata has the key {key:?} twice")));
            }
            pairs.insert(key, value);
        }
        Metadata::try_from(pairs).map_err(de::Error::custom)
    }
}

impl TryFrom<BTreeMap<String, String>> for Metadata {
    type Error = Invalid;

    fn try_from(pairs: BTreeMap<String, String>) -> Result<Self, Invalid> {
        if pairs.len() > METADATA_MAX_PAIRS {
            return Err(Invalid(format!(
                "metadata has at most {METADATA_MAX_PAIRS} pairs, this one has {}",
                pairs.len()
            )));
        }
        for (key, value) in &pairs {
            check("key", key, key, 1, METADATA_KEY_MAX_BYTES)?;
            check("value", key, value, 0, METADATA_VALUE_MAX_BYTES)?;
        }
        let boxed = pairs.into_iter().map(|(key, value)| (key.into_boxed_str(), value.into_boxed_str()));
        let pairs: Arc<[Pair]> = boxed.collect();
        Ok(Self((!pairs.is_empty()).then_some(pairs)))
    }
}

impl From<Metadata> for BTreeMap<String, String> {
    fn from(metadata: Metadata) -> Self {
        metadata.iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    }
}

fn check(part: &str, key: &str, text: &str, min: usize, max: usize) -> Result<(), Invalid> {
    if !(min..=max).contains(&text.len()) {
        return Err(Invalid(format!(
            "a metadata {part} has {min} to {max} bytes, that of {key:?} has {}",
            text.len()
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid(format!("a metadata {part} has no control characters, that of {key:?} has one")));
    }
    Ok(())
}
