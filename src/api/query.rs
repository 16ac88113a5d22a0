//! Query parameters: each once, each known, and if one is wrong, wrong with its name.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use kenger_types::NamespaceName;
use kenger_types::limits::FILTER_MAX_NAMESPACES;

use super::error::Failure;

/// The parameters of one request.
#[derive(Debug)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Splits the query. A parameter that is not in `known` is refused: a misspelt `ns` must not
    /// answer for all namespaces.
    pub(super) fn parse(raw: Option<&str>, known: &[&str]) -> Result<Self, Failure> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(raw.unwrap_or("").as_bytes()) {
            let name = if name == "namespace" { "ns".into() } else { name };
            if !known.contains(&&*name) {
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                return Err(Failure::invalid(name, format!("no such parameter here; there is {known}")));
            }
            if pairs.iter().any(|(other, _)| *other == name) {
                return Err(Failure::invalid(name, "is given twice"));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    /// The parameter's text.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The parameter's value.
    pub(super) fn value<T: FromStr<Err: Display>>(&self, name: &str) -> Result<Option<T>, Failure> {
        self.text(name).map(|text| text.parse().map_err(|e| Failure::invalid(name, e))).transpose()
    }

    /// `?ns=a,b`; `None` if it is not there.
    pub(super) fn namespaces(&self) -> Result<Option<BTreeSet<NamespaceName>>, Failure> {
        let Some(text) = self.text("ns") else { return Ok(None) };
        let names = text.split(',').map(|name| name.parse().map_err(|e| Failure::invalid("ns", e)));
        let names: BTreeSet<_> = names.collect::<Result<_, _>>()?;
        if names.len() > FILTER_MAX_NAMESPACES {
            return Err(Failure::invalid(
                "ns",
                format!("at most {FILTER_MAX_NAMESPACES} namespaces can be named, not {}", names.len()),
            ));
        }
        Ok(Some(names))
    }

    /// `?consistency=stale`: from this member's own state, as it is.
    pub(super) fn is_stale(&self) -> Result<bool, Failure> {
        self.choice("consistency", "linearizable", "stale")
    }

    /// Whether a parameter with two values has the second one; the first is the default.
    pub(super) fn choice(&self, name: &str, default: &str, other: &str) -> Result<bool, Failure> {
        match self.text(name) {
            None => Ok(false),
            Some(text) if text == default => Ok(false),
            Some(text) if text == other => Ok(true),
            Some(text) => Err(Failure::invalid(name, format!("{text:?} is neither {default} nor {other}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kenger_types::Revision;

    const KNOWN: [&str; 3] = ["ns", "since", "consistency"];

    fn field<T: std::fmt::Debug>(result: Result<T, Failure>) -> String {
        result.unwrap_err().error().field.clone().unwrap()
    }

    #[test]
    fn parameters_are_decoded_and_namespace_is_another_spelling_of_ns() {
        let query = Query::parse(Some("namespace=a%2Cb,c&since=7&consistency=stale"), &KNOWN).unwrap();
        let names: Vec<_> = query.namespaces().unwrap().unwrap().into_iter().map(String::from).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert_eq!(query.value("since").unwrap(), Some(Revision(7)));
        assert!(query.is_stale().unwrap());
        let none = Query::parse(None, &KNOWN).unwrap();
        assert_eq!(none.namespaces().unwrap(), None);
        assert!(!none.is_stale().unwrap());
    }

    #[test]
    fn unknown_repeated_and_wrong_parameters_are_named() {
        assert_eq!(field(Query::parse(Some("nss=a"), &KNOWN)), "nss");
        assert_eq!(field(Query::parse(Some("ns=a&namespace=b"), &KNOWN)), "ns");
        assert_eq!(field(Query::parse(Some("ns="), &KNOWN).unwrap().namespaces()), "ns");
        assert_eq!(field(Query::parse(Some("ns=a,,b"), &KNOWN).unwrap().namespaces()), "ns");
        assert_eq!(field(Query::parse(Some("ns=%ff"), &KNOWN).unwrap().namespaces()), "ns");
        assert_eq!(field(Query::parse(Some("ns=a/b"), &KNOWN).unwrap().namespaces()), "ns");
        assert_eq!(
            field(Query::parse(Some("since=-1"), &KNOWN).unwrap().value::<Revision>("since")),
            "since"
        );
        assert_eq!(
            field(Query::parse(Some("consistency=eventual"), &KNOWN).unwrap().is_stale()),
            "consistency"
        );
    }

    #[test]
    fn a_filter_is_bounded() {
        let names: Vec<_> = (0..=FILTER_MAX_NAMESPACES).map(|i| format!("n{i}")).collect();
        let query = Query::parse(Some(&format!("ns={}", names.join(","))), &KNOWN);
        assert_eq!(field(query.unwrap().namespaces()), "ns");
    }
}
