//! Finding the config directory, and reading it for a person.

use std::path::{Path, PathBuf};

use config::{Config, Loaded, Look, Network, Problem, Refused, Secret, Site, report};
use fleet::ConfigVersion;

use crate::exit::Failure;
use crate::say::{counted, is_coloured, note};

/// Where `-C`, the environment or the place say the config is. Absolute, as what is told of changed files.
pub(crate) fn find(named: Option<PathBuf>) -> PathBuf {
    let dir = look_for(named);
    std::path::absolute(&dir).unwrap_or(dir)
}

fn look_for(named: Option<PathBuf>) -> PathBuf {
    if let Some(dir) = named.or_else(|| std::env::var_os("HITHER_DIR").map(PathBuf::from)) {
        return dir;
    }
    if Path::new("hither.toml").exists() {
        return PathBuf::from(".");
    }
    let running = crate::client::ask_json(crate::client::DEFAULT_ADMIN, "/status", None).ok();
    let running = running.and_then(|status| status.get("directory")?.as_str().map(PathBuf::from));
    running.unwrap_or_else(|| PathBuf::from("/etc/hither"))
}

/// Whether two paths lead to one directory.
pub(crate) fn is_same(one: &Path, other: &Path) -> bool {
    let real = |path: &Path| std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    one == other || real(one) == real(other)
}

/// What running nodes are asked by.
pub(crate) struct Known {
    pub(crate) network: Network,
    pub(crate) sites: Vec<Site>,
    /// Which config the files are; none, where they are refused.
    pub(crate) version: Option<ConfigVersion>,
    /// What nodes sign with.
    pub(crate) fleet_key: Option<Secret>,
}

impl Known {
    /// What a config that holds says.
    pub(crate) fn of(config: Config) -> Self {
        let version = Some(ConfigVersion::of(&config));
        let Config { network, sites, fleet_key, .. } = config;
        Self { network, sites, version, fleet_key }
    }
}

/// Reads a directory to ask running nodes. Where files are refused, nodes serve on with those before:
/// the faults are drawn, and what `hither.toml` says is taken if it could be read.
pub(crate) fn known(dir: &Path) -> Result<Known, Failure> {
    let Refused { problems, network, sites, fleet_key, .. } = match config::load(dir) {
        // Warnings are `check`'s and `up`'s.
        Ok(Loaded { config, .. }) => return Ok(Known::of(config)),
        Err(refused) => refused,
    };
    let failure = refused(&problems);
    let network = *network.ok_or(failure)?;
    note("hither: these files are refused; asking the nodes that run with those before\n\n");
    Ok(Known { network, sites, version: None, fleet_key })
}

/// Problems as a failure: drawn, and counted.
pub(crate) fn refused(problems: &[Problem]) -> Failure {
    print(problems);
    let faults = problems.iter().filter(|problem| problem.severity == config::Severity::Fault).count();
    Failure::operator(format!("{} in the config", counted(faults, "fault")))
}

/// Draws problems on standard error.
pub(crate) fn print(problems: &[Problem]) {
    if !problems.is_empty() {
        let look = if is_coloured(&std::io::stderr()) { Look::Coloured } else { Look::Plain };
        note(report(problems, look));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_the_same_by_any_path_and_a_copy_is_another() {
        let all = tempfile::tempdir().unwrap();
        let path = |name: &str| all.path().join(name);
        std::fs::create_dir(path("cdn")).unwrap();
        std::fs::create_dir(path("copy")).unwrap();
        std::os::unix::fs::symlink(path("cdn"), path("link")).unwrap();
        for (one, other, expected) in [
            ("cdn", "cdn", true),
            ("cdn", "link", true),
            ("cdn", "copy/../cdn/.", true),
            ("cdn", "copy", false),
            ("link", "copy", false),
            // Of another machine, or gone.
            ("gone", "gone", true),
            ("cdn", "gone", false),
        ] {
            assert_eq!(is_same(&path(one), &path(other)), expected, "{one} {other}");
        }
    }
}
