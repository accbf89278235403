//! Replacing a key so that at every moment every resolver can validate, whatever it has kept (RFC 6781 §4.1, RFC 7583).
//!
//! A ZSK rolls by time alone: the new one is published, signs when every resolver knows it, and the old one goes when what
//! it signed is forgotten. A KSK or CSK waits for the parent: both sign the DNSKEY records until it has the new DS.

use std::time::Duration;

use config::{KEY_SETTLES, KeyRole, ZoneKey, ZoneKeys};
use jiff::Timestamp;
use serde::Serialize;

/// A key, for people.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) tag: u16,
    pub(super) role: &'static str,
    pub(super) algorithm: &'static str,
    pub(super) state: String,
}

/// Publishes a new key beside one that is to go.
pub(super) fn begin(
    keys: &mut ZoneKeys,
    old: u16,
    mut new: ZoneKey,
    largest_ttl: u32,
    now: Timestamp,
) -> Result<Vec<String>, String> {
    let lasting = keys.keys.iter().filter(|key| key.role.is_entry() && key.removed.is_none());
    if new.role.is_entry() && lasting.clone().count() > 1 {
        let tags: Vec<String> = lasting.map(|key| key.tag.to_string()).collect();
        let (zone, tags) = (&keys.zone, tags.join(" and "));
        return Err(format!("keys {tags} of {zone} are being exchanged: `hither keys finish {zone}` ends that first"));
    }
    if let Some(pending) = keys.keys.iter().find(|key| is_pending(key, now)) {
        let (tag, zone, state) = (pending.tag, &keys.zone, state(pending, now));
        return Err(format!("a rollover of {zone} is under way: key {tag} {state}"));
    }
    let settled = later(now, KEY_SETTLES);
    let tag = new.tag;
    let mut said = vec![format!("key {tag} is published beside {old}; copy {} to every name server now", file(keys))];
    if new.role == KeyRole::Zsk {
        new.signs = Some(settled);
        let removed = later(settled, forgotten(largest_ttl));
        if let Some(old) = keys.keys.iter_mut().find(|key| key.tag == old) {
            (old.retired, old.removed) = (Some(settled), Some(removed));
        }
        said.push(format!("it signs from {settled} on; key {old} is removed at {removed}; nothing else is to be done"));
    } else {
        said.push(format!(
            "from {settled} on `hither keys` and the CDS record tell the parent's new DS: have it replaced"
        ));
        said.push(format!("when the old DS has expired everywhere: `hither keys finish {}`", keys.zone));
    }
    keys.keys.push(new);
    Ok(said)
}

/// Ends a rollover of a KSK or CSK: the parent has the new DS.
pub(super) fn finish(keys: &mut ZoneKeys, largest_ttl: u32, now: Timestamp) -> Result<Vec<String>, String> {
    let lasting = |key: &&ZoneKey| key.role.is_entry() && key.removed.is_none();
    let new = keys.keys.iter().filter(lasting).max_by_key(|key| key.published).cloned();
    let old: Vec<u16> = keys.keys.iter().filter(lasting).map(|key| key.tag).collect();
    let new = new.filter(|_| old.len() > 1);
    let new = new.ok_or_else(|| format!("no key of {} is being rolled: `hither keys roll` begins", keys.zone))?;
    let settled = new.settled();
    if settled > now {
        return Err(format!("key {} is too new: no resolver need know it before {settled}", new.tag));
    }
    // What the old one signed stays valid until it is forgotten; so do the DNSKEY records that name it.
    let removed = later(now, forgotten(largest_ttl));
    for key in keys.keys.iter_mut().filter(|key| old.contains(&key.tag)) {
        if key.tag == new.tag {
            key.signs = key.role.signs_records().then_some(now);
        } else {
            key.retired = key.role.signs_records().then_some(now);
            key.removed = Some(removed);
        }
    }
    Ok(vec![
        format!("key {} has taken over; the one before is removed at {removed}", new.tag),
        format!("copy {} to every name server now", file(keys)),
    ])
}

/// The keys with what each does now and next.
pub(super) fn told(keys: &ZoneKeys, now: Timestamp) -> Vec<Told> {
    let told = |key: &ZoneKey| Told {
        tag: key.tag,
        role: key.role.as_str(),
        algorithm: key.algorithm.as_str(),
        state: state(key, now),
    };
    keys.keys.iter().map(told).collect()
}

fn state(key: &ZoneKey, now: Timestamp) -> String {
    match (key.signs, key.retired, key.removed) {
        (_, _, Some(removed)) if removed <= now => format!("removed {removed}"),
        (_, Some(retired), Some(removed)) if retired <= now => format!("retired, to be removed at {removed}"),
        (_, Some(retired), _) => format!("signs until {retired}"),
        (_, None, Some(removed)) => format!("published, to be removed at {removed}"),
        (Some(signs), ..) if signs <= now => format!("signs since {signs}"),
        (Some(signs), ..) => format!("published, signs from {signs} on"),
        (None, ..) if key.role == KeyRole::Ksk => format!("published since {}", key.published),
        (None, ..) => format!("published since {}, waits for the parent's DS", key.published),
    }
}

/// What to say where there is no key of the kind that is to be rolled.
pub(super) fn no_key(keys: &ZoneKeys, is_zsk: bool) -> String {
    let zone = &keys.zone;
    if is_zsk && keys.keys.iter().any(|key| key.role == KeyRole::Csk) {
        return format!("{zone} has one key for all (CSK): `hither keys roll {zone}` rolls it");
    }
    format!("zone {zone} has no such key: see `hither keys`")
}

/// Whether a rollover that brought it is not over.
fn is_pending(key: &ZoneKey, now: Timestamp) -> bool {
    let waits = key.role == KeyRole::Csk && key.signs.is_none();
    let goes = key.removed.is_some_and(|removed| removed > now);
    waits || goes || key.signs.is_some_and(|signs| signs > now)
}

/// After so long nobody has kept what was signed before.
fn forgotten(largest_ttl: u32) -> Duration {
    Duration::from_secs(largest_ttl.into()) + KEY_SETTLES
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    time.saturating_add(by).unwrap_or(Timestamp::MAX)
}

fn file(keys: &ZoneKeys) -> String {
    ZoneKeys::file(&keys.zone).display().to_string()
}

#[cfg(test)]
mod tests {
    use config::{DomainName, KeyAlgorithm, Secret};

    use super::*;

    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    /// Of the zone's records.
    const TTL: u32 = 6 * 3_600;
    /// A file takes so long to the other name server.
    const COPYING: i64 = 40 * MINUTE;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn key(tag: u16, role: KeyRole, published: Timestamp) -> ZoneKey {
        let (signs, retired, removed) = (None, None, None);
        let (algorithm, private) = (KeyAlgorithm::Ed25519, Secret::new(""));
        ZoneKey { tag, role, algorithm, published, signs, retired, removed, private }
    }

    fn zone(roles: &[KeyRole]) -> ZoneKeys {
        let start = at(-1_000 * HOUR);
        let keys = (1..).zip(roles).map(|(tag, role)| {
            let signs = role.signs_records().then_some(start);
            ZoneKey { signs, ..key(tag, *role, start) }
        });
        ZoneKeys { zone: DomainName::parse("cdn.example").unwrap(), keys: keys.collect() }
    }

    /// Files by when they were written; a DS at the parent by when it stands there alone.
    struct History {
        files: Vec<(i64, ZoneKeys)>,
        parent: Vec<(i64, u16)>,
    }

    impl History {
        fn file(&self, seconds: i64) -> &ZoneKeys {
            &self.files.iter().rfind(|(since, _)| *since <= seconds).unwrap_or(&self.files[0]).1
        }

        fn ds(&self, seconds: i64) -> u16 {
            self.parent.iter().rfind(|(since, _)| *since <= seconds).unwrap().1
        }

        /// Whether a resolver validates that kept a DS, DNSKEY records and a signed record for so long, each from a name
        /// server that got its file so late.
        fn validates(&self, now: i64, ds: i64, dnskey: (i64, i64), record: (i64, i64)) -> bool {
            let ds = self.ds(now - ds);
            let ((kept, late), (kept_record, late_record)) = (dnskey, record);
            let keys = self.file(now - kept - late).keys.iter().filter(|key| key.is_published(at(now - kept)));
            let known: Vec<&ZoneKey> = keys.collect();
            let is_entered = known.iter().any(|key| key.tag == ds && key.role.is_entry());
            let signed = &self.file(now - kept_record - late_record).keys;
            let mut signers = signed.iter().filter(|key| key.is_signing(at(now - kept_record)));
            is_entered && signers.any(|signer| known.iter().any(|key| key.tag == signer.tag))
        }

        fn always_validates(&self, until: i64) -> Result<(), String> {
            for now in (-10 * HOUR..until).step_by(20 * 60) {
                for ds in [0, HOUR] {
                    for dnskey in [(0, 0), (0, COPYING), (HOUR, 0), (HOUR, COPYING)] {
                        for record in [(0, 0), (0, COPYING), (i64::from(TTL), 0), (i64::from(TTL), COPYING)] {
                            if !self.validates(now, ds, dnskey, record) {
                                return Err(format!("at {now} s: DS {ds}, DNSKEY {dnskey:?}, record {record:?}"));
                            }
                        }
                    }
                }
            }
            Ok(())
        }
    }

    #[test]
    fn a_zsk_rolls_by_time_alone() {
        let before = zone(&[KeyRole::Ksk, KeyRole::Zsk]);
        let mut after = before.clone();
        begin(&mut after, 2, key(3, KeyRole::Zsk, at(0)), TTL, at(0)).unwrap();
        let again = begin(&mut after.clone(), 3, key(4, KeyRole::Zsk, at(HOUR)), TTL, at(HOUR));
        assert!(again.unwrap_err().contains("is under way"));
        let history = History { files: vec![(i64::MIN, before), (0, after)], parent: vec![(i64::MIN, 1)] };
        assert_eq!(history.always_validates(40 * HOUR), Ok(()));
        let last = history.file(40 * HOUR).keys.iter().filter(|key| key.is_published(at(40 * HOUR)));
        assert_eq!(last.map(|key| key.tag).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn a_csk_and_a_ksk_roll_when_the_parent_has_the_new_ds() {
        for roles in [&[KeyRole::Csk][..], &[KeyRole::Ksk, KeyRole::Zsk]] {
            let before = zone(roles);
            let mut rolling = before.clone();
            begin(&mut rolling, 1, key(9, roles[0], at(0)), TTL, at(0)).unwrap();
            assert!(finish(&mut rolling.clone(), TTL, at(HOUR)).unwrap_err().contains("too new"));
            let again = begin(&mut rolling.clone(), 9, key(8, roles[0], at(9 * HOUR)), TTL, at(9 * HOUR));
            assert!(again.unwrap_err().contains("are being exchanged"), "the parent may vouch for either");
            // The parent changes as soon as it is told to; its old DS lasts an hour.
            let told =
                (0..).map(|minute| minute * MINUTE).find(|now| rolling.entry(at(*now)).unwrap().tag == 9).unwrap();
            let mut done = rolling.clone();
            finish(&mut done, TTL, at(told + HOUR)).unwrap();
            let files = vec![(i64::MIN, before), (0, rolling.clone()), (told + HOUR, done.clone())];
            let history = History { files, parent: vec![(i64::MIN, 1), (told, 9)] };
            assert_eq!(history.always_validates(60 * HOUR), Ok(()));
            let last = done.keys.iter().filter(|key| key.is_published(at(60 * HOUR)) && key.role.is_entry());
            assert_eq!(last.map(|key| key.tag).collect::<Vec<_>>(), [9]);
            // What the simulation is for: with the key replaced at once it does not validate.
            let mut hasty = done;
            hasty.keys.retain(|key| key.tag != 1);
            let files = vec![(i64::MIN, rolling), (0, hasty)];
            assert!(History { files, parent: vec![(i64::MIN, 1), (0, 9)] }.always_validates(HOUR).is_err());
        }
    }
}
