//! The Debian package, and what the program says of itself beside it: man pages, completions.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use crate::run::{self, Outcome};
use crate::setup;

/// Which build is packaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// The release, built for it.
    Release,
    /// What `cargo build` or the tests have left in target/debug: to try the package.
    Dev,
}

/// Where man pages and completions are made; Cargo.toml takes them from here.
const MADE: &str = "target/package";

/// Makes target/debian/hither_VERSION_ARCHITECTURE.deb.
pub(crate) fn package(build: Build) -> Outcome {
    if !run::cargo_knows("deb") {
        return Err(format!(
            "cargo-deb is missing; mend: cargo xtask setup --packaging, or {}",
            setup::CARGO_DEB.join(" ")
        ));
    }
    let folder = match build {
        Build::Release => {
            run::cargo(&["build", "--release", "--locked"])?;
            "release"
        }
        Build::Dev => "debug",
    };
    let program = run::target().join(folder).join("hither");
    if !program.is_file() {
        return Err(format!("{} is not there; mend: cargo build", program.display()));
    }
    describe(&program)?;
    let epoch = last_commit()?;
    run::cargo_with(&arguments(build), &[("SOURCE_DATE_EPOCH", epoch.as_str())])
}

/// What cargo-deb is told. The release's symbols are a package of their own; a trial needs none.
fn arguments(build: Build) -> Vec<&'static str> {
    let all: &[&str] = &["deb", "--no-build", "--locked"];
    let more: &[&str] = match build {
        Build::Release => &["--dbgsym"],
        Build::Dev => &["--profile", "dev", "--no-dbgsym", "--strip", "--fast"],
    };
    [all, more].concat()
}

/// Has the program write its man pages and completions.
fn describe(program: &Path) -> Outcome {
    let made = run::root().join(MADE);
    let (man, completions) = (made.join("man"), made.join("completions"));
    for folder in [&man, &completions] {
        // What is no longer made must not be packaged.
        let _ = fs::remove_dir_all(folder);
        fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    }
    let mut command = Command::new(program);
    command.args(["man", "--out"]).arg(&man);
    run::wait(command, "hither man")?;
    for (shell, name) in [("bash", "hither.bash"), ("zsh", "_hither"), ("fish", "hither.fish")] {
        let path = completions.join(name);
        let file = File::create(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut command = Command::new(program);
        command.args(["completions", shell]).stdout(file);
        run::wait(command, "hither completions")?;
    }
    Ok(())
}

/// The time of the last commit, which is that of all files in the package: the same commit makes the same package.
fn last_commit() -> Result<String, String> {
    let mut command = Command::new("git");
    command.args(["log", "-1", "--format=%ct"]).current_dir(run::root());
    let output = command.output().map_err(|error| format!("`git` does not start: {error}"))?;
    let seconds = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    // Sources without a history are of no time.
    Ok(if output.status.success() && !seconds.is_empty() { seconds } else { "0".to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_keeps_its_symbols_apart_and_a_trial_takes_what_is_built() {
        assert_eq!(arguments(Build::Release), ["deb", "--no-build", "--locked", "--dbgsym"]);
        let trial = arguments(Build::Dev).join(" ");
        assert_eq!(trial, "deb --no-build --locked --profile dev --no-dbgsym --strip --fast");
    }
}
