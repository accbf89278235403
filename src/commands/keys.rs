//! `hither keys`: DNSSEC keys of the zones served here.

use std::fs;
use std::path::PathBuf;

use config::{DomainName, KeyAlgorithm, KeyRole, Loaded, Network, Refused, ZoneFile, ZoneKey, ZoneKeys, write_private};
use dns::dnssec::{KEY_TTL, ds_record, make_key, tag_of};
use jiff::Timestamp;

use crate::cli::{Keys, KeysCommand, KeysCreate, Signing};
use crate::directory;
use crate::exit::{Done, Exit, Failure};
use crate::say::say;

mod rollover;

/// The zones of a directory, and where it is.
struct Zones {
    dir: PathBuf,
    network: Network,
    files: Vec<ZoneFile>,
}

pub(crate) fn run(args: Keys, dir: Option<PathBuf>) -> Done {
    let zones = Zones::of(directory::find(dir))?;
    let now = Timestamp::now();
    // Whole seconds, and none that is yet to come: a key signs from then on.
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    match args.command {
        None => zones.show(args.json, now),
        Some(KeysCommand::Create(args)) => zones.create(&args, now),
        Some(KeysCommand::Roll(args)) => {
            let role = |key: &ZoneKey| if args.zsk { key.role == KeyRole::Zsk } else { key.role.is_entry() };
            zones.change(&args.zone, |keys, _| {
                let key = keys.keys.iter().rfind(|key| role(key) && key.retired.is_none() && key.removed.is_none());
                let key = key.ok_or_else(|| rollover::no_key(keys, args.zsk))?.clone();
                let fresh = fresh(key.role, key.algorithm, now, keys)?;
                rollover::begin(keys, key.tag, fresh, zones.largest_ttl(&keys.zone), now)
            })
        }
        Some(KeysCommand::Finish(args)) => {
            zones.change(&args.zone, |keys, largest_ttl| rollover::finish(keys, largest_ttl, now))
        }
    }
}

impl Zones {
    fn of(dir: PathBuf) -> Result<Self, Failure> {
        // Without its keys a directory is refused; what is needed to make them can be read.
        match config::load(&dir) {
            Ok(Loaded { config, .. }) => Ok(Self { dir, network: config.network, files: config.zones }),
            Err(Refused { problems, network, zones, .. }) => match network {
                Some(network) => Ok(Self { dir, network: *network, files: zones }),
                None => Err(directory::refused(&problems)),
            },
        }
    }

    fn names(&self) -> Vec<DomainName> {
        config::zone_names(&self.network, &self.files)
    }

    /// How long resolvers may keep a zone's records, and so their signatures.
    fn largest_ttl(&self, zone: &DomainName) -> u32 {
        let file = self.files.iter().find(|file| file.name == *zone);
        let of_file = file.and_then(dns::largest_ttl);
        let routed = u32::try_from(self.network.dns.ttl.as_secs()).unwrap_or(u32::MAX);
        of_file.unwrap_or(KEY_TTL).max(routed).max(KEY_TTL)
    }

    fn read(&self, zone: &DomainName) -> Result<Option<ZoneKeys>, Failure> {
        let name = ZoneKeys::file(zone);
        let fault = |why: String| Failure::operator(format!("{}: {why}", name.display()));
        match fs::read_to_string(self.dir.join(&name)) {
            Ok(text) => ZoneKeys::read(zone.clone(), &text).map(Some).map_err(fault),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(fault(error.to_string())),
        }
    }

    fn create(&self, args: &KeysCreate, now: Timestamp) -> Done {
        let algorithm = match args.algorithm {
            Signing::EcdsaP256 => KeyAlgorithm::EcdsaP256Sha256,
            Signing::Ed25519 => KeyAlgorithm::Ed25519,
        };
        let roles: &[KeyRole] = if args.split { &[KeyRole::Ksk, KeyRole::Zsk] } else { &[KeyRole::Csk] };
        let mut made = 0;
        for zone in self.names() {
            if self.read(&zone)?.is_some() {
                say(format!("{zone} has keys already"));
                continue;
            }
            let mut keys = ZoneKeys { zone: zone.clone(), keys: Vec::new() };
            for role in roles {
                let key = fresh(*role, algorithm, now, &keys).map_err(Failure::ours)?;
                let signs = role.signs_records().then_some(now);
                keys.keys.push(ZoneKey { signs, ..key });
            }
            self.write(&keys)?;
            made += 1;
            say(format!("{zone}: {}", ZoneKeys::file(&zone).display()));
        }
        if made > 0 {
            say("");
            say("1. Copy secrets/dnssec to every name server, readable by hither alone.");
            say("2. Write `dnssec = true` under [dns] in hither.toml, and see that `dig +dnssec` shows signatures.");
            say(
                "3. When the largest TTL that was served unsigned is over, give each zone's parent its DS record, which",
            );
            say("   `hither keys` prints.");
        }
        Ok(Exit::Done)
    }

    /// Changes a zone's keys, and says what comes next.
    fn change(&self, zone: &str, change: impl FnOnce(&mut ZoneKeys, u32) -> Result<Vec<String>, String>) -> Done {
        let zone = DomainName::parse(zone).map_err(Failure::wrong)?;
        let known = self.names();
        if !known.contains(&zone) {
            let known = known.iter().map(DomainName::as_str).collect::<Vec<_>>().join(", ");
            return Err(Failure::operator(format!("no zone {zone} is served here; those that are: {known}")));
        }
        let missing = || Failure::operator(format!("zone {zone} has no keys: `hither keys create` makes them"));
        let mut keys = self.read(&zone)?.ok_or_else(missing)?;
        let said = change(&mut keys, self.largest_ttl(&zone)).map_err(Failure::operator)?;
        self.write(&keys)?;
        said.into_iter().for_each(say);
        Ok(Exit::Done)
    }

    /// Replaces a zone's file at once: a name server reads the old or the new.
    fn write(&self, keys: &ZoneKeys) -> Result<(), Failure> {
        let path = self.dir.join(ZoneKeys::file(&keys.zone));
        let next = "run it as the user who may write to secrets/ of the config directory";
        write_private(&path, &keys.to_text()).map_err(|error| Failure::file("write", &path, &error, next))
    }

    fn show(&self, json: bool, now: Timestamp) -> Done {
        let mut zones = Vec::new();
        for zone in self.names() {
            let keys = self.read(&zone)?;
            let told = keys.as_ref().map(|keys| rollover::told(keys, now)).unwrap_or_default();
            let entry = keys.as_ref().and_then(|keys| keys.entry(now));
            let ds = entry
                .map(|key| ds_record(&zone, key))
                .transpose()
                .map_err(|fault| Failure::operator(fault.to_string()))?;
            zones.push((zone, told, ds));
        }
        if json {
            let value = |(zone, told, ds): &(DomainName, Vec<rollover::Told>, Option<String>)| serde_json::json!({ "zone": zone.as_str(), "keys": told, "ds": ds });
            let zones: Vec<_> = zones.iter().map(value).collect();
            say(format!("{:#}", serde_json::json!({ "signing": self.network.dns.dnssec, "zones": zones })));
            return Ok(Exit::Done);
        }
        if !self.network.dns.dnssec {
            say("Answers are not signed: `dnssec` under [dns] is false.\n");
        }
        for (zone, told, ds) in zones {
            say(format!("{zone}"));
            if told.is_empty() {
                say("  no keys: `hither keys create` makes them");
            }
            for key in told {
                say(format!("  key {} {} {}: {}", key.tag, key.role, key.algorithm, key.state));
            }
            if let Some(ds) = ds {
                say(format!("  for the parent: {ds}"));
            }
        }
        Ok(Exit::Done)
    }
}

/// A new key, published now, whose tag no other key of the zone has.
fn fresh(role: KeyRole, algorithm: KeyAlgorithm, now: Timestamp, beside: &ZoneKeys) -> Result<ZoneKey, String> {
    loop {
        let private = make_key(algorithm).map_err(|fault| fault.to_string())?;
        let tag = tag_of(algorithm, role, &private).map_err(|fault| fault.to_string())?;
        if beside.keys.iter().all(|key| key.tag != tag) {
            let (signs, retired, removed) = (None, None, None);
            return Ok(ZoneKey { tag, role, algorithm, published: now, signs, retired, removed, private });
        }
    }
}
