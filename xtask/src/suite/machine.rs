//! Makes a fresh machine able to run every test: system packages, Python packages.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::process;
use crate::workspace::find_program;

const INSTALL_LIMIT: Duration = Duration::from_secs(15 * 60);
/// What the tests that drive Python clients need, pinned.
const PYTHON_REQUIREMENTS: &str = "xtask/python-requirements.txt";

/// Something of the system that tests use.
struct Tool {
    /// How it is found out whether it is there.
    probe: Probe,
    /// Debian's package that brings it.
    package: &'static str,
    needed_for: &'static str,
}

enum Probe {
    /// A program of this name can be found.
    Program(&'static str),
    /// This program runs with these arguments and succeeds.
    Runs(&'static [&'static str]),
}

const TOOLS: &[Tool] = &[
    Tool { probe: Probe::Program("python3"), package: "python3", needed_for: "Python clients" },
    Tool {
        probe: Probe::Runs(&["python3", "-c", "import ensurepip, venv"]),
        package: "python3-venv",
        needed_for: "Python clients",
    },
    Tool {
        probe: Probe::Runs(&["test", "-e", "/usr/lib/nginx/modules/ngx_http_lua_module.so"]),
        package: "libnginx-mod-http-lua",
        needed_for: "the original's Lua module",
    },
    Tool { probe: Probe::Program("nginx"), package: "nginx-light", needed_for: "the original's Lua module" },
    Tool {
        probe: Probe::Runs(&["dpkg", "--status", "lua-cjson"]),
        package: "lua-cjson",
        needed_for: "the original's Lua module",
    },
    Tool { probe: Probe::Program("faketime"), package: "faketime", needed_for: "clock jumps" },
    Tool { probe: Probe::Program("ip"), package: "iproute2", needed_for: "partitions" },
    Tool { probe: Probe::Program("nft"), package: "nftables", needed_for: "partitions" },
    Tool { probe: Probe::Program("mkfs.ext4"), package: "e2fsprogs", needed_for: "power cuts, full disks" },
    Tool { probe: Probe::Program("losetup"), package: "mount", needed_for: "power cuts, full disks" },
];

/// Needed only where a Docker engine runs.
const DOCKER_TOOLS: &[Tool] = &[
    Tool { probe: Probe::Program("debootstrap"), package: "debootstrap", needed_for: "base images" },
    Tool {
        probe: Probe::Program("docker-compose"),
        package: "docker-compose",
        needed_for: "docker-compose.yml",
    },
];

/// Installs the system packages that are missing. Returns what is missing all the same because this
/// machine gives no means to install it: the tests that need it will say so too.
///
/// # Errors
///
/// When it could have been installed and was not: then skipping would be a defect.
pub(super) fn install_tools(docker_engine_answers: bool) -> Result<Vec<String>, String> {
    let compose_is_there = succeeds(&["docker", "compose", "version"]);
    let docker_tools = DOCKER_TOOLS
        .iter()
        .filter(|tool| docker_engine_answers && !(compose_is_there && tool.package == "docker-compose"));
    let missing: Vec<&Tool> =
        TOOLS.iter().chain(docker_tools).filter(|tool| !is_there(&tool.probe)).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<String> =
        missing.iter().map(|tool| format!("{} (for {})", tool.package, tool.needed_for)).collect();
    if !nix::unistd::geteuid().is_root() || find_program("apt-get").is_none() {
        return Ok(names);
    }
    println!("installing {}", names.join(", "));
    apt_get(&["update"])?;
    let packages = missing.iter().map(|tool| tool.package);
    apt_get(
        &["install", "--yes", "--no-install-recommends"].into_iter().chain(packages).collect::<Vec<_>>(),
    )?;
    match missing.iter().find(|tool| !is_there(&tool.probe)) {
        Some(tool) => Err(format!("{} was installed and is still missing", tool.package)),
        None => Ok(Vec::new()),
    }
}

fn apt_get(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("apt-get");
    command.arg("--quiet").args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
    // As while a machine starts: services that packages bring along are not started.
    command.env("RUNLEVEL", "1");
    process::run(&mut command, INSTALL_LIMIT).result
}

fn is_there(probe: &Probe) -> bool {
    match probe {
        Probe::Program(name) => find_program(name).is_some(),
        Probe::Runs(words) => succeeds(words),
    }
}

/// Whether the command runs and succeeds; its output does not matter.
pub(super) fn succeeds(words: &[&str]) -> bool {
    let [program, arguments @ ..] = words else { return false };
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// A Python with the pinned requirements, in a virtual environment that later runs find again.
///
/// # Errors
///
/// When the environment cannot be made or filled.
pub(super) fn python(root: &Path, target: &Path) -> Result<PathBuf, String> {
    let wanted = std::fs::read_to_string(root.join(PYTHON_REQUIREMENTS))
        .map_err(|error| format!("{PYTHON_REQUIREMENTS}: {error}"))?;
    let environment = target.join("python");
    let (python, stamp) = (environment.join("bin/python"), environment.join("installed.txt"));
    let has = std::fs::read_to_string(&stamp).unwrap_or_default();
    if has == wanted && python.is_file() {
        return Ok(python);
    }
    let mut make = Command::new("python3");
    make.args(["-m", "venv", "--clear"]).arg(&environment);
    process::run(&mut make, INSTALL_LIMIT).result?;
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"]);
    install.arg(root.join(PYTHON_REQUIREMENTS));
    process::run(&mut install, INSTALL_LIMIT).result?;
    std::fs::write(&stamp, wanted).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(python)
}

/// What a reader of a log wants to know of the machine.
pub(super) fn facts() -> Vec<String> {
    let first_line = |words: &[&str]| {
        let [program, arguments @ ..] = words else { return None };
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output().ok()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text.lines().next().map(str::to_owned)
    };
    let commands: [&[&str]; 6] = [
        &["uname", "-srm"],
        &["rustc", "--version"],
        &["cargo", "nextest", "--version"],
        &["python3", "--version"],
        &["docker", "version", "--format", "docker engine {{.Server.Version}}"],
        &["nproc", "--all"],
    ];
    commands.iter().filter_map(|words| Some(format!("{}: {}", words.join(" "), first_line(words)?))).collect()
}
