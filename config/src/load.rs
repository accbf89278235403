//! Reading the whole directory.

use std::cell::{Cell, RefCell};
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::auto;
use crate::changed::{believed, last_change, unix_ms, warn_of_future};
use crate::claims;
use crate::families;
use crate::host::DomainName;
use crate::id::SiteId;
use crate::keys::ZoneKeys;
use crate::limits;
use crate::listening;
use crate::network::{self, Network};
use crate::problem::{Problem, Severity};
use crate::register::Kind;
use crate::round_trips::{self, RoundTrip};
use crate::route::{self, AsNumbers, Routes};
use crate::secret::{self, Secret};
use crate::site::{self, Site};
use crate::source::Source;
use crate::table::{Context, Value, read_document};
use crate::wrong::Wrong;

/// Everything the operator wrote, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// The directory it was read from.
    pub dir: PathBuf,
    /// `hither.toml`.
    pub network: Network,
    /// `sites/*.toml`, by id.
    pub sites: Vec<Site>,
    /// `zones/*`, by name, as text: only name servers read further.
    pub zones: Vec<ZoneFile>,
    /// `routes.toml`.
    pub routes: Routes,
    /// `latency/*.csv`, file by file.
    pub round_trips: Vec<RoundTrip>,
    /// `secrets/fleet.key`, by which nodes know each other.
    pub fleet_key: Option<Secret>,
    /// `secrets/dnssec/<zone>.toml` of every zone, if answers are signed.
    pub zone_keys: Vec<ZoneKeys>,
    /// What is wrong with those: of no concern to edges, which need no keys.
    pub zone_key_problems: Vec<Problem>,
    /// The newest change of any file, Unix milliseconds, and now where that is still to come: the version that `status` shows.
    /// [`Config::follow`] makes it that of a change that no file tells of.
    pub version: u64,
    /// Every file it was read from, but secrets.
    pub sources: Vec<Arc<Source>>,
}

/// A zone in master-file format, not yet parsed.
#[derive(Clone, Debug)]
pub struct ZoneFile {
    /// The zone's name: the file's.
    pub name: DomainName,
    /// Its text, or why it cannot be read: only name servers mind.
    pub source: Result<Arc<Source>, Problem>,
    /// Its path, for `$INCLUDE`.
    pub path: PathBuf,
}

/// A config that holds, and what looks like a mistake in it.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The config.
    pub config: Config,
    /// Warnings.
    pub warnings: Vec<Problem>,
}

/// A config that does not hold.
#[derive(Clone, Debug)]
pub struct Refused {
    /// At least one fault, and the warnings.
    pub problems: Vec<Problem>,
    /// `hither.toml` where it could be read: running nodes are asked by it. Never to be served.
    pub network: Option<Box<Network>>,
    /// `secrets/fleet.key` for the same, where it could be read.
    pub fleet_key: Option<Secret>,
    /// The sites that could be read, so that their certificates' faults are told with the rest.
    pub sites: Vec<Site>,
    /// The zones that could be read, for the same reason.
    pub zones: Vec<ZoneFile>,
}

/// Reads and checks the directory.
///
/// # Errors
/// Every fault of every file.
pub fn load(dir: &Path) -> Result<Loaded, Refused> {
    load_copy(dir, dir)
}

/// Where a directory's state is unless its `state` says: for when it cannot be read.
#[must_use]
pub fn default_state(dir: &Path) -> PathBuf {
    dir.join(network::default_state())
}

/// Reads a copy of a directory's files; secrets and relative paths are the directory's own.
///
/// # Errors
/// As [`load`].
pub fn load_copy(copy: &Path, dir: &Path) -> Result<Loaded, Refused> {
    if copy.is_file() {
        let problem = Problem::general(format!("{} is a file, and a config is a directory", copy.display()));
        let problems = vec![problem.help("name the directory that its hither.toml lies in")];
        return Err(Refused { problems, network: None, fleet_key: None, sites: Vec::new(), zones: Vec::new() });
    }
    let reading = Reading { copy: copy.to_owned(), dir: dir.to_owned(), ..Reading::default() };
    let (sites, zones) = (reading.sites(), reading.zones());
    let Rest { network, routes, round_trips, fleet_key } = reading.rest(&sites);
    let (zone_keys, zone_key_problems) =
        network.as_ref().map(|network| reading.zone_keys(network, &zones)).unwrap_or_default();
    let unready = network.as_ref().and_then(|network| lacks_fleet_key(network, &sites, fleet_key.as_ref()));
    unready.into_iter().for_each(|problem| reading.context.add(problem));
    let version = reading.newest.get();
    let problems = reading.context.finish();
    let faulty = problems.iter().any(|problem| problem.severity == Severity::Fault);
    match (network, routes) {
        (Some(network), Some(routes)) if !faulty => {
            let sources = reading.sources.into_inner();
            let dir = dir.to_owned();
            let config = Config {
                dir,
                network,
                sites,
                zones,
                routes,
                round_trips,
                fleet_key,
                zone_keys,
                zone_key_problems,
                version,
                sources,
            };
            Ok(Loaded { config, warnings: problems })
        }
        (network, _) => Err(Refused { problems, network: network.map(Box::new), fleet_key, sites, zones }),
    }
}

/// What certificates that get themselves need of the rest.
fn lacks_fleet_key(network: &Network, sites: &[Site], fleet_key: Option<&Secret>) -> Option<Problem> {
    let is_auto = |site: &Site| site.tls.as_ref().is_some_and(|tls| tls.auto);
    let is_wanted = sites.iter().any(is_auto) || network.dns.tls.as_ref().is_some_and(|tls| tls.auto);
    let is_alone = network.node_ids().len() == 1;
    let site = sites.iter().find(|site| site.tls.as_ref().is_some_and(|tls| tls.auto));
    let whose = site.map_or("[dns.tls]".to_owned(), |site| format!("sites/{}.toml", site.id));
    let problem =
        Problem::general(format!("the `auto` of {whose} needs secrets/fleet.key, by which nodes know each other"));
    (is_wanted && !is_alone && fleet_key.is_none())
        .then(|| problem.help("write at least 16 random characters there, the same on every node, mode 0600"))
}

#[derive(Default)]
struct Reading {
    /// Where the files are.
    copy: PathBuf,
    /// Whose secrets count, and where relative paths start.
    dir: PathBuf,
    context: Context,
    newest: Cell<u64>,
    sources: RefCell<Vec<Arc<Source>>>,
}

/// What is read beside sites and zones, as far as it could be.
struct Rest {
    network: Option<Network>,
    routes: Option<Routes>,
    round_trips: Vec<RoundTrip>,
    fleet_key: Option<Secret>,
}

impl Reading {
    fn rest(&self, sites: &[Site]) -> Rest {
        let network = self.network(sites);
        // A network that cannot be read is its own fault.
        let has_asn = network.as_ref().is_none_or(|network| network.geo.asn.is_some());
        let as_numbers = if has_asn { AsNumbers::Known } else { AsNumbers::Unknown };
        let (routes, round_trips) = (self.routes(as_numbers), self.round_trips());
        Rest { network, routes, round_trips, fleet_key: self.fleet_key() }
    }

    fn round_trips(&self) -> Vec<RoundTrip> {
        let mut all = Vec::new();
        for (name, path) in self.names_in("latency") {
            if !name.ends_with(".csv") {
                let problem = Problem::warning(Source::new(&path, String::new()).place(0..0), "this file is not read");
                self.context.add(problem.help("the name of a file of round trips ends in .csv"));
            } else if let Some(source) = self.file_within(&path, limits::ROUND_TRIPS_BYTES) {
                all.extend(round_trips::read(&source, &self.context));
            }
        }
        let prefixes: usize = all.iter().map(RoundTrip::prefixes).sum();
        if prefixes > limits::ROUND_TRIP_PREFIXES {
            let most = limits::ROUND_TRIP_PREFIXES;
            let message = format!("the lines of latency/ are of {prefixes} /24 and /48; at most {most} are kept");
            let help = "leave out the widest lines, or those of prefixes without many clients";
            self.context.add(Problem::general(message).help(help));
            all.clear();
        }
        all
    }

    fn network(&self, sites: &[Site]) -> Option<Network> {
        let source = self.file(Path::new("hither.toml"))?;
        let secret = |value: Value<'_>| self.secret(value);
        let mut network = read_document(&self.context, &source, |table| network::read(table, &secret))?;
        network.state = self.dir.join(&network.state);
        let geo = &mut network.geo;
        for path in geo.database.iter_mut().chain(&mut geo.asn).chain(&mut geo.geofeed) {
            *path = self.dir.join(&path);
        }
        if let Some(disk) = &mut network.edge.disk {
            disk.path = self.dir.join(&disk.path);
        }
        if network.pops.len() > limits::POPS {
            self.context.add(Problem::general(format!("there are more than {} PoPs", limits::POPS)));
        }
        self.context.register(|register| auto::check(register, &network, sites));
        self.context.register(|register| claims::check(register, &network, sites));
        self.context.register(|register| families::check(register, &network));
        self.context.register(|register| listening::check(register, &network, sites));
        Some(network)
    }

    fn sites(&self) -> Vec<Site> {
        let mut sites = Vec::new();
        for (name, path) in self.names_in("sites") {
            let Some(stem) = name.strip_suffix(".toml") else {
                let problem = Problem::warning(Source::new(&path, String::new()).place(0..0), "this file is not read");
                self.context.add(problem.help("the name of a site's file ends in .toml"));
                continue;
            };
            // A file that cannot be read is one fault, not one more wherever its site is named.
            let place = Source::new(&path, String::new()).place(0..0);
            self.context.register(|register| register.define(Kind::Site, &stem.to_ascii_lowercase(), place));
            let Some(source) = self.file(&path) else {
                continue;
            };
            match SiteId::parse(stem) {
                Ok(id) => {
                    let secret = |value: Value<'_>| self.secret(value);
                    sites.extend(read_document(&self.context, &source, |table| site::read(table, id, &secret)));
                }
                Err(wrong) => {
                    let problem = Problem::fault(
                        source.place(0..0),
                        format!("the file's name is the site's id: {}", wrong.message),
                    );
                    self.context.add(problem.help(wrong.help.unwrap_or_default()));
                }
            }
        }
        sites
    }

    fn zones(&self) -> Vec<ZoneFile> {
        let mut zones = Vec::new();
        for (name, path) in self.names_in("zones") {
            let place = Source::new(&path, String::new()).place(0..0);
            if let Some((zone, ending)) = name.rsplit_once('.').filter(|(_, ending)| matches!(*ending, "zone" | "db")) {
                let problem = Problem::warning(place.clone(), format!("the zone is served as `{name}`"));
                self.context
                    .add(problem.help(format!("the file's name is the zone's: without .{ending} it is `{zone}`")));
            }
            match DomainName::parse(&name) {
                Ok(zone) => {
                    self.context.register(|register| register.define(Kind::ZoneFile, zone.as_str(), place));
                    zones.push(ZoneFile { name: zone, source: self.zone_text(&path), path: self.dir.join(&path) });
                }
                Err(wrong) => {
                    let problem = Problem::fault(place, format!("the file's name is the zone's: {}", wrong.message));
                    self.context.add(problem.help("name the file after the zone, as in zones/shop.example"));
                }
            }
        }
        zones
    }

    /// A zone's text. One that cannot be read is refused alone, as one that is wrong is.
    fn zone_text(&self, path: &Path) -> Result<Arc<Source>, Problem> {
        let full = self.copy.join(path);
        let text = read_text(&full, limits::CONFIG_FILE_BYTES);
        let text = text.map_err(|error| cannot_be_read(path, &error.to_string()))?;
        Ok(self.note(path, text))
    }

    /// Counts a file that was read.
    fn note(&self, path: &Path, text: String) -> Arc<Source> {
        let changed = last_change(&self.copy.join(path));
        // Looked at after the file, of which a change while it is read is not to come.
        let now = unix_ms(SystemTime::now());
        warn_of_future(path, changed, now).into_iter().for_each(|problem| self.context.add(problem));
        self.newest.set(self.newest.get().max(believed(changed, now)));
        let source = Source::new(path, text);
        self.sources.borrow_mut().push(Arc::clone(&source));
        source
    }

    fn routes(&self, as_numbers: AsNumbers) -> Option<Routes> {
        let found = fs::metadata(self.copy.join("routes.toml"));
        if found.is_err_and(|error| error.kind() == ErrorKind::NotFound) {
            return Some(Routes::default());
        }
        let source = self.file(Path::new("routes.toml"))?;
        read_document(&self.context, &source, |table| route::read(table, as_numbers))
    }

    /// Files of a sub-directory in order, without editors' leftovers.
    fn names_in(&self, sub: &str) -> Vec<(String, PathBuf)> {
        let entries = match fs::read_dir(self.copy.join(sub)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                // Taken for empty, it would remove every site.
                let _: Option<()> = self.unreadable(Path::new(sub), &error.to_string());
                return Vec::new();
            }
        };
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !is_leftover(name))
            .collect();
        names.sort();
        if names.len() > limits::CONFIG_FILES {
            self.context.add(Problem::general(format!("{sub}/ has more than {} files", limits::CONFIG_FILES)));
            return Vec::new();
        }
        names.into_iter().map(|name| (name.clone(), Path::new(sub).join(name))).collect()
    }

    /// Reads a file as text, or reports why not.
    fn file(&self, path: &Path) -> Option<Arc<Source>> {
        self.file_within(path, limits::CONFIG_FILE_BYTES)
    }

    fn file_within(&self, path: &Path, most_bytes: u64) -> Option<Arc<Source>> {
        let full = self.copy.join(path);
        match read_text(&full, most_bytes) {
            Ok(text) => Some(self.note(path, text)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let there = if self.copy.is_dir() { "" } else { ", which is no directory" };
                let what = format!("there is no {} in {}{there}", path.display(), self.copy.display());
                self.context.add(Problem::general(what).help(
                    "name the directory that has yours; or `hither init DIR` writes one to start from, `hither up` runs a demo",
                ));
                None
            }
            Err(error) => self.unreadable(path, &error.to_string()),
        }
    }

    fn unreadable<T>(&self, path: &Path, why: &str) -> Option<T> {
        self.context.add(cannot_be_read(path, why));
        None
    }

    fn secret(&self, value: Value<'_>) -> Option<Secret> {
        value.parse(|text| {
            let name = secret::file(text)?;
            let path = self.dir.join("secrets").join(&name);
            let text = read_text(&path, limits::SECRET_BYTES);
            let text = text.map_err(|error| {
                let help = match error.kind() {
                    ErrorKind::NotFound => "create it, with mode 0600",
                    _ => "make it a text file that the user who runs hither may read",
                };
                Wrong::new(format!("secrets/{} cannot be read: {error}", name.display())).help(help)
            })?;
            let too_short = || Wrong::new(format!("secrets/{} is too short", name.display())).help(LONG_ENOUGH);
            long_enough(&text).ok_or_else(too_short)
        })
    }

    /// The keys of every zone, if answers are signed, and what is wrong with them.
    fn zone_keys(&self, network: &Network, zones: &[ZoneFile]) -> (Vec<ZoneKeys>, Vec<Problem>) {
        if !network.dns.dnssec {
            return Default::default();
        }
        let mut problems = Vec::new();
        let mut read = |zone: DomainName| {
            let name = ZoneKeys::file(&zone);
            let text = match read_text(&self.dir.join(&name), limits::SECRET_BYTES) {
                Ok(text) => text,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let problem = Problem::general(format!("zone {zone} is to be signed and has no keys"));
                    problems.push(problem.help("`hither keys create` makes them; `[dns] dnssec` is on"));
                    return None;
                }
                Err(error) => {
                    problems.push(Problem::general(format!("{} cannot be read: {error}", name.display())));
                    return None;
                }
            };
            let keys = ZoneKeys::read(zone, &text);
            let told = |why| problems.push(Problem::general(format!("{}: {why}", name.display())));
            keys.map_err(told).ok()
        };
        let keys = zone_names(network, zones).into_iter().filter_map(&mut read).collect();
        (keys, problems)
    }

    fn fleet_key(&self) -> Option<Secret> {
        let name = "secrets/fleet.key";
        match read_text(&self.dir.join(name), limits::SECRET_BYTES) {
            Ok(text) => {
                let key = long_enough(&text);
                if key.is_none() {
                    self.context.add(Problem::general(format!("{name} is too short")).help(LONG_ENOUGH));
                }
                key
            }
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => self.unreadable(Path::new(name), &error.to_string()),
        }
    }
}

/// The zones served: those of files, and the network's own.
#[must_use]
pub fn zone_names(network: &Network, files: &[ZoneFile]) -> Vec<DomainName> {
    let mut names: Vec<DomainName> = files.iter().map(|file| file.name.clone()).collect();
    names.push(network.zone.clone());
    names.sort();
    names.dedup();
    names
}

fn cannot_be_read(path: &Path, why: &str) -> Problem {
    Problem::general(format!("{} cannot be read: {why}", path.display()))
}

const LONG_ENOUGH: &str = "at least 16 characters";

fn long_enough(text: &str) -> Option<Secret> {
    Some(Secret::new(text)).filter(|secret| secret.as_bytes().len() >= 16)
}

/// Whether a file's name is an editor's own, not the operator's.
#[must_use]
pub fn is_leftover(name: &str) -> bool {
    name.starts_with(['.', '#']) || name.ends_with(['~', '#']) || name.ends_with(".swp") || name.ends_with(".tmp")
}

/// Reads a text file of a bounded length.
fn read_text(path: &Path, most_bytes: u64) -> std::io::Result<String> {
    let bytes = read_bounded(path, most_bytes)?;
    String::from_utf8(bytes).map_err(|_| std::io::Error::other("it is not UTF-8 text"))
}

/// Reads a file of a bounded length. What is no file (a pipe, a device) could keep a reader waiting, or never end.
///
/// # Errors
/// It cannot be read, is no file, or is longer.
pub fn read_bounded(path: &Path, most_bytes: u64) -> std::io::Result<Vec<u8>> {
    let meta = fs::metadata(path)?;
    if !meta.is_file() {
        return Err(std::io::Error::other("it is no file"));
    }
    if meta.len() > most_bytes {
        return Err(std::io::Error::other(format!("it is larger than {} KiB", most_bytes >> 10)));
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(most_bytes + 1).read_to_end(&mut bytes)?;
    // It may have grown.
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > most_bytes {
        return Err(std::io::Error::other(format!("it is larger than {} KiB", most_bytes >> 10)));
    }
    Ok(bytes)
}
