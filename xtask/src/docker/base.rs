//! The base images: Debian from its packages, and the same with a C compiler, this machine's Rust
//! toolchain and the sources of every dependency, so that the build needs no network.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::engine::Engine;
use crate::suite::process;

const SUITE: &str = "bookworm";
const MIRROR: &str = "http://deb.debian.org/debian";
const BOOTSTRAP_LIMIT: Duration = Duration::from_secs(15 * 60);
const VENDOR_LIMIT: Duration = Duration::from_secs(10 * 60);
/// Where the sources of the dependencies lie in the builder image.
const VENDOR_DIRECTORY: &str = "/usr/local/cargo/vendor";

/// The image that stands for `debian:bookworm-slim`.
pub(super) fn runtime(engine: &Engine, cache: &Path) -> Result<String, String> {
    debian(engine, cache, "slim", &[])
}

/// The image that stands for `rust:…-bookworm`.
pub(super) fn builder(engine: &Engine, root: &Path, cache: &Path) -> Result<String, String> {
    let debian = debian(engine, cache, "gcc", &["gcc", "libc6-dev"])?;
    let sysroot = PathBuf::from(output(root, &["rustc", "--print", "sysroot"])?);
    let name = format!("kenger-test/builder:{:016x}", fingerprint(root)?);
    if engine.has_image(&name) {
        return Ok(name);
    }
    let (vendor, config) = vendor(root, cache)?;
    let mut toolchain = Command::new("tar");
    toolchain
        .args(["--create", "--exclude=./share", "--transform=s,^\\.,rust,", "--directory"])
        .arg(sysroot)
        .arg(".");
    let mut sources = Command::new("tar");
    sources.args(["--create", "--transform=s,^\\.,cargo,", "--directory"]).arg(&vendor).arg(".");
    let mut settings = Command::new("tar");
    settings.args(["--create", "--transform=s,^\\.,cargo,", "--directory"]).arg(&config).arg(".");
    let tarballs = vec![(toolchain, "/usr/local"), (sources, "/usr/local"), (settings, "/usr/local")];
    let environment = [
        "ENV PATH=/usr/local/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "ENV CARGO_HOME=/usr/local/cargo",
        "ENV CARGO_NET_OFFLINE=true",
    ];
    engine.extend(&debian, &name, tarballs, &environment)?;
    Ok(name)
}

/// A minimal Debian with some more packages. The root file system is kept in the cache, because
/// fetching it takes longest.
fn debian(engine: &Engine, cache: &Path, variant: &str, packages: &[&str]) -> Result<String, String> {
    let name = format!("kenger-test/debian-{variant}:{SUITE}");
    if engine.has_image(&name) {
        return Ok(name);
    }
    let tarball = cache.join(format!("debian-{variant}-{SUITE}.tar"));
    if !tarball.is_file() {
        let directory = cache.join(format!("debian-{variant}"));
        remove(&directory)?;
        let mut bootstrap = Command::new("debootstrap");
        bootstrap.arg("--variant=minbase");
        if !packages.is_empty() {
            bootstrap.arg(format!("--include={}", packages.join(",")));
        }
        bootstrap.arg(SUITE).arg(&directory).arg(MIRROR);
        process::run(&mut bootstrap, BOOTSTRAP_LIMIT).result?;
        let unfinished = tarball.with_extension("part");
        let mut pack = Command::new("tar");
        pack.args([
            "--create",
            "--numeric-owner",
            "--exclude=./dev/*",
            "--exclude=./var/cache/apt/*",
            "--file",
        ]);
        pack.arg(&unfinished).arg("--directory").arg(&directory).arg(".");
        process::run(&mut pack, BOOTSTRAP_LIMIT).result?;
        std::fs::rename(&unfinished, &tarball).map_err(|error| format!("{}: {error}", tarball.display()))?;
        remove(&directory)?;
    }
    engine.import(&tarball, &name)?;
    Ok(name)
}

/// Copies the sources of all dependencies out of cargo's cache. Returns the directory that holds them
/// and the one with the settings that make cargo use them.
fn vendor(root: &Path, cache: &Path) -> Result<(PathBuf, PathBuf), String> {
    let (sources, settings) = (cache.join("sources"), cache.join("settings"));
    remove(&sources)?;
    let mut vendor = Command::new("cargo");
    vendor
        .args(["vendor", "--locked", "--versioned-dirs", "--quiet"])
        .arg(sources.join("vendor"))
        .current_dir(root);
    process::run(&mut vendor, VENDOR_LIMIT).result?;
    let config = format!(
        "[source.crates-io]\nreplace-with = \"vendored\"\n\n[source.vendored]\ndirectory = \"{VENDOR_DIRECTORY}\"\n"
    );
    let file = settings.join("config.toml");
    let written = std::fs::create_dir_all(&settings).and_then(|()| std::fs::write(&file, config));
    written.map_err(|error| format!("{}: {error}", file.display()))?;
    Ok((sources, settings))
}

/// Changes with the toolchain and with the locked dependencies.
fn fingerprint(root: &Path) -> Result<u64, String> {
    let mut hasher = DefaultHasher::new();
    output(root, &["rustc", "--version", "--verbose"])?.hash(&mut hasher);
    let lock = root.join("Cargo.lock");
    std::fs::read(&lock).map_err(|error| format!("{}: {error}", lock.display()))?.hash(&mut hasher);
    Ok(hasher.finish())
}

fn output(root: &Path, words: &[&str]) -> Result<String, String> {
    let [program, arguments @ ..] = words else { return Err("no program".to_owned()) };
    let output = Command::new(program).args(arguments).current_dir(root).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn remove(directory: &Path) -> Result<(), String> {
    match std::fs::remove_dir_all(directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(format!("{}: {error}", directory.display()))
        }
        _ => Ok(()),
    }
}
