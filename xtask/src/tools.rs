//! Programs that cargo does not bring: what each is for, and which packages have it.

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
    /// A proxy that names its clients by PROXY protocol.
    Haproxy,
    /// Typesets manual pages.
    Groff,
    /// Counts instructions.
    Valgrind,
    /// A client of TLS that says all of it.
    Openssl,
    /// Judges TLS.
    Sslscan,
    /// Many requests over HTTP/2.
    H2load,
    /// Makes machines of namespaces.
    Ip,
    /// Judges units, and is there where units can be run.
    SystemdAnalyze,
    /// Judges alert rules.
    Promtool,
    /// Clients of HTTP/3, WebSocket and gRPC, in Python, and what judges manifests.
    PythonClients,
    /// A browser.
    Chromium,
    /// Installs what drives it.
    Npm,
    /// Drives the browser, and judges what it shows.
    BrowserDriver,
    /// An authority of certificates.
    Pebble,
    /// Builds the fuzzer, which is written in C++.
    Compiler,
    /// Makes Debian packages.
    CargoDeb,
    /// Runs tests, each in a process of its own.
    Nextest,
}

/// What is known of a tool.
struct Row {
    tool: Tool,
    name: &'static str,
    /// What is lost without it.
    purpose: &'static str,
    /// Modules of stories that cannot be told without it.
    stories: &'static [&'static str],
    /// The packages that have it, by [`Manager`].
    packages: [Option<&'static str>; 4],
}

/// A package manager.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Pacman,
    Brew,
}

const fn row(
    tool: Tool,
    name: &'static str,
    purpose: &'static str,
    stories: &'static [&'static str],
    packages: [Option<&'static str>; 4],
) -> Row {
    Row { tool, name, purpose, stories, packages }
}

const fn everywhere(package: &'static str) -> [Option<&'static str>; 4] {
    [Some(package); 4]
}

const NONE: [Option<&'static str>; 4] = [None; 4];

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(Tool::Dig, "dig", "the tests that ask our name servers as an operator would",
        &["demo::", "deploy::", "name_server::", "package::", "resolvers::", "runbook::", "secondaries::", "tutorial::", "up::"],
        [Some("bind9-dnsutils"), Some("bind-utils"), Some("bind"), Some("bind")]),
    row(Tool::Curl, "curl", "the tests that ask our edges as an operator would",
        &["acme::", "demo::", "deploy::", "doh::", "encrypted::", "http3::", "node::", "package::", "proxies::", "runbook::",
          "tls::", "tutorial::", "up::"],
        everywhere("curl")),
    row(Tool::Unbound, "unbound", "the test that asks our name servers through it",
        &["acme::", "resolvers::"], everywhere("unbound")),
    row(Tool::Bind, "named", "the test that asks our name servers through it",
        &["resolvers::", "secondaries::"], [Some("bind9"), Some("bind"), Some("bind"), Some("bind")]),
    row(Tool::KnotResolver, "kresd", "the test that asks our name servers through it",
        &["resolvers::"], everywhere("knot-resolver")),
    row(Tool::Nsd, "nsd", "the signed root of the test with resolvers",
        &["acme::", "resolvers::", "secondaries::"], everywhere("nsd")),
    row(Tool::Ldns, "ldns-signzone", "the signed root of the test with resolvers",
        &["resolvers::"], [Some("ldnsutils"), Some("ldns-utils"), Some("ldns"), Some("ldns")]),
    row(Tool::Kdig, "kdig", "the tests of encrypted DNS, and that signed zones are judged by",
        &["encrypted::", "resolvers::"], [Some("knot-dnsutils"), Some("knot-utils"), Some("knot"), Some("knot")]),
    row(Tool::Dnsviz, "dnsviz", "the tests of encrypted DNS, and that signed zones are judged by",
        &["resolvers::"], everywhere("dnsviz")),
    row(Tool::Nginx, "nginx", "the tests of origins that fail over, and of proxies before edges",
        &["origins::", "proxies::"], [Some("nginx-light"), Some("nginx"), Some("nginx"), Some("nginx")]),
    row(Tool::Haproxy, "haproxy", "the test of proxies before edges",
        &["proxies::"], everywhere("haproxy")),
    row(Tool::Groff, "groff", "the test that typesets the manual pages",
        &["manual::"], [Some("groff-base"), Some("groff-base"), Some("groff"), Some("groff")]),
    row(Tool::Valgrind, "valgrind", "the test that counts what a hit costs",
        &["instructions::"], everywhere("valgrind")),
    row(Tool::Openssl, "openssl", "the tests that our edges' TLS is judged by, and that make certificates by hand",
        &["runbook::", "scan::", "tutorial::"], everywhere("openssl")),
    row(Tool::Sslscan, "sslscan", "the test that our edges' TLS is judged by",
        &["scan::"], everywhere("sslscan")),
    row(Tool::H2load, "h2load", "the test that asks our edges thousands of times over HTTP/2",
        &["scan::"], [Some("nghttp2-client"), Some("nghttp2"), Some("nghttp2"), Some("nghttp2")]),
    row(Tool::Ip, "ip", "the tests that run pages and packages on machines made of namespaces",
        &["deploy::", "package::", "runbook::", "tutorial::"], [Some("iproute2"), Some("iproute"), Some("iproute2"), None]),
    row(Tool::SystemdAnalyze, "systemd-analyze", "the tests that our units are judged and run by",
        &["package::", "units::"], [Some("systemd"), Some("systemd"), Some("systemd"), None]),
    row(Tool::Promtool, "promtool", "the test of the alert rules",
        &["alerts::"], [Some("prometheus"), Some("golang-github-prometheus"), Some("prometheus"), Some("prometheus")]),
    row(Tool::PythonClients, "aioquic, websockets, grpcio and kubernetes-validate",
        "the tests that ask our edges by HTTP/3, WebSocket and gRPC, and judge manifests",
        &["acme::", "deploy::", "doh::", "grpc::", "http3::", "upgrades::"],
        [Some("python3-venv"), Some("python3"), Some("python"), Some("python")]),
    row(Tool::Chromium, "chromium", "the tests that browse our edges and the console",
        &["acme::", "console::", "http3::", "upgrades::"], everywhere("chromium")),
    row(Tool::Npm, "npm", "the test of the console in a browser",
        &["console::"], [Some("npm"), Some("npm"), Some("npm"), Some("node")]),
    row(Tool::BrowserDriver, "playwright-core and axe-core", "the test of the console in a browser",
        &["console::"], NONE),
    row(Tool::Pebble, "pebble", "the test of certificates that get themselves",
        &["acme::"], [Some("pebble"), None, None, None]),
    row(Tool::Compiler, "g++", "`cargo xtask fuzz` builds its fuzzer with it",
        &[], [Some("g++"), Some("gcc-c++"), Some("gcc"), Some("gcc")]),
    row(Tool::CargoDeb, "cargo-deb", "`cargo xtask package`", &[], NONE),
    row(Tool::Nextest, "cargo-nextest", "each test in a process of its own, with a time limit", &[], NONE),
];

impl Tool {
    /// All of them.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        ROWS.iter().map(|row| row.tool)
    }

    /// The name by which it is called.
    pub(crate) fn name(self) -> &'static str {
        self.row().map_or("", |row| row.name)
    }

    /// What is lost without it.
    pub(crate) fn purpose(self) -> &'static str {
        self.row().map_or("", |row| row.purpose)
    }

    /// Modules of stories that cannot be told without it.
    pub(crate) fn stories(self) -> &'static [&'static str] {
        self.row().map_or(&[], |row| row.stories)
    }

    /// Whether it takes part in tests at all.
    pub(crate) fn is_for_tests(self) -> bool {
        self != Self::Compiler
    }

    /// Whether it takes minutes to install and only packaging needs it.
    pub(crate) fn is_for_packaging(self) -> bool {
        self == Self::CargoDeb
    }

    /// Whether it is installed by steps of its own alone.
    pub(crate) fn is_in_no_package(self) -> bool {
        matches!(self, Self::BrowserDriver | Self::CargoDeb | Self::Nextest)
    }

    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.tool == self)
    }
}

impl Manager {
    pub(crate) const ALL: [Self; 4] = [Self::Apt, Self::Dnf, Self::Pacman, Self::Brew];

    /// Its program.
    pub(crate) fn program(self) -> &'static str {
        match self {
            Self::Apt => "apt-get",
            Self::Dnf => "dnf",
            Self::Pacman => "pacman",
            Self::Brew => "brew",
        }
    }

    /// What goes before the packages' names.
    pub(crate) fn install(self) -> &'static [&'static str] {
        match self {
            Self::Apt => {
                &["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "install", "-y", "--no-install-recommends"]
            }
            Self::Dnf => &["dnf", "install", "-y"],
            Self::Pacman => &["pacman", "-S", "--needed", "--noconfirm"],
            Self::Brew => &["brew", "install"],
        }
    }

    /// The package that has a tool.
    pub(crate) fn package(self, tool: Tool) -> Option<&'static str> {
        let [apt, dnf, pacman, brew] = tool.row()?.packages;
        match self {
            Self::Apt => apt,
            Self::Dnf => dnf,
            Self::Pacman => pacman,
            Self::Brew => brew,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tool_has_a_row_and_a_way_to_be_installed() {
        // The last of the list.
        assert_eq!(ROWS.len(), Tool::Nextest as usize + 1);
        for (place, tool) in Tool::all().enumerate() {
            assert_eq!(tool as usize, place, "{} stands where it is listed", tool.name());
            assert!(tool.is_in_no_package() || Manager::Apt.package(tool).is_some(), "{}", tool.name());
        }
    }
}
