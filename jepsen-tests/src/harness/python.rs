//! A Python that has the original client.

use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

/// What is installed, exactly.
const KENGERKIT: &str = "kengerkit==0.2.1";

/// The Python of `KENGER_TEST_PYTHON`, else one in a virtual environment beside the build, made when it
/// is first needed.
///
/// # Errors
/// This machine has no Python with `venv`, or the package cannot be installed.
pub fn python_with_kengerkit() -> Result<PathBuf, String> {
    if let Some(python) = std::env::var_os("KENGER_TEST_PYTHON") {
        return Ok(PathBuf::from(python));
    }
    let test = std::env::current_exe().unwrap();
    // target/debug/deps/process-0123 → target/kengerkit-python
    let target = test.ancestors().nth(3).unwrap();
    let (environment, lock) = (target.join("kengerkit-python"), target.join("kengerkit-python.lock"));
    let lock = File::create(lock).unwrap();
    lock.lock().unwrap();
    let (python, stamp) = (environment.join("bin/python"), environment.join("installed"));
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == KENGERKIT) {
        return Ok(python);
    }
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&environment))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", KENGERKIT]))?;
    std::fs::write(&stamp, KENGERKIT).unwrap();
    Ok(python)
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr)))
}
