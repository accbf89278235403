//! Running other programs, each named before it starts.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What went wrong, told on the last line of a chore that failed.
pub(crate) type Outcome = Result<(), String>;

/// Runs cargo at the project's root.
pub(crate) fn cargo(arguments: &[&str]) -> Outcome {
    cargo_with(arguments, &[])
}

/// As [`cargo`], with more environment.
pub(crate) fn cargo_with(arguments: &[&str], environment: &[(&str, &str)]) -> Outcome {
    let set: String = environment.iter().map(|(key, value)| format!("{key}={value} ")).collect();
    eprintln!("$ {set}cargo {}", arguments.join(" "));
    let mut command = Command::new(cargo_program());
    command.args(arguments).envs(environment.iter().copied()).current_dir(root());
    wait(command, "cargo")
}

/// Runs a program with its arguments; the first word is its name.
pub(crate) fn program(words: &[&str]) -> Outcome {
    eprintln!("$ {}", words.join(" "));
    let Some((name, arguments)) = words.split_first() else {
        return Ok(());
    };
    let mut command = if *name == "cargo" { Command::new(cargo_program()) } else { Command::new(name) };
    command.args(arguments).current_dir(root());
    wait(command, name)
}

/// The project's root: the folder above this package.
pub(crate) fn root() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Whether cargo has the subcommand, wherever it keeps its own.
pub(crate) fn cargo_knows(subcommand: &str) -> bool {
    let mut command = Command::new(cargo_program());
    command.args([subcommand, "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Whether a program of this name is on the path.
pub(crate) fn is_on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// The cargo that started us, so that both are of one toolchain.
fn cargo_program() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

/// Runs what was made ready, and waits for its end.
pub(crate) fn wait(mut command: Command, name: &str) -> Outcome {
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{name}` failed: {status}")),
        Err(error) => Err(format!("`{name}` does not start: {error}")),
    }
}
