//! The parts of a system: what each is, and the command line that starts it, now or again by hand.

use std::env;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::directory::Directory;
use super::error::DevError;
use super::ports::{MEMBERS, Ports, SERVICES};
use super::{NAMESPACE, TOKEN};

/// How long the gateway lets requests go on when it stops; shorter than a part is waited for.
const GATEWAY_GRACE: &str = "5s";

/// When a part is started, and in the opposite order of what: what it needs is there before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Members,
    Services,
    Gateway,
}

impl Stage {
    /// What is there when the stage is done, for a person who waits.
    pub(super) fn waiting_for(self) -> &'static str {
        match self {
            Self::Members => "three members that have elected a leader",
            Self::Services => "two demo services that are registered",
            Self::Gateway => "a gateway that passes requests on",
        }
    }
}

/// One process.
#[derive(Debug, Clone)]
pub(super) struct Part {
    pub(super) name: String,
    /// Where it is found, for a person.
    pub(super) place: String,
    pub(super) stage: Stage,
    /// This program; every part is.
    pub(super) program: PathBuf,
    pub(super) arguments: Vec<String>,
    /// Takes what it prints.
    pub(super) log: PathBuf,
}

impl Part {
    /// The command line, ready to be pasted into a shell. No secret is in it.
    pub(super) fn command_line(&self) -> String {
        let program = self.program.to_string_lossy();
        let words = std::iter::once(&*program).chain(self.arguments.iter().map(String::as_str));
        words.map(quoted).collect::<Vec<_>>().join(" ")
    }
}

/// All parts. Writes the configuration files that their command lines name.
///
/// # Errors
/// If a file cannot be written.
pub(super) fn plan(directory: &Directory, ports: Ports) -> Result<Vec<Part>, DevError> {
    let program = env::current_exe()
        .map_err(|error| DevError::Io { doing: "finding this program's own file".to_owned(), error })?;
    let mut parts = Vec::new();
    for id in 1..=MEMBERS {
        parts.push(member(directory, ports, &program, id)?);
    }
    for (place, (version, weight)) in (0..).zip(SERVICES) {
        parts.push(service(directory, ports, &program, place, version, weight));
    }
    parts.push(gateway(directory, ports, &program)?);
    Ok(parts)
}

/// What a member's TOML file says (see `kenger serve --help`).
#[derive(Serialize)]
struct MemberFile {
    member_id: u16,
    listen_api: String,
    listen_peer: String,
    data_dir: PathBuf,
    peer_secret_file: PathBuf,
    members: Vec<FileMember>,
    tokens: Vec<FileToken>,
}

#[derive(Serialize)]
struct FileMember {
    id: u16,
    peer: String,
    api: String,
}

#[derive(Serialize)]
struct FileToken {
    name: &'static str,
    role: &'static str,
    token: &'static str,
}

fn member(directory: &Directory, ports: Ports, program: &Path, id: u16) -> Result<Part, DevError> {
    let name = format!("member-{id}");
    let members = (1..=MEMBERS).map(|id| FileMember {
        id,
        peer: ports.peer(id).to_string(),
        api: ports.api(id).to_string(),
    });
    let file = MemberFile {
        member_id: id,
        listen_api: ports.api(id).to_string(),
        listen_peer: ports.peer(id).to_string(),
        data_dir: directory.join(&name),
        peer_secret_file: directory.peer_secret_file(),
        members: members.collect(),
        tokens: vec![FileToken { name: "dev", role: "admin", token: TOKEN }],
    };
    let config = write_toml(directory, &name, &file)?;
    Ok(Part {
        name: format!("member {id}"),
        place: format!("API http://{}, peers {}", ports.api(id), ports.peer(id)),
        stage: Stage::Members,
        program: program.to_path_buf(),
        arguments: strings(&["serve", "--config", &config]),
        log: directory.join(&format!("{name}.log")),
    })
}

fn service(
    directory: &Directory,
    ports: Ports,
    program: &Path,
    place: u16,
    version: &str,
    weight: u16,
) -> Part {
    let address = ports.service(place);
    let arguments = [
        "demo-service",
        "--version",
        version,
        "--weight",
        &weight.to_string(),
        "--listen",
        &address.to_string(),
        "--namespace",
        NAMESPACE,
        "--registry",
        &registry(ports).join(","),
        "--token-file",
        &directory.argument(Directory::TOKEN_FILE),
    ];
    Part {
        name: format!("demo {version}"),
        place: format!("http://{address}"),
        stage: Stage::Services,
        program: program.to_path_buf(),
        arguments: strings(&arguments),
        log: directory.join(&format!("demo-{version}.log")),
    }
}

/// What the gateway's TOML file says (see `kenger gateway --help`).
#[derive(Serialize)]
struct GatewayFile {
    registry: Vec<String>,
    token: &'static str,
    admin: String,
    cache_file: PathBuf,
    shutdown_grace: &'static str,
    listeners: Vec<FileListener>,
}

#[derive(Serialize)]
struct FileListener {
    address: String,
    namespace: &'static str,
}

fn gateway(directory: &Directory, ports: Ports, program: &Path) -> Result<Part, DevError> {
    let file = GatewayFile {
        registry: registry(ports),
        token: TOKEN,
        admin: ports.admin().to_string(),
        cache_file: directory.join("gateway.cache"),
        shutdown_grace: GATEWAY_GRACE,
        listeners: vec![FileListener { address: ports.gateway().to_string(), namespace: NAMESPACE }],
    };
    let config = write_toml(directory, "gateway", &file)?;
    Ok(Part {
        name: "gateway".to_owned(),
        place: format!("http://{}, admin http://{}", ports.gateway(), ports.admin()),
        stage: Stage::Gateway,
        program: program.to_path_buf(),
        arguments: strings(&["gateway", "--config", &config]),
        log: directory.join("gateway.log"),
    })
}

/// Writes a part's configuration, which holds secrets. Returns its path as an argument.
fn write_toml(directory: &Directory, name: &str, file: &impl Serialize) -> Result<String, DevError> {
    let text = toml::to_string(file).map_err(|error| {
        DevError::Directory(format!("{name}: its configuration cannot be written: {error}"))
    })?;
    let path = directory.write_private(&format!("{name}.toml"), &text)?;
    Ok(path.to_string_lossy().into_owned())
}

/// Every member's API, as the clients take it.
pub(super) fn registry(ports: Ports) -> Vec<String> {
    (1..=MEMBERS).map(|id| format!("http://{}", ports.api(id))).collect()
}

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

/// The word as a POSIX shell takes it.
fn quoted(word: &str) -> String {
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_./:=,@%+".contains(char);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        for word in ["plain/x:1=a", "", "two words", "it's", "$HOME `x` \"y\" \\ é"] {
            let output = std::process::Command::new("sh")
                .args(["-c", &format!("printf %s {}", quoted(word))])
                .output();
            assert_eq!(String::from_utf8(output.unwrap().stdout).unwrap(), word);
        }
    }

    #[test]
    fn no_secret_is_in_a_command_line() {
        let parent = tempfile::tempdir().unwrap();
        let ports = Ports::new(6_000);
        let directory = Directory::open(Some(parent.path()), ports).unwrap();
        let secret = std::fs::read_to_string(directory.peer_secret_file()).unwrap();
        let parts = plan(&directory, ports).unwrap();
        assert_eq!(parts.len(), 6);
        for line in parts.iter().map(Part::command_line) {
            assert!(!line.contains(TOKEN) && !line.contains(secret.trim()), "{line}");
        }
    }
}
