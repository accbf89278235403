//! What tests, the demo and fuzzing need beyond cargo.

use std::fs;
use std::io::{IsTerminal, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::{self, Outcome};
use crate::tools::{Manager, Tool};

/// Whether the operator still has to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Ask on the terminal.
    Ask,
    /// `--yes`, or CI.
    Given,
}

/// How much is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// What a change needs.
    Usual,
    /// That, and what makes packages.
    Packaging,
}

/// Installs what is missing, after naming each command.
pub(crate) fn setup(consent: Consent, extent: Extent) -> Outcome {
    let is_wanted = |tool: &Tool| extent == Extent::Packaging || !tool.is_for_packaging();
    let missing: Vec<Tool> = missing().into_iter().filter(is_wanted).collect();
    for tool in Tool::all().filter(is_wanted) {
        let state = if missing.contains(&tool) { "missing" } else { "there" };
        println!("{:<14} {state}: {}", tool.name(), tool.purpose());
    }
    if missing.is_empty() {
        return Ok(());
    }
    let steps = plan(&missing, manager(), standing())?;
    println!("To be run:");
    for step in &steps {
        println!("  {}", step.join(" "));
    }
    if consent == Consent::Ask && !agrees()? {
        return Err("nothing was installed".into());
    }
    for step in &steps {
        run::program(step)?;
    }
    Ok(())
}

/// The tools that are not there.
pub(crate) fn missing() -> Vec<Tool> {
    let is_there = |tool: &Tool| match tool {
        Tool::Nextest => run::cargo_knows("nextest"),
        Tool::CargoDeb => run::cargo_knows("deb"),
        Tool::PythonClients => run::root().join(PYTHON_CLIENTS).is_file(),
        Tool::BrowserDriver => is_driver_there(run::root()),
        // What builds C++ for cargo takes the one that is named, else the one that every compiler goes by.
        Tool::Compiler => std::env::var_os("CXX").is_some() || run::is_on_path("c++"),
        tool => run::is_on_path(tool.name()),
    };
    Tool::all().filter(|tool| !is_there(tool)).collect()
}

/// Whether a network may be made here: by root, or by anybody where namespaces of users are open.
pub(crate) fn may_make_networks() -> bool {
    let user: &[&str] = if standing() == Standing::Root { &[] } else { &["--user", "--map-root-user"] };
    let mut command = Command::new("unshare");
    command.args(user).args(["--mount", "--net", "--pid", "--fork", "--mount-proc", "ip", "link", "set", "lo", "up"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// How we may install packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Root,
    Sudo,
    Neither,
}

type Step = Vec<&'static str>;

/// How cargo-deb is installed.
pub(crate) const CARGO_DEB: [&str; 4] = ["cargo", "install", "--locked", "cargo-deb@3.8.0"];

/// Where what is written in Python is installed, below the project's root: with no package of the system's.
const PYTHON: &str = "target/tools/python";
/// A file there that tells which of it is there.
const PYTHON_CLIENTS: &str = "target/tools/python/clients-3.installed";

/// Where what is written for Node.js is installed, below the project's root.
const NODE: &str = "target/tools/console";
/// What is installed there, and in which versions.
const NODE_PACKAGES: [&str; 2] = ["tests/console/package.json", "tests/console/package-lock.json"];

/// Whether what is installed is what the lock file names. npm writes its own list when all of it is there.
fn is_driver_there(root: &Path) -> bool {
    let installed = root.join(NODE);
    let locks = [root.join("tests/console"), installed.clone()].map(|dir| fs::read(dir.join("package-lock.json")));
    let is_same = matches!(locks, [Ok(ref wanted), Ok(ref had)] if wanted == had);
    is_same && installed.join("node_modules/.package-lock.json").is_file()
}

/// The commands that install the tools, in order.
fn plan(missing: &[Tool], manager: Option<Manager>, standing: Standing) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let from_packages: Vec<Tool> = missing.iter().copied().filter(|tool| !tool.is_in_no_package()).collect();
    if !from_packages.is_empty() {
        let names = || from_packages.iter().map(|tool| tool.name()).collect::<Vec<_>>().join(" and ");
        let Some(manager) = manager else {
            return Err(format!("none of apt-get, dnf, pacman and brew is here; install {} by hand", names()));
        };
        let prefix: &[&str] = match (manager, standing) {
            // Homebrew refuses to be run as root.
            (Manager::Brew, _) | (_, Standing::Root) => &[],
            (_, Standing::Sudo) => &["sudo"],
            (_, Standing::Neither) => {
                return Err(format!("{} can be installed by root only, and there is no sudo", names()));
            }
        };
        if manager == Manager::Apt {
            steps.push([prefix, &["apt-get", "update"]].concat());
        }
        let packages: Vec<&str> = from_packages.iter().filter_map(|tool| manager.package(*tool)).collect();
        steps.push([prefix, manager.install(), &packages].concat());
    }
    if missing.contains(&Tool::PythonClients) {
        steps.push(vec!["python3", "-m", "venv", PYTHON]);
        let packages = ["aioquic==1.7.2", "websockets==17.4", "grpcio==1.85.3", "kubernetes-validate==1.37.0"];
        steps.push([&["target/tools/python/bin/pip", "install", "--quiet"][..], &packages].concat());
        steps.push(vec!["touch", PYTHON_CLIENTS]);
    }
    if missing.contains(&Tool::BrowserDriver) {
        steps.push(vec!["mkdir", "-p", NODE]);
        steps.push([&["cp"][..], &NODE_PACKAGES, &[NODE]].concat());
        steps.push(vec!["npm", "ci", "--prefix", NODE, "--ignore-scripts", "--no-audit", "--no-fund"]);
    }
    if missing.contains(&Tool::Nextest) {
        steps.push(vec!["cargo", "install", "cargo-nextest", "--locked"]);
    }
    if missing.contains(&Tool::CargoDeb) {
        steps.push(CARGO_DEB.to_vec());
    }
    Ok(steps)
}

fn manager() -> Option<Manager> {
    Manager::ALL.into_iter().find(|manager| run::is_on_path(manager.program()))
}

fn standing() -> Standing {
    let id = Command::new("id").arg("-u").output();
    if id.is_ok_and(|output| output.stdout.trim_ascii() == b"0") {
        Standing::Root
    } else if run::is_on_path("sudo") {
        Standing::Sudo
    } else {
        Standing::Neither
    }
}

fn agrees() -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("no terminal to ask on; `cargo xtask setup --yes` runs them without asking".into());
    }
    print!("Run them? [Y/n] ");
    std::io::stdout().flush().map_err(|error| error.to_string())?;
    let mut answer = String::new();
    // Nothing read, not even a line's end, is a closed terminal: no consent.
    let length = std::io::stdin().read_line(&mut answer).map_err(|error| error.to_string())?;
    Ok(length > 0 && matches!(answer.trim().to_lowercase().as_str(), "" | "y" | "yes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plan_fits_the_machine() {
        use Manager::{Apt, Brew, Dnf, Pacman};
        use Standing::{Neither, Root, Sudo};
        type Row<'a> = (&'a [Tool], Option<Manager>, Standing, &'a [&'a str]);
        let rows: [Row<'_>; 11] = [
            (&[], None, Neither, &[]),
            (&[Tool::CargoDeb], None, Neither, &["cargo install --locked cargo-deb@3.8.0"]),
            (&[Tool::SystemdAnalyze], Some(Pacman), Root, &["pacman -S --needed --noconfirm systemd"]),
            (&[Tool::Nextest], None, Neither, &["cargo install cargo-nextest --locked"]),
            (
                &[Tool::Dig, Tool::Curl],
                Some(Apt),
                Root,
                &[
                    "apt-get update",
                    "env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bind9-dnsutils curl",
                ],
            ),
            (&[Tool::Dig], Some(Dnf), Sudo, &["sudo dnf install -y bind-utils"]),
            (&[Tool::Dig], Some(Pacman), Root, &["pacman -S --needed --noconfirm bind"]),
            (&[Tool::Compiler], Some(Dnf), Root, &["dnf install -y gcc-c++"]),
            (&[Tool::Curl], Some(Brew), Neither, &["brew install curl"]),
            (
                &[Tool::BrowserDriver],
                None,
                Neither,
                &[
                    "mkdir -p target/tools/console",
                    "cp tests/console/package.json tests/console/package-lock.json target/tools/console",
                    "npm ci --prefix target/tools/console --ignore-scripts --no-audit --no-fund",
                ],
            ),
            (
                &[Tool::Curl, Tool::Nextest],
                Some(Dnf),
                Sudo,
                &["sudo dnf install -y curl", "cargo install cargo-nextest --locked"],
            ),
        ];
        for (missing, manager, standing, expected) in rows {
            let steps: Vec<String> =
                plan(missing, manager, standing).unwrap().iter().map(|step| step.join(" ")).collect();
            assert_eq!(steps, expected, "{missing:?} {manager:?} {standing:?}");
        }
    }

    #[test]
    fn what_cannot_be_installed_is_named() {
        let by_hand = plan(&[Tool::Dig, Tool::Curl], None, Standing::Root).unwrap_err();
        assert!(by_hand.ends_with("install dig and curl by hand"), "{by_hand}");
        let no_root = plan(&[Tool::Curl], Some(Manager::Apt), Standing::Neither).unwrap_err();
        assert!(no_root.starts_with("curl can be installed by root only"), "{no_root}");
    }
}
