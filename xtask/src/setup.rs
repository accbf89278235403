//! What tests, the demo and fuzzing need beyond cargo.

use std::io::{IsTerminal, Write};
use std::process::Command;

use crate::run::{self, Outcome};

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
    for tool in TOOLS.iter().filter(|tool| is_wanted(tool)) {
        let state = if missing.contains(tool) { "missing" } else { "there" };
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
        Tool::Dig
        | Tool::Curl
        | Tool::Unbound
        | Tool::Bind
        | Tool::KnotResolver
        | Tool::Nsd
        | Tool::Ldns
        | Tool::Kdig
        | Tool::Dnsviz
        | Tool::Nginx
        | Tool::Groff
        | Tool::Haproxy
        | Tool::Valgrind
        | Tool::Openssl
        | Tool::Sslscan
        | Tool::H2load
        | Tool::Chromium
        | Tool::SystemdAnalyze
        | Tool::Pebble => run::is_on_path(tool.name()),
        Tool::PythonClients => run::root().join(PYTHON_CLIENTS).is_file(),
        // What builds C++ for cargo takes the one that is named, else the one that every compiler goes by.
        Tool::Compiler => std::env::var_os("CXX").is_some() || run::is_on_path("c++"),
    };
    TOOLS.iter().copied().filter(|tool| !is_there(tool)).collect()
}

/// A program that cargo does not bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    /// Asks name servers.
    Dig,
    /// Asks edges.
    Curl,
    /// A recursive resolver.
    Unbound,
    /// Another.
    Bind,
    /// A third.
    KnotResolver,
    /// A name server that is not ours, for the root of a story.
    Nsd,
    /// Signs that root.
    Ldns,
    /// Asks name servers, strictly.
    Kdig,
    /// Judges a signed zone whole.
    Dnsviz,
    /// An origin that is not ours, and a proxy.
    Nginx,
    /// Typesets manual pages.
    Groff,
    /// A proxy that names its clients by PROXY protocol.
    Haproxy,
    /// Counts instructions.
    Valgrind,
    /// A client of TLS that says all of it.
    Openssl,
    /// Judges TLS.
    Sslscan,
    /// Many requests over HTTP/2.
    H2load,
    /// Clients of HTTP/3, WebSocket and gRPC, in Python.
    PythonClients,
    /// A browser.
    Chromium,
    /// An authority of certificates.
    Pebble,
    /// Builds the fuzzer, which is written in C++.
    Compiler,
    /// Judges units, and is there where units can be run.
    SystemdAnalyze,
    /// Makes Debian packages.
    CargoDeb,
    /// Runs tests, each in a process of its own.
    Nextest,
}

const TOOLS: &[Tool] = &[
    Tool::Dig,
    Tool::Curl,
    Tool::Unbound,
    Tool::Bind,
    Tool::KnotResolver,
    Tool::Nsd,
    Tool::Ldns,
    Tool::Kdig,
    Tool::Dnsviz,
    Tool::Nginx,
    Tool::Groff,
    Tool::Haproxy,
    Tool::Valgrind,
    Tool::Openssl,
    Tool::Sslscan,
    Tool::H2load,
    Tool::PythonClients,
    Tool::Chromium,
    Tool::Pebble,
    Tool::Compiler,
    Tool::SystemdAnalyze,
    Tool::CargoDeb,
    Tool::Nextest,
];

impl Tool {
    /// The name by which it is called.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Dig => "dig",
            Self::Curl => "curl",
            Self::Unbound => "unbound",
            Self::Bind => "named",
            Self::KnotResolver => "kresd",
            Self::Nsd => "nsd",
            Self::Ldns => "ldns-signzone",
            Self::Kdig => "kdig",
            Self::Dnsviz => "dnsviz",
            Self::Nginx => "nginx",
            Self::Groff => "groff",
            Self::Haproxy => "haproxy",
            Self::Valgrind => "valgrind",
            Self::Openssl => "openssl",
            Self::Sslscan => "sslscan",
            Self::H2load => "h2load",
            Self::PythonClients => "aioquic, websockets, grpcio and kubernetes-validate",
            Self::Chromium => "chromium",
            Self::Pebble => "pebble",
            Self::Compiler => "g++",
            Self::SystemdAnalyze => "systemd-analyze",
            Self::CargoDeb => "cargo-deb",
            Self::Nextest => "cargo-nextest",
        }
    }

    /// Modules of stories that cannot be told without it.
    pub(crate) fn stories(self) -> &'static [&'static str] {
        match self {
            Self::Dig => &["demo::", "deploy::", "name_server::", "package::", "resolvers::", "secondaries::", "up::"],
            Self::Curl => &[
                "acme::",
                "demo::",
                "deploy::",
                "doh::",
                "encrypted::",
                "http3::",
                "node::",
                "package::",
                "proxies::",
                "tls::",
                "up::",
            ],
            Self::Unbound => &["acme::", "resolvers::"],
            Self::Kdig => &["encrypted::", "resolvers::"],
            Self::KnotResolver | Self::Ldns | Self::Dnsviz => &["resolvers::"],
            Self::Bind => &["resolvers::", "secondaries::"],
            Self::Nsd => &["acme::", "resolvers::", "secondaries::"],
            Self::Nginx => &["origins::", "proxies::"],
            Self::Groff => &["manual::"],
            Self::Haproxy => &["proxies::"],
            Self::Valgrind => &["instructions::"],
            Self::Openssl | Self::Sslscan | Self::H2load => &["scan::"],
            Self::PythonClients => &["acme::", "deploy::", "doh::", "grpc::", "http3::", "upgrades::"],
            Self::Chromium => &["acme::", "http3::", "upgrades::"],
            Self::Pebble => &["acme::"],
            Self::SystemdAnalyze => &["package::"],
            Self::Compiler | Self::CargoDeb | Self::Nextest => &[],
        }
    }

    /// Whether it takes part in tests at all.
    pub(crate) fn is_for_tests(self) -> bool {
        self != Self::Compiler
    }

    /// Whether it takes minutes to install and only packaging needs it.
    pub(crate) fn is_for_packaging(self) -> bool {
        self == Self::CargoDeb
    }

    /// What is lost without it.
    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Dig => "the tests that ask our name servers as an operator would",
            Self::Curl => "the tests that ask our edges as an operator would",
            Self::Unbound | Self::Bind | Self::KnotResolver => "the test that asks our name servers through it",
            Self::Nsd | Self::Ldns => "the signed root of the test with resolvers",
            Self::Kdig | Self::Dnsviz => "the tests of encrypted DNS, and that signed zones are judged by",
            Self::Nginx => "the tests of origins that fail over, and of proxies before edges",
            Self::Groff => "the test that typesets the manual pages",
            Self::Haproxy => "the test of proxies before edges",
            Self::Valgrind => "the test that counts what a hit costs",
            Self::Openssl | Self::Sslscan => "the test that our edges' TLS is judged by",
            Self::H2load => "the test that asks our edges thousands of times over HTTP/2",
            Self::PythonClients => "the tests that ask our edges by HTTP/3, WebSocket and gRPC, and judge manifests",
            Self::Chromium => "the test that browses our edges",
            Self::Pebble => "the test of certificates that get themselves",
            Self::Compiler => "`cargo xtask fuzz` builds its fuzzer with it",
            Self::SystemdAnalyze => "the tests that our unit is judged and run by",
            Self::CargoDeb => "`cargo xtask package`",
            Self::Nextest => "each test in a process of its own, with a time limit",
        }
    }
}

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manager {
    Apt,
    Dnf,
    Pacman,
    Brew,
}

impl Manager {
    const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Brew];

    fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    /// What goes before the packages' names.
    fn install(self) -> &'static [&'static str] {
        match self {
            Self::Apt => {
                &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"]
            }
            Self::Dnf => &["dnf", "install", "-y"],
            Self::Pacman => &["pacman", "-S", "--needed", "--noconfirm"],
            Self::Brew => &["brew", "install"],
        }
    }

    fn package(self, tool: Tool) -> Option<&'static str> {
        match (tool, self) {
            (Tool::Dig, Self::Apt) => Some("bind9-dnsutils"),
            (Tool::Dig, Self::Dnf) => Some("bind-utils"),
            (Tool::Dig, Self::Pacman | Self::Brew) => Some("bind"),
            (Tool::Curl, _) => Some("curl"),
            (Tool::Compiler, Self::Apt) => Some("g++"),
            (Tool::Compiler, Self::Dnf) => Some("gcc-c++"),
            (Tool::Compiler, Self::Pacman | Self::Brew) => Some("gcc"),
            (Tool::Unbound, _) => Some("unbound"),
            (Tool::Bind, Self::Apt) => Some("bind9"),
            (Tool::Bind, _) => Some("bind"),
            (Tool::KnotResolver, _) => Some("knot-resolver"),
            (Tool::Nsd, _) => Some("nsd"),
            (Tool::Ldns, Self::Apt) => Some("ldnsutils"),
            (Tool::Ldns, Self::Dnf) => Some("ldns-utils"),
            (Tool::Ldns, _) => Some("ldns"),
            (Tool::Kdig, Self::Apt) => Some("knot-dnsutils"),
            (Tool::Kdig, Self::Dnf) => Some("knot-utils"),
            (Tool::Kdig, _) => Some("knot"),
            (Tool::Dnsviz, _) => Some("dnsviz"),
            (Tool::Nginx, Self::Apt) => Some("nginx-light"),
            (Tool::Nginx, _) => Some("nginx"),
            (Tool::Groff, Self::Apt | Self::Dnf) => Some("groff-base"),
            (Tool::Groff, _) => Some("groff"),
            (Tool::Haproxy, _) => Some("haproxy"),
            (Tool::Valgrind, _) => Some("valgrind"),
            (Tool::Openssl, _) => Some("openssl"),
            (Tool::Sslscan, _) => Some("sslscan"),
            (Tool::H2load, Self::Apt) => Some("nghttp2-client"),
            (Tool::H2load, _) => Some("nghttp2"),
            (Tool::PythonClients, Self::Apt) => Some("python3-venv"),
            (Tool::PythonClients, Self::Dnf) => Some("python3"),
            (Tool::PythonClients, _) => Some("python"),
            (Tool::Chromium, _) => Some("chromium"),
            (Tool::Pebble, Self::Apt) => Some("pebble"),
            (Tool::SystemdAnalyze, Self::Apt | Self::Dnf | Self::Pacman) => Some("systemd"),
            (Tool::Nextest | Tool::Pebble | Tool::CargoDeb | Tool::SystemdAnalyze, _) => None,
        }
    }
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

/// The commands that install the tools, in order.
fn plan(missing: &[Tool], manager: Option<Manager>, standing: Standing) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    let is_of_cargo = |tool: &Tool| matches!(tool, Tool::Nextest | Tool::CargoDeb);
    let from_packages: Vec<Tool> = missing.iter().copied().filter(|tool| !is_of_cargo(tool)).collect();
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
        let rows: [Row<'_>; 10] = [
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
