//! Environment variables that look like settings and are none: most often a setting that is misspelt.
//!
//! They are told and not refused, because the environment is not ours alone: container platforms put
//! variables there that are named after a service, and other programs share the prefix.

use std::collections::BTreeSet;
use std::fmt;

use clap::Command;

const PREFIX: &str = "KENGER_";
/// Read in another way than by clap, or by `kengerctl`.
const ALSO_KNOWN: [&str; 3] = ["KENGER_TOKEN", "KENGER_TOKENS", "KENGER_ENDPOINTS"];
/// Strays that are told by name.
const TOLD_MAX: usize = 20;
/// Names that are less alike than this are not meant: 1 is equal.
const SIMILARITY_MIN: f64 = 0.75;

/// A variable that nobody reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    name: String,
    /// The setting that may have been meant.
    nearest: Option<String>,
}

impl fmt::Display for Stray {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, nearest } = self;
        write!(f, "the environment variable {name:?} is no setting and has no effect")?;
        nearest.iter().try_for_each(|nearest| write!(f, "; {nearest} is the setting with the nearest name"))
    }
}

/// The variables of this process that begin like a setting and are none of any role of `program`, in
/// order; at most twenty.
pub fn strays(program: &Command) -> Vec<Stray> {
    let names = std::env::vars_os().map(|(name, _)| name.to_string_lossy().into_owned());
    among(names, &known(program))
}

/// What any role reads.
fn known(program: &Command) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = ALSO_KNOWN.map(str::to_owned).into();
    names.extend(kenger_mutant::variable().map(str::to_owned));
    let mut commands = vec![program];
    while let Some(command) = commands.pop() {
        let variables = command.get_arguments().filter_map(|argument| argument.get_env());
        names.extend(variables.map(|name| name.to_string_lossy().into_owned()));
        commands.extend(command.get_subcommands());
    }
    names
}

fn among(names: impl IntoIterator<Item = String>, known: &BTreeSet<String>) -> Vec<Stray> {
    let strays: BTreeSet<String> =
        names.into_iter().filter(|name| name.starts_with(PREFIX) && !known.contains(name)).collect();
    let stray = |name: String| Stray { nearest: nearest(&name, known), name };
    strays.into_iter().take(TOLD_MAX).map(stray).collect()
}

fn nearest(name: &str, known: &BTreeSet<String>) -> Option<String> {
    let alike = |known: &&String| {
        strsim::normalized_damerau_levenshtein(&name[PREFIX.len()..], &known[PREFIX.len()..])
    };
    let nearest = known.iter().max_by(|a, b| alike(a).total_cmp(&alike(b)))?;
    (alike(&nearest) >= SIMILARITY_MIN).then(|| nearest.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Arg;

    fn program() -> Command {
        let setting = |id: &'static str, name: &'static str| Arg::new(id).long(id).env(name);
        Command::new("program").subcommand(
            Command::new("serve").arg(setting("a", "KENGER_NODE_TTL")).arg(setting("b", "KENGER_DATA_DIR")),
        )
    }

    fn told(names: &[&str]) -> Vec<String> {
        let strays = among(names.iter().map(|name| (*name).to_owned()), &known(&program()));
        strays.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_misspelt_setting_is_told_with_the_one_that_was_meant() {
        let told = told(&["KENGER_NODE_TLT", "KENGER_NODE_TTL", "KENGER_DATADIR", "PATH", "kenger_data_dir"]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].contains("\"KENGER_DATADIR\"") && told[0].contains("KENGER_DATA_DIR is"), "{told:?}");
        assert!(
            told[1].contains("\"KENGER_NODE_TLT\"") && told[1].contains("KENGER_NODE_TTL is"),
            "{told:?}"
        );
    }

    #[test]
    fn what_is_like_no_setting_is_told_without_a_guess() {
        let told = told(&["KENGER_SERVICE_HOST", "KENGER_\n"]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told.iter().all(|told| told.ends_with("has no effect") && !told.contains('\n')), "{told:?}");
    }

    #[test]
    fn there_is_an_end_to_the_telling() {
        let names: Vec<String> = (0..1_000).map(|n| format!("KENGER_{n}")).collect();
        assert_eq!(among(names, &known(&program())).len(), TOLD_MAX);
        assert_eq!(told(&["KENGER_TOKENS", "KENGER_TOKEN", "KENGER_ENDPOINTS"]), Vec::<String>::new());
    }
}
