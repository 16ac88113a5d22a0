//! The directory that everything of a system lies in: data, configuration, secrets, logs.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use kenger_cluster::Env;
use tempfile::TempDir;

use super::TOKEN;
use super::error::DevError;
use super::ports::Ports;

/// Held as long as a system runs in the directory.
const LOCK_FILE: &str = "dev.lock";
/// Remembers the base of the ports: the members' addresses are part of what they have stored.
const PORT_BASE_FILE: &str = "port-base";

/// The directory, locked.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Present if it is removed at the end.
    temporary: Option<TempDir>,
    _lock: File,
}

impl Directory {
    /// Holds the registry's token.
    pub(super) const TOKEN_FILE: &str = "token";

    /// Opens the directory at `path`, or makes a temporary one.
    ///
    /// # Errors
    /// If it cannot be used, is in use, or belongs to a system on other ports.
    pub(super) fn open(path: Option<&Path>, ports: Ports) -> Result<Self, DevError> {
        let temporary = match path {
            Some(_) => None,
            None => {
                let made = tempfile::Builder::new().prefix("kenger-dev-").tempdir();
                Some(made.map_err(|error| failed("making a temporary directory", error))?)
            }
        };
        let path = match (path, &temporary) {
            (Some(path), _) => make(path).map_err(|error| failed(&path.display().to_string(), error))?,
            (None, Some(temporary)) => temporary.path().to_path_buf(),
            (None, None) => return Err(DevError::Directory("there is no directory to use".to_owned())),
        };
        let lock = lock(&path)?;
        let directory = Self { path, temporary, _lock: lock };
        directory.check_port_base(ports)?;
        directory.write_private(Self::TOKEN_FILE, TOKEN)?;
        if !directory.peer_secret_file().exists() {
            let env = Env::system();
            let digits = format!("{:032x}{:032x}", env.random_u128(), env.random_u128());
            directory.write_private("peer-secret", &digits)?;
        }
        Ok(directory)
    }

    /// The file or directory of this name in it.
    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The same, as an argument of a command line.
    pub(super) fn argument(&self, name: &str) -> String {
        self.join(name).to_string_lossy().into_owned()
    }

    pub(super) fn peer_secret_file(&self) -> PathBuf {
        self.join("peer-secret")
    }

    /// Writes a file that only its owner can read.
    pub(super) fn write_private(&self, name: &str, contents: &str) -> Result<PathBuf, DevError> {
        let path = self.join(name);
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path);
        let written = file.and_then(|mut file| writeln!(file, "{}", contents.trim_end()));
        written.map_err(|error| failed(&path.display().to_string(), error))?;
        Ok(path)
    }

    /// Removes a temporary directory, unless there is a reason to keep it. Returns what a person should
    /// know.
    pub(super) fn close(self, keep: Option<&str>) -> Option<String> {
        let Some(temporary) = self.temporary else {
            return Some(format!("the data is kept in {}", self.path.display()));
        };
        match keep {
            Some(reason) => Some(format!("{} is left in place: {reason}", temporary.keep().display())),
            None => temporary.close().err().map(|error| format!("{}: {error}", self.path.display())),
        }
    }

    fn check_port_base(&self, ports: Ports) -> Result<(), DevError> {
        match fs::read_to_string(self.join(PORT_BASE_FILE)) {
            Ok(base) if base.trim() == ports.base().to_string() => Ok(()),
            Ok(base) => Err(DevError::Directory(format!(
                "{} holds a system with --port-base {}; use that, or another directory",
                self.path.display(),
                base.trim(),
            ))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.write_private(PORT_BASE_FILE, &ports.base().to_string()).map(drop)
            }
            Err(error) => Err(failed(PORT_BASE_FILE, error)),
        }
    }
}

/// Makes the directory, closed to others, and returns its absolute path.
fn make(path: &Path) -> io::Result<PathBuf> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
    path.canonicalize()
}

fn lock(path: &Path) -> Result<File, DevError> {
    let file = path.join(LOCK_FILE);
    let name = file.display().to_string();
    let opened = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&file);
    let file = opened.map_err(|error| failed(&name, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            Err(DevError::Directory(format!("another `kenger dev` runs in {}", path.display())))
        }
        Err(TryLockError::Error(error)) => Err(failed(&name, error)),
    }
}

fn failed(doing: &str, error: io::Error) -> DevError {
    DevError::Io { doing: doing.to_owned(), error }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn secrets_are_readable_by_their_owner_alone_and_stay_the_same() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let secret = || {
            let directory = Directory::open(Some(&path), Ports::new(6_000)).unwrap();
            let file = directory.peer_secret_file();
            let mode = fs::metadata(&file).unwrap().permissions().mode();
            (mode & 0o777, fs::read_to_string(file).unwrap())
        };
        let (mode, first) = secret();
        assert_eq!((mode, first.trim().len()), (0o600, 64));
        assert_eq!(secret(), (mode, first));
    }

    #[test]
    fn a_directory_serves_one_system_at_a_time_and_one_base_of_ports() {
        let parent = tempfile::tempdir().unwrap();
        let open = |base| Directory::open(Some(parent.path()), Ports::new(base));
        let first = open(6_000).unwrap();
        assert!(open(6_000).unwrap_err().to_string().contains("another `kenger dev`"));
        drop(first);
        assert!(open(7_000).unwrap_err().to_string().contains("--port-base 6000"));
        open(6_000).unwrap();
    }

    #[test]
    fn a_temporary_directory_is_removed_unless_there_is_a_reason_to_keep_it() {
        for reason in [None, Some("member 1 works in it")] {
            let directory = Directory::open(None, Ports::new(6_000)).unwrap();
            let path = directory.path.clone();
            let told = directory.close(reason);
            assert_eq!((told.is_some(), path.exists()), (reason.is_some(), reason.is_some()));
            if path.exists() {
                fs::remove_dir_all(&path).unwrap();
            }
        }
    }
}
