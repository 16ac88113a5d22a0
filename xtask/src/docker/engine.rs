//! The Docker command line, as far as it is needed.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::suite::process;

const BUILD_LIMIT: Duration = Duration::from_secs(50 * 60);
/// The least that there is; others have 1024.
const CPU_SHARES_MIN: &str = "2";

/// Whether a Docker engine answers on this machine.
pub(crate) fn engine_answers() -> bool {
    Engine.output(&["version", "--format", "{{.Server.Version}}"]).is_ok()
}

/// The engine of this machine.
pub(super) struct Engine;

impl Engine {
    /// Whether there is an image of this name.
    pub(super) fn has_image(&self, name: &str) -> bool {
        self.output(&["image", "inspect", "--format", "{{.Id}}", name]).is_ok()
    }

    /// Makes an image of a root file system.
    pub(super) fn import(&self, tarball: &Path, name: &str) -> Result<(), String> {
        let tarball = tarball.to_str().ok_or("the path of the tarball is no UTF-8")?;
        self.output(&["import", tarball, name]).map(drop)
    }

    /// Makes the image `name` from the image `from` with more files, each given as the standard output
    /// of a program that writes a tarball, and with these settings (`ENV PATH=…`).
    pub(super) fn extend(
        &self,
        from: &str,
        name: &str,
        tarballs: Vec<(Command, &str)>,
        settings: &[&str],
    ) -> Result<(), String> {
        let container = self.output(&["create", from, "true"])?;
        let result =
            tarballs.into_iter().try_for_each(|(tar, directory)| self.copy(&container, tar, directory));
        let result = result.and_then(|()| {
            let changes = settings.iter().flat_map(|setting| ["--change", setting]);
            let arguments: Vec<&str> =
                ["commit"].into_iter().chain(changes).chain([&*container, name]).collect();
            self.output(&arguments).map(drop)
        });
        self.output(&["rm", "--force", &container])?;
        result
    }

    fn copy(&self, container: &str, mut tar: Command, directory: &str) -> Result<(), String> {
        let name = process::describe(&tar);
        let failed = |error: &dyn std::fmt::Display| format!("`{name}`: {error}");
        let mut tar = tar.stdout(Stdio::piped()).spawn().map_err(|error| failed(&error))?;
        let pipe = tar.stdout.take().ok_or_else(|| failed(&"no output"))?;
        let mut copy = Command::new("docker");
        copy.args(["cp", "-", &format!("{container}:{directory}")]).stdin(pipe);
        let copied = copy.status().map_err(|error| format!("docker cp: {error}"))?;
        let packed = tar.wait().map_err(|error| failed(&error))?;
        match (packed.success(), copied.success()) {
            (true, true) => Ok(()),
            (false, _) => Err(failed(&packed)),
            (true, false) => Err(format!("`docker cp` into {directory} failed ({copied})")),
        }
    }

    /// Builds an image from the Dockerfile in `context`.
    pub(super) fn build(&self, context: &Path, name: &str, arguments: &[(&str, &str)]) -> Result<(), String> {
        let mut command = Command::new("docker");
        // The tests that run meanwhile go first.
        command.args(["build", "--cpu-shares", CPU_SHARES_MIN, "--tag", name]).current_dir(context);
        // The Dockerfile must do without BuildKit, which not every engine has.
        command.env("DOCKER_BUILDKIT", "0");
        for (key, value) in arguments {
            command.args(["--build-arg", &format!("{key}={value}")]);
        }
        command.arg(".");
        process::run(&mut command, BUILD_LIMIT).result
    }

    /// Runs `docker` and returns what it printed.
    fn output(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new("docker").args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("docker did not start: {error}"))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
        }
        let why = String::from_utf8_lossy(&output.stderr);
        Err(format!("`docker {}` failed: {}", arguments.join(" "), why.trim()))
    }
}
