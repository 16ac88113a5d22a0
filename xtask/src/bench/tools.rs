//! What the measurements are made beside of: programs of Debian, found or installed.

use std::process::Command;
use std::time::Duration;

use crate::suite::process;
use crate::workspace::find_program;

const INSTALL_LIMIT: Duration = Duration::from_secs(5 * 60);
/// Program and Debian's package that brings it.
const TOOLS: [(&str, &str); 3] = [("nginx", "nginx-light"), ("wrk", "wrk"), ("etcd", "etcd-server")];

/// The reason why a part is skipped, if a program that it needs is not there.
pub(super) fn missing(programs: &[&str]) -> Option<String> {
    let missing: Vec<&str> = TOOLS
        .iter()
        .filter(|(program, _)| programs.contains(program) && find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    (!missing.is_empty()).then(|| format!("not installed: {} (`--install`, or by hand)", missing.join(", ")))
}

/// Installs what is missing.
///
/// # Errors
/// It cannot be installed.
pub(super) fn install() -> Result<(), String> {
    let packages: Vec<&str> = TOOLS
        .iter()
        .filter(|(program, _)| find_program(program).is_none())
        .map(|(_, package)| *package)
        .collect();
    if packages.is_empty() {
        return Ok(());
    }
    if !nix::unistd::geteuid().is_root() || find_program("apt-get").is_none() {
        return Err("--install: needs root, and apt-get".to_owned());
    }
    apt_get(&["update"])?;
    apt_get(&["install", "--yes", "--no-install-recommends"].into_iter().chain(packages).collect::<Vec<_>>())
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // In this runlevel the packages do not start the servers that they bring.
    command.env("RUNLEVEL", "1");
    process::run(&mut command, INSTALL_LIMIT).result
}
