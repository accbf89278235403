//! Certificates that get themselves: a name server gets them, and every node takes them from name servers, at `peer`.
//!
//! ```text
//! authority <─ issuer (the first name server) ─> held, on disk ─> other nodes: ask every few seconds, sealed
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use ::fleet::sealing_key;
use certs::{Challenges, Held, Validity, Wanted};
use config::{Config, NodeId, Secret, limits};
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use telemetry::Seldom;

use super::issuer::Issuer;
use super::latency::{News, relearn};
use super::{Node, lock};
use crate::client::{self, Proof};

/// What a node holds of certificates that get themselves.
pub(crate) struct Holding {
    dir: PathBuf,
    held: Mutex<BTreeMap<String, Held>>,
    /// What other nodes are told, until it changes.
    told: Mutex<Option<Arc<Bundle>>>,
    /// When the log last heard that this is more than nodes take.
    too_much: Seldom,
    /// Why names have none, or no new one: where it is this node that gets them.
    pub(super) lacks: Mutex<BTreeMap<String, Lack>>,
    pub(super) challenges: Arc<Challenges>,
}

/// Why a certificate could not be got.
#[derive(Clone, Debug)]
pub(super) struct Lack {
    pub(super) why: String,
    pub(super) tries: u32,
    pub(super) tried: Instant,
    pub(super) next: Instant,
}

/// All certificates as nodes tell them each other.
struct Bundle {
    digest: String,
    text: Vec<u8>,
}

/// A certificate as nodes tell it each other.
#[derive(Serialize, Deserialize)]
struct Told {
    name: String,
    pem: String,
}

/// How often name servers are asked while something is lacking, and else.
const ASKED_EVERY: [Duration; 2] = [Duration::from_secs(5), Duration::from_secs(10)];
/// What sealing adds: a nonce, and a tag.
const SEAL_BYTES: usize = 12 + 16;
/// What stands around a sealed text: a digest, and names.
const FRAME_BYTES: usize = 128;
/// How often it is said again that a certificate is about to end.
const ALARMED_EVERY: Duration = Duration::from_secs(86_400);

impl Holding {
    /// What a node's own directory holds.
    pub(super) fn read(home: &Path) -> Self {
        let dir = home.join("certificates");
        let (held, told) = Held::read_all(&dir);
        told.iter().for_each(|told| tracing::error!(%told, "not a certificate that can be used"));
        let held = held.into_iter().map(|held| (held.name.clone(), held)).collect();
        Self {
            dir,
            held: Mutex::new(held),
            told: Mutex::default(),
            too_much: Seldom::default(),
            lacks: Mutex::default(),
            challenges: Arc::default(),
        }
    }

    /// Where the authority's account is.
    pub(super) fn account_dir(&self) -> PathBuf {
        self.dir.with_file_name("acme")
    }

    pub(super) fn get(&self, name: &str) -> Option<Held> {
        lock(&self.held).get(name).cloned()
    }

    /// All of them.
    pub(super) fn all(&self) -> Vec<Held> {
        lock(&self.held).values().cloned().collect()
    }

    /// Whether there is one that clients are shown for this name, which may be a wildcard.
    pub(super) fn covers(&self, name: &str) -> bool {
        let held = lock(&self.held);
        let above = name.split_once('.').map(|(_, above)| format!("*.{above}"));
        held.contains_key(name) || above.is_some_and(|above| held.contains_key(&above))
    }

    fn names(&self) -> BTreeSet<String> {
        lock(&self.held).keys().cloned().collect()
    }

    /// Takes one that another node tells, if it is to be held in place of what is; whether it was.
    fn take(&self, new: Held, directory: &str) -> bool {
        let is_better = lock(&self.held).get(&new.name).is_none_or(|old| new.is_better(old, directory));
        if is_better {
            self.put(new);
        }
        is_better
    }

    /// Forgets what nobody wants any more, once it has ended.
    fn forget(&self, wanted: &[Wanted]) {
        let now = SystemTime::now();
        let is_wanted = |name: &str| wanted.iter().any(|wanted| wanted.name == name);
        let mut held = lock(&self.held);
        let (stay, gone) =
            std::mem::take(&mut *held).into_iter().partition(|(name, one)| is_wanted(name) || one.until > now);
        *held = stay;
        drop(held);
        let gone: BTreeMap<String, Held> = gone;
        if gone.is_empty() {
            return;
        }
        *lock(&self.told) = None;
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || {
            for (name, one) in gone {
                if let Err(error) = one.remove(&dir) {
                    tracing::warn!(%error, name, "a certificate that nobody wants cannot be removed");
                }
            }
        });
    }

    /// Holds one in place of the one before, and has it written down where waiting holds nobody up.
    pub(super) fn put(&self, new: Held) {
        let (written, dir) = (new.clone(), self.dir.clone());
        tokio::task::spawn_blocking(move || {
            if let Err(error) = written.write(&dir) {
                let dir = dir.display();
                tracing::error!(%error, %dir, "a certificate cannot be written down: it is used until this node ends");
            }
        });
        lock(&self.held).insert(new.name.clone(), new);
        *lock(&self.told) = None;
    }

    fn lacks_any(&self, wanted: &[Wanted]) -> bool {
        let held = lock(&self.held);
        wanted.iter().any(|wanted| !held.contains_key(&wanted.name))
    }

    /// All that is held, sealed, where it is not what the asker knows already.
    pub(super) fn tell(&self, key: &Secret, known: &str) -> Option<Value> {
        let bundle = self.bundle()?;
        if bundle.digest == known {
            return Some(json!({ "digest": bundle.digest }));
        }
        let (bytes, most_bytes) = (answer_bytes(bundle.text.len()), limits::CERTIFICATES_BYTES);
        if bytes > most_bytes {
            if self.too_much.is_due() {
                tracing::warn!(
                    bytes,
                    most_bytes,
                    "certificates are more than nodes take from each other: the others get no new ones"
                );
            }
            // As long as it is so there is nothing new for who asks.
            return Some(json!({ "digest": known }));
        }
        let sealed = certs::seal(&sealing_key(key), &bundle.text)?;
        Some(json!({ "digest": bundle.digest, "sealed": BASE64.encode(&sealed) }))
    }

    fn bundle(&self) -> Option<Arc<Bundle>> {
        let mut told = lock(&self.told);
        if told.is_none() {
            let one = |held: Held| Told { name: held.name, pem: held.pem.text().to_owned() };
            let text = serde_json::to_vec(&self.all().into_iter().map(one).collect::<Vec<_>>()).ok()?;
            *told = Some(Arc::new(Bundle { digest: HEXLOWER.encode(&Sha256::digest(&text)), text }));
        }
        told.clone()
    }
}

/// How long an answer with a text of this length is at most: sealed, in base64, in JSON.
fn answer_bytes(text: usize) -> usize {
    BASE64.encode_len(text + SEAL_BYTES) + FRAME_BYTES
}

/// For `status`: how long certificates are good, and which are lacking and why.
pub(super) fn status(node: &Node, config: &Config) -> Value {
    let (now, lacks) = (SystemTime::now(), lock(&node.holding.lacks));
    let mut all = validities(node);
    let wanted: BTreeSet<String> = certs::wanted(config).into_iter().map(|wanted| wanted.name).collect();
    let held = node.holding.all().into_iter().filter(|held| wanted.contains(&held.name));
    all.extend(held.map(|held| (held.name.clone(), held.validity())));
    let names: BTreeSet<String> = all.keys().chain(lacks.keys()).cloned().chain(wanted).collect();
    let one = |name: String| {
        let (validity, lack) = (all.get(&name), lacks.get(&name));
        let left = validity.map(|validity| validity.until.duration_since(now).map_or(0, |left| left.as_secs()));
        let value = json!({
            "left_s": left,
            "alarming": validity.is_some_and(|validity| validity.is_alarming(now)),
            "fails": lack.map(|lack| &lack.why),
            "again_s": lack.map(|lack| lack.next.saturating_duration_since(Instant::now()).as_secs()),
        });
        (name, value)
    };
    Value::Object(names.into_iter().map(one).collect())
}

/// Shows clients what is held now, by the config in use now.
pub(super) fn show_now(node: &Node) {
    if let Some(config) = node.config.load_full() {
        show(node, &config);
    }
}

/// Shows clients what is held now.
pub(super) fn show(node: &Node, config: &Config) {
    let (mut names, mut dns_names) = lock(&node.names).clone();
    let held = node.holding.all();
    names.add_held(config, &held);
    dns_names.add_held_of_name_servers(config, &held);
    let own = config.network.node(&node.id);
    if own.is_some_and(|own| config.network.dns_https_of(&own, &config.sites).is_beside_sites) {
        names.add_name_servers(config, &dns_names);
    }
    let expires = &node.metrics.certificate_expires;
    expires.reset();
    let of_dns = dns_names.validity_of_default().map(|validity| (OF_DNS.to_owned(), validity));
    for (name, validity) in names.validities().into_iter().chain(of_dns) {
        let until = validity.until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        expires.with_label_values(&[&name]).set(i64::try_from(until).unwrap_or(i64::MAX));
    }
    node.certificates.swap(names);
    node.dns_certificates.swap(dns_names);
}

/// How the certificate for encrypted DNS is told of.
const OF_DNS: &str = "[dns.tls]";

/// Until when each certificate is good that clients are shown.
fn validities(node: &Node) -> BTreeMap<String, Validity> {
    let mut all = node.certificates.validities();
    all.extend(node.dns_certificates.validity_of_default().map(|validity| (OF_DNS.to_owned(), validity)));
    all
}

/// Says which certificates somebody has to look at.
fn alarm(node: &Node) {
    let now = SystemTime::now();
    for (name, validity) in validities(node) {
        match validity.until.duration_since(now) {
            _ if !validity.is_alarming(now) => {}
            Ok(left) => tracing::error!(
                name,
                left_h = left.as_secs() / 3_600,
                "a certificate soon ends, and there is no new one"
            ),
            Err(_) => tracing::error!(name, "a certificate has ended: clients refuse it"),
        }
    }
}

/// Takes, and gets, certificates for as long as the node runs.
pub(super) async fn follow(node: Arc<Node>) {
    let mut issuer = Issuer::default();
    let mut known = BTreeMap::new();
    let (mut alarmed, mut asked_for): (Option<Instant>, u64) = (None, 0);
    let mut told = node.holding.names();
    loop {
        let names = node.holding.names();
        if names != told {
            // Edges have had their time to take what is new: clients may hear that there is TLS.
            told = names;
            relearn(&node, News::Certificates).await;
        }
        if alarmed.is_none_or(|alarmed| alarmed.elapsed() >= ALARMED_EVERY) {
            alarmed = Some(Instant::now());
            alarm(&node);
            if let Some(config) = node.config.load_full() {
                node.holding.forget(&certs::wanted(&config));
            }
        }
        let mut wanted = Vec::new();
        if let Some(config) = node.config.load_full() {
            if config.version != asked_for {
                // What a config before did not want is told again.
                asked_for = config.version;
                known.clear();
            }
            wanted = turn(&node, &config, &mut issuer, &mut known).await;
        }
        let [soon, later] = ASKED_EVERY;
        tokio::time::sleep(if node.holding.lacks_any(&wanted) { soon } else { later }).await;
    }
}

async fn turn(
    node: &Arc<Node>,
    config: &Arc<Config>,
    issuer: &mut Issuer,
    known: &mut BTreeMap<NodeId, String>,
) -> Vec<Wanted> {
    let wanted = certs::wanted(config);
    if wanted.is_empty() {
        return wanted;
    }
    if let Some(key) = &config.fleet_key {
        for other in config.network.name_servers.iter().filter(|other| other.id != node.id) {
            let before = known.entry(other.id.clone()).or_default();
            let Some(address) = config.network.peer_of_name_server(other) else { continue };
            let path = format!("/certificates?known={before}");
            let proof = Proof::Fleet(key.clone());
            let Some(answer) = client::get_bytes(address, &path, &proof, limits::CERTIFICATES_BYTES).await else {
                tracing::debug!(node = %other.id, %address, "tells nothing of certificates");
                continue;
            };
            issuer.heard(&other.id);
            if let Some(digest) = take(node, config, key, &wanted, &answer) {
                *before = digest;
            }
        }
    }
    if node.name_server.is_some() {
        issuer.issue(node, config, &wanted).await;
    }
    wanted
}

/// Takes what another node tells; the digest of it.
fn take(node: &Node, config: &Config, key: &Secret, wanted: &[Wanted], answer: &[u8]) -> Option<String> {
    let answer: Value = serde_json::from_slice(answer).ok()?;
    let digest = answer.get("digest")?.as_str()?.to_owned();
    let Some(sealed) = answer.get("sealed").and_then(Value::as_str) else { return Some(digest) };
    let opened = BASE64.decode(sealed.as_bytes()).ok().and_then(|sealed| certs::open(&sealing_key(key), &sealed));
    let Some(told) = opened.and_then(|text| serde_json::from_slice::<Vec<Told>>(&text).ok()) else {
        tracing::error!(
            "what a name server tells of certificates cannot be opened: is secrets/fleet.key the same there?"
        );
        return None;
    };
    let mut is_new = false;
    for told in told.into_iter().filter(|told| wanted.iter().any(|wanted| wanted.name == told.name)) {
        match Held::read(&told.name, told.pem) {
            Ok(held) => is_new |= node.holding.take(held, &config.network.acme.directory),
            Err(error) => {
                tracing::error!(name = told.name, %error, "a name server tells a certificate that cannot be used");
            }
        }
    }
    if is_new {
        tracing::info!("new certificates, from a name server");
        show_now(node);
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_about_as_long_as_is_said_of_it() {
        let key = Secret::new("a key for tests only");
        for length in [0, 1, 2, 1_000, 100_000] {
            let sealed = certs::seal(&sealing_key(&key), &vec![b'x'; length]).unwrap();
            let answer = json!({ "digest": HEXLOWER.encode(&Sha256::digest(b"")), "sealed": BASE64.encode(&sealed) });
            let bytes = serde_json::to_vec(&answer).unwrap().len();
            assert!((bytes..bytes + FRAME_BYTES).contains(&answer_bytes(length)), "{length}: {bytes}");
        }
    }
}
