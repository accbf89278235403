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
    if let Some(pending) = keys.keys.iter().find(|key| is_pending(key, now)) {
        return Err(format!("key {} of {} is still on its way: see `hither keys`", pending.tag, keys.zone));
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
    let told = |key: &ZoneKey| {
        let state = match (key.signs, key.retired, key.removed) {
            (_, _, Some(removed)) if removed <= now => format!("removed {removed}"),
            (_, Some(retired), Some(removed)) if retired <= now => format!("retired, to be removed at {removed}"),
            (_, Some(retired), _) => format!("signs until {retired}"),
            (_, None, Some(removed)) => format!("published, to be removed at {removed}"),
            (Some(signs), ..) if signs <= now => format!("signs since {signs}"),
            (Some(signs), ..) => format!("published, signs from {signs} on"),
            (None, ..) if key.role == KeyRole::Ksk => format!("published since {}", key.published),
            (None, ..) => format!("published since {}, waits for the parent's DS", key.published),
        };
        Told { tag: key.tag, role: key.role.as_str(), algorithm: key.algorithm.as_str(), state }
    };
    keys.keys.iter().map(told).collect()
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
