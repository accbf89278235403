//! The name server that gets certificates: the first of the config, or the next where those before it are long silent.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use certs::{Authority, Challenge, Publish, Renewal, Wanted, Way, due};
use config::{Acme, Config, NodeId};
use futures_util::StreamExt;

use super::certificates::{Lack, show_now};
use super::{Node, lock};
use crate::client::{self, AskError, Proof};

/// How long the name servers before one must be silent until it gets certificates itself: a restart takes less, and
/// renewals begin weeks ahead.
const SILENT: Duration = Duration::from_secs(3_600);
/// After a failure: authorities count five of a name in an hour (Let's Encrypt's limits of November 2026).
const FIRST_WAIT: Duration = Duration::from_secs(720);
/// After an authority has not answered at all.
const SILENCE: Duration = Duration::from_secs(60);
const LONGEST_WAIT: Duration = Duration::from_secs(12 * 3_600);

/// Under which it is noted that no name can be had.
const AUTHORITY: &str = "[acme]";

/// Nodes told at the same time.
const AT_ONCE: usize = 32;

/// What the issuer remembers.
pub(super) struct Issuer {
    started: Instant,
    heard: BTreeMap<NodeId, Instant>,
    /// With the config it was opened for.
    authority: Option<(Acme, Authority)>,
    /// With when the authority is to be asked again.
    renewals: BTreeMap<String, (Renewal, Instant)>,
    /// Until when a name that has a new certificate gets no other.
    renewed: BTreeMap<String, Instant>,
    /// Of the config for which failures were counted.
    version: u64,
}

impl Default for Issuer {
    fn default() -> Self {
        let (heard, renewals, renewed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { started: Instant::now(), heard, authority: None, renewals, renewed, version: 0 }
    }
}

impl Issuer {
    /// Another name server has answered.
    pub(super) fn heard(&mut self, other: &NodeId) {
        self.heard.insert(other.clone(), Instant::now());
    }

    /// Whether it is this node's turn.
    fn is_called_for(&self, node: &Node, config: &Config) -> bool {
        let before = config.network.name_servers.iter().take_while(|other| other.id != node.id);
        let is_silent = |id: &NodeId| self.heard.get(id).unwrap_or(&self.started).elapsed() >= SILENT;
        before.map(|other| &other.id).all(is_silent)
    }

    /// Gets what is lacking and renews what is due, one after the other.
    pub(super) async fn issue(&mut self, node: &Arc<Node>, config: &Arc<Config>, wanted: &[Wanted]) {
        let rests = lock(&node.holding.lacks).get(AUTHORITY).is_some_and(|lack| lack.next > Instant::now());
        if rests || !self.is_called_for(node, config) {
            return;
        }
        lock(&node.holding.lacks).remove(AUTHORITY);
        if self.version != config.version {
            // What failed may have been mended: it is tried sooner, and no more often than authorities like.
            self.version = config.version;
            let mut lacks = lock(&node.holding.lacks);
            lacks.retain(|name, _| wanted.iter().any(|wanted| wanted.name == *name));
            lacks.values_mut().for_each(|lack| lack.next = lack.next.min(lack.tried + FIRST_WAIT));
        }
        for wanted in wanted {
            if node.version() != config.version {
                // What is wanted now may be something else.
                return;
            }
            let is_waiting = lock(&node.holding.lacks).get(&wanted.name).is_some_and(|lack| lack.next > Instant::now());
            let is_new = self.renewed.get(&wanted.name).is_some_and(|until| *until > Instant::now());
            if is_waiting || is_new || !self.is_due(node, config, wanted).await {
                continue;
            }
            if let Err(why) = self.authority(node, config).await {
                return note_silence(node, why);
            }
            match self.get(node, config, wanted).await {
                Ok(held) => {
                    tracing::info!(name = %wanted.name, "a new certificate");
                    lock(&node.holding.lacks).remove(&wanted.name);
                    self.renewals.remove(&wanted.name);
                    // One that is due at once, as by a wrong clock, is not got again and again.
                    let life = held.until.duration_since(held.from).unwrap_or_default();
                    self.renewed.insert(wanted.name.clone(), Instant::now() + FIRST_WAIT.min(life / 3));
                    node.holding.put(held);
                    show_now(node);
                }
                Err(why) => {
                    let is_too_much = why.contains("rateLimited");
                    note_lack(node, wanted, why);
                    if is_too_much {
                        return;
                    }
                }
            }
        }
    }

    async fn is_due(&mut self, node: &Node, config: &Config, wanted: &Wanted) -> bool {
        let Some(held) = node.holding.get(&wanted.name) else { return true };
        if held.authority != config.network.acme.directory {
            return true;
        }
        let known = self.renewals.get(&wanted.name).filter(|(_, again)| *again > Instant::now());
        let renewal = match known {
            Some((renewal, _)) => *renewal,
            None => {
                let (renewal, wait) = match self.authority(node, config).await {
                    Ok(authority) => authority.renewal(&held).await,
                    Err(_) => (Renewal::Own, Authority::RENEWAL_UNKNOWN),
                };
                self.renewals.insert(wanted.name.clone(), (renewal, Instant::now() + wait));
                renewal
            }
        };
        due(&held, renewal, SystemTime::now())
    }

    async fn get(&mut self, node: &Node, config: &Config, wanted: &Wanted) -> Result<certs::Held, String> {
        let way = way(node, config, wanted);
        let before = node.holding.get(&wanted.name);
        let authority = self.authority(node, config).await?;
        let everywhere = Everywhere { node, config, unreached: Mutex::default() };
        let issued = authority.issue(wanted, before.as_ref(), &way, &everywhere).await;
        let unreached = lock(&everywhere.unreached).join(", ");
        let told = |why| if unreached.is_empty() { why } else { format!("{why}; not reached at `peer`: {unreached}") };
        issued.map_err(told).map_err(|why| match &way {
            Way::Dns(name) if *name == alias(config, wanted) => {
                format!(
                    "{why}; is there a record `{CHALLENGE}.{} CNAME {name}`, which lets us prove it?",
                    wanted.base()
                )
            }
            Way::Dns(_) | Way::Http | Way::Tls(_) => why,
        })
    }

    async fn authority(&mut self, node: &Node, config: &Config) -> Result<&Authority, String> {
        let (acme, contact) = (&config.network.acme, &config.network.contact);
        if self.authority.as_ref().is_none_or(|(opened, _)| opened != acme) {
            let (opened, unwritten) = Authority::open(acme, contact, &node.holding.account_dir()).await?;
            if let Some(error) = unwritten {
                tracing::error!(%error, "the account at the authority cannot be written down: the next start makes another");
            }
            self.authority = Some((acme.clone(), opened));
        }
        self.authority.as_ref().map(|(_, authority)| authority).ok_or_else(|| "there is no authority".to_owned())
    }
}

/// The authority does not answer, for whatever name: it is asked again in a while.
fn note_silence(node: &Node, why: String) {
    tracing::error!(%why, again_s = SILENCE.as_secs(), "the authority of [acme] cannot be used");
    let (tried, next) = (Instant::now(), Instant::now() + SILENCE);
    lock(&node.holding.lacks).insert(AUTHORITY.to_owned(), Lack { why, tries: 0, tried, next });
}

fn note_lack(node: &Node, wanted: &Wanted, why: String) {
    let mut lacks = lock(&node.holding.lacks);
    let tries = lacks.get(&wanted.name).map_or(0, |lack| lack.tries) + 1;
    let wait = FIRST_WAIT.saturating_mul(1 << (tries - 1).min(8)).min(LONGEST_WAIT);
    tracing::error!(name = %wanted.name, %why, again_s = wait.as_secs(), "no certificate");
    lacks.insert(wanted.name.clone(), Lack { why, tries, tried: Instant::now(), next: Instant::now() + wait });
}

/// How a name is shown to be ours: by DNS where its records are answered here. Else at the name itself, by HTTP or over TLS,
/// or, at every second try, by an alias that its owner may have made for us; a wildcard by that alone.
fn way(node: &Node, config: &Config, wanted: &Wanted) -> Way {
    let answers = node.name_server.as_ref().and_then(|name_server| name_server.answers.load_full());
    let name = format!("{CHALLENGE}.{}", wanted.base());
    if let Some(name) = answers.and_then(|answers| answers.view.challenged_at(&name)) {
        return Way::Dns(name);
    }
    let tries = lock(&node.holding.lacks).get(&wanted.name).map_or(0, |lack| lack.tries);
    if wanted.is_wildcard() || tries % 2 == 1 {
        Way::Dns(alias(config, wanted))
    } else if config.network.proves_by_tls() {
        Way::Tls(wanted.name.clone())
    } else {
        Way::Http
    }
}

/// Where authorities ask of a name (RFC 8555 §8.4).
const CHALLENGE: &str = "_acme-challenge";

/// Where a name outside our zones may have authorities led to.
fn alias(config: &Config, wanted: &Wanted) -> String {
    format!("{CHALLENGE}.{}.{}", wanted.base(), config.network.zone)
}

/// Every node that an authority may ask.
struct Everywhere<'n> {
    node: &'n Node,
    config: &'n Config,
    /// Nodes that do not have an answer ready, since nobody reaches them.
    unreached: Mutex<Vec<String>>,
}

impl Publish for Everywhere<'_> {
    fn publish(&self, challenge: Challenge) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send + '_>> {
        Box::pin(publish(self, challenge))
    }
}

async fn publish(everywhere: &Everywhere<'_>, challenge: Challenge) -> Result<(), String> {
    let Everywhere { node, config, unreached } = everywhere;
    let network = &config.network;
    let others: Vec<_> = match &challenge {
        Challenge::Dns { .. } => {
            let others = network.name_servers.iter().filter(|other| other.id != node.id);
            others.map(|other| (&other.id, network.peer_of_name_server(other))).collect()
        }
        Challenge::Http { .. } | Challenge::Tls { .. } => {
            network.edges().map(|(_, edge)| (&edge.id, network.peer_of(edge))).collect()
        }
    };
    let body = serde_json::to_vec(&challenge).map_err(|error| error.to_string())?;
    if !node.holding.challenges.add(challenge, SystemTime::now()) {
        return Err("too many answers for authorities are ready already".to_owned());
    }
    let Some(key) = &config.fleet_key else { return Ok(()) };
    let proof = Proof::Fleet(key.clone());
    let told = others.into_iter().filter_map(|(id, address)| {
        let (id, address, body, proof) = (id.clone(), address?, body.clone(), proof.clone());
        Some(async move { (id, client::post_json(address, "/challenge", body, &proof).await) })
    });
    let told: Vec<_> = told.collect();
    let told: Vec<_> = futures_util::stream::iter(told).buffer_unordered(AT_ONCE).collect().await;
    for (id, answer) in told {
        match answer {
            Ok(_) => {}
            // One that is down must not keep certificates from being renewed: an authority asks those that answer.
            Err(AskError::NobodyThere(_)) => lock(unreached).push(id.to_string()),
            Err(error) => return Err(format!("{id} does not take the answer for the authority: {error}")),
        }
    }
    Ok(())
}
