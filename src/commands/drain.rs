//! `hither drain` and `hither undrain`: takes an edge out of answers, waits until nobody is sent there, and back in.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use admin::Drain as Order;
use config::{EdgeNode, Network, Secret};
use serde_json::{Value, json};

use crate::cli::Drain;
use crate::client::AskError;
use crate::directory::{self, Known};
use crate::drain::{Progress, Word, edge_of, look, tell};
use crate::exit::{Done, Exit, Failure};
use crate::say::{note, say};
use crate::waiting::wait_for;

/// How often name servers are asked.
const LOOK: Duration = Duration::from_millis(200);
/// Probes that a name server has to hear of it.
const PROBES: u32 = 3;
/// And as much time on top: it takes some to be asked.
const SLACK: Duration = Duration::from_secs(2);

/// `hither drain`.
pub(crate) fn run(args: Drain, dir: Option<PathBuf>) -> Done {
    let Known { network, fleet_key, .. } = directory::known(&directory::find(dir))?;
    let edge = edge_of(&network, &args.edge).map_err(Failure::operator)?;
    let draining = Draining { network: &network, key: fleet_key.as_ref(), edge, json: args.json };
    wait_for(draining.run())?
}

/// `hither undrain`.
pub(crate) fn undo(args: Drain, dir: Option<PathBuf>) -> Done {
    let Known { network, fleet_key, .. } = directory::known(&directory::find(dir))?;
    let edge = edge_of(&network, &args.edge).map_err(Failure::operator)?;
    let told = wait_for(tell(&network, fleet_key.as_ref(), edge, Order::End))?;
    told.map_err(|error| failed(edge, &error))?;
    if args.json {
        say(format!("{:#}", json!({ "edge": edge.id.as_str(), "draining": false })));
    } else {
        say(format!("{} takes clients again: name servers name it with their next probe", edge.id));
    }
    Ok(Exit::Done)
}

fn failed(edge: &EdgeNode, error: &AskError) -> Failure {
    let next = match error {
        AskError::NobodyThere(_) => "; is it running, and can its `peer` be reached from here?",
        AskError::Refused(_) | AskError::Failed(_) => "",
    };
    Failure::operator(format!("{} could not be told: {error}{next}", edge.id))
}

/// One edge being drained.
struct Draining<'a> {
    network: &'a Network,
    key: Option<&'a Secret>,
    edge: &'a EdgeNode,
    json: bool,
}

impl Draining<'_> {
    async fn run(self) -> Done {
        let began = Instant::now();
        tell(self.network, self.key, self.edge, Order::Begin).await.map_err(|error| failed(self.edge, &error))?;
        self.tell(format!("{} drains: it serves whoever comes, and asks for no new clients", self.edge.id));
        let progress = self.wait_for_name_servers().await;
        if !progress.others_serve {
            self.tell("no other edge serves: answers name this one all the same until one does".to_owned());
        }
        let ttl = self.network.dns.ttl;
        self.tell(format!("waiting {} s more, for which answers given before may be used", ttl.as_secs()));
        tokio::time::sleep(ttl).await;
        if self.json {
            say(format!("{:#}", self.as_json(&progress, began.elapsed())));
        }
        let laggards: Vec<&str> =
            progress.words.iter().filter(|(_, word)| !word.is_drained()).map(|(id, _)| id.as_str()).collect();
        let id = &self.edge.id;
        if !laggards.is_empty() {
            let whom = laggards.join(", ");
            return Err(Failure::in_part(format!("{id} is drained, but clients may still be sent there by {whom}")));
        }
        if !progress.others_serve {
            let message = format!("{id} is drained, but no other edge serves: stopping it stops the sites");
            return Err(Failure::in_part(message));
        }
        self.tell(format!(
            "nobody is sent to {id} any more: it may be stopped now; `hither undrain {id}` takes it back"
        ));
        Ok(Exit::Done)
    }

    /// Asks name servers until all have taken it out, or had the time to; and says what each says, once.
    async fn wait_for_name_servers(&self) -> Progress {
        let health = self.network.health;
        let deadline = Instant::now() + (health.interval + health.timeout) * PROBES + SLACK;
        let mut said = Vec::new();
        loop {
            let progress = look(self.network, self.key, self.edge).await;
            for (id, word) in &progress.words {
                let line = match word {
                    Word::Drained => format!("{id} names it no more"),
                    Word::Told => format!("{id} cannot be asked; its probe was told"),
                    Word::Named | Word::Unknown(_) => continue,
                };
                if !said.contains(id) {
                    said.push(id.clone());
                    self.tell(line);
                }
            }
            if progress.words.iter().all(|(_, word)| word.is_drained()) {
                return progress;
            }
            if Instant::now() > deadline {
                for (id, word) in &progress.words {
                    match word {
                        Word::Named => self.tell(format!("{id} STILL names it")),
                        Word::Unknown(why) => self.tell(format!("{id} could NOT be asked: {why}")),
                        Word::Drained | Word::Told => {}
                    }
                }
                return progress;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Says how far it is: beside the JSON, on standard error.
    fn tell(&self, line: String) {
        if self.json { note(format!("{line}\n")) } else { say(line) }
    }

    fn as_json(&self, progress: &Progress, took: Duration) -> Value {
        let one = |(id, word): &(config::NodeId, Word)| {
            let (word, error) = match word {
                Word::Drained => ("drained", None),
                Word::Told => ("told", None),
                Word::Named => ("named", None),
                Word::Unknown(why) => ("unknown", Some(why.as_str())),
            };
            json!({ "id": id.as_str(), "word": word, "error": error })
        };
        let is_complete = progress.words.iter().all(|(_, word)| word.is_drained()) && progress.others_serve;
        json!({
            "edge": self.edge.id.as_str(),
            "draining": true,
            "complete": is_complete,
            "name_servers": progress.words.iter().map(one).collect::<Vec<_>>(),
            "others_serve": progress.others_serve,
            "ms": took.as_millis(),
        })
    }
}
