//! `hither up`: every node of a directory on this machine, each its own process.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use ::fleet::ConfigVersion;
use admin::{Admin, Door};
use arc_swap::ArcSwap;
use config::{Config, NodeId, Problem, Severity};
use listen::{Handler, Mount, Mounts, Server, Sharing, Stop, bind_tcp};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, channel};

use crate::cli::Up;
use crate::exit::{Done, Exit, Failure};
use crate::marker::{Marker, running};
use crate::node::{Before, Built, Roles, build, settled, watch};
use crate::say::say;
use crate::waiting::wait_for;
use crate::{demo, directory};

mod fleet;
mod hints;
mod processes;
mod verdicts;

use fleet::{FleetFacts, Known, gather};
use processes::{ORIGIN, Processes, STATE, origin_marker};

/// How often the processes are looked at.
const LOOK: std::time::Duration = std::time::Duration::from_millis(200);

pub(crate) fn run(args: Up, dir: Option<PathBuf>) -> Done {
    let named = args.directory.or(dir);
    let is_demo = named.is_none();
    let dir = named.unwrap_or_else(|| PathBuf::from("hither-demo"));
    if is_demo {
        demo::write(&dir)?;
    }
    let next = format!(
        "`hither init {}` writes a directory to start from, `hither up` without one runs the demo",
        dir.display()
    );
    let dir = std::fs::canonicalize(&dir).map_err(|error| Failure::file("look into", &dir, &error, &next))?;
    let built = build(&dir, Roles::BOTH, None).map_err(|problems| directory::refused(&problems))?;
    directory::print(&built.warnings);
    let config = built.config();
    refuse_if_running(config)?;
    let socket =
        bind_tcp(config.network.admin.listen, Sharing::Alone).map_err(|error| Failure::operator(error.to_string()))?;
    wait_for(serve(&dir, built, socket))?
}

/// Where a running `up` is found.
fn up_marker(config: &Config) -> PathBuf {
    Marker::path_of_up(&config.network.state)
}

/// Another `up` of this directory, or nodes that one left behind when it was killed: say which, and
/// how to end them.
fn refuse_if_running(config: &Config) -> Result<(), Failure> {
    if let Some(Marker { pid, admin }) = Marker::read(&up_marker(config)) {
        return Err(Failure::operator(format!(
            "`hither up` already runs here (pid {pid}, http://{admin}/status); it takes up edits by itself\nend it with: kill {pid}"
        )));
    }
    let origin = Marker::read(&origin_marker(config)).map(|marker| (ORIGIN.to_owned(), marker.pid));
    let nodes = running(&config.network).into_iter().map(|node| (node.id.to_string(), node.marker.pid));
    let (names, pids): (Vec<String>, Vec<String>) =
        nodes.chain(origin).map(|(name, pid)| (name, pid.to_string())).unzip();
    if names.is_empty() {
        return Ok(());
    }
    Err(Failure::operator(format!(
        "{} processes of this directory run already: {}\nstop them with: kill {}",
        names.len(),
        names.join(", "),
        pids.join(" ")
    )))
}

async fn serve(dir: &Path, built: Built, socket: std::net::TcpListener) -> Done {
    let begun = Instant::now();
    let (started, before) = built.into_parts();
    let known = Arc::new(ArcSwap::from_pointee(Known::of(dir, &started)));
    let mut ending = Ending::listen()?;
    let mut hangups = signal(SignalKind::hangup()).map_err(Failure::ours)?;
    // Before anybody is told that all runs: whoever edits then is heard.
    let mut changes = watched(dir);
    let mut fleet = Processes::start(dir, &started)?;
    let gathering = gather(Arc::clone(&known));
    let facts = FleetFacts::new(Arc::clone(&known), Arc::clone(&gathering));
    let stop = Stop::new();
    tokio::spawn(admin_server(facts, socket)?.serve(stop.clone()));
    let marker = Marker { pid: std::process::id().cast_signed(), admin: started.network.admin.listen };
    let marker_path = up_marker(&started);
    marker.write(&marker_path).map_err(|error| Failure::file("write", &marker_path, &error, STATE))?;
    let lived = async {
        fleet.wait_until_ready(&started).await?;
        say(format!(
            "{} nodes are ready after {:.1} s",
            started.network.node_ids().len(),
            begun.elapsed().as_secs_f64()
        ));
        hints::print(&started);
        let mut taken = Taken { dir, started: &started, before: before.map(Arc::new), known: &known };
        keep(&mut taken, &mut fleet, (&mut changes, &mut hangups)).await;
        Ok(())
    };
    let ended = tokio::select! {
        ended = lived => ended,
        () = ending.told() => Ok(()),
    };
    gathering.end_streams();
    stop.stop();
    fleet.end().await;
    marker.remove(&marker_path);
    ended.map(|()| Exit::Done)
}

fn admin_server(facts: FleetFacts, socket: std::net::TcpListener) -> Result<Server, Failure> {
    let api: Arc<dyn Handler> = Arc::new(Admin::new(Arc::new(facts), Door::Admin));
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: api }]));
    let connections = prometheus::IntGauge::new("connections", "Open connections.").map_err(Failure::ours)?;
    Server::new(socket, mounts, None, connections).map_err(Failure::ours)
}

/// What `up` has taken of its directory.
struct Taken<'u> {
    dir: &'u Path,
    started: &'u Config,
    /// The last that held: a zone that breaks stays, here as in the nodes.
    before: Option<Arc<Before>>,
    known: &'u ArcSwap<Known>,
}

/// Tells which nodes die, and takes up what changes in the directory.
async fn keep(taken: &mut Taken<'_>, fleet: &mut Processes, (changes, hangups): (&mut Receiver<()>, &mut Signal)) {
    let mut looks = tokio::time::interval(LOOK);
    loop {
        tokio::select! {
            _ = looks.tick() => fleet.tell_deaths(),
            Some(()) = changes.recv() => reload(taken, fleet, changes).await,
            _ = hangups.recv() => {
                fleet.hang_up();
                reload(taken, fleet, changes).await;
            }
        }
    }
}

/// Changes of the directory, settled: in a task of its own, since a look at the processes must not
/// forget a change that is being waited for. Where files cannot be watched, none: SIGHUP tells them.
fn watched(dir: &Path) -> Receiver<()> {
    let (sender, mut raw) = channel(1);
    let (tell, changes) = channel(1);
    let watcher = watch(dir, &[], sender);
    if let Err(error) = &watcher {
        say(format!("files are not watched ({error}); send SIGHUP after a change"));
    }
    tokio::spawn(async move {
        let _watcher = watcher;
        loop {
            settled(&mut raw).await;
            if tell.send(()).await.is_err() {
                return;
            }
        }
    });
    changes
}

/// Takes up a change, and says what the nodes make of it. Where the next comes before they are heard, they may have that one
/// already: what they make of the first is no longer asked.
async fn reload(taken: &mut Taken<'_>, fleet: &mut Processes, changes: &mut Receiver<()>) {
    while let Some((wanted, had)) = take(taken, fleet).await {
        let known = taken.known.load_full();
        let verdicts = verdicts::collect(known.network(), &wanted, &had);
        if let Some(verdicts) = unless_changed(verdicts, changes).await {
            return say(verdicts);
        }
    }
}

/// What something comes to, unless a change comes before.
async fn unless_changed<T>(awaited: impl Future<Output = T>, changes: &mut Receiver<()>) -> Option<T> {
    tokio::select! {
        biased;
        Some(()) = changes.recv() => None,
        result = awaited => Some(result),
    }
}

/// Takes the directory as it is now: the nodes load it each on its own, `up` starts and stops nodes. Which config it is, and
/// the nodes that ran before; `None` where it is refused, which is said.
async fn take(taken: &mut Taken<'_>, fleet: &mut Processes) -> Option<(ConfigVersion, Vec<NodeId>)> {
    let (dir, before) = (taken.dir.to_owned(), taken.before.clone());
    let built = tokio::task::spawn_blocking(move || build(&dir, Roles::BOTH, before.as_deref())).await;
    let built = built.unwrap_or_else(|error| Err(vec![Problem::general(format!("reading it failed: {error}"))]));
    let built = match built {
        Ok(built) => built,
        Err(problems) => {
            directory::print(&problems);
            say("config refused: every node keeps the one before");
            return None;
        }
    };
    directory::print(&built.warnings);
    let kept = built.kept();
    directory::print(&kept);
    if kept.iter().any(|problem| problem.severity == Severity::Fault) {
        say("zone refused: the one before stays, and all else is taken");
    }
    let version = built.version().clone();
    let (mut new, before) = built.into_parts();
    taken.before = before.map(Arc::new);
    for key in new.network.waiting_for_start(&taken.started.network) {
        say(format!("{key} has changed: it is taken at the next start"));
    }
    new.network.state.clone_from(&taken.started.network.state);
    let had = taken.known.load().network().node_ids();
    fleet.follow(&new);
    taken.known.store(Arc::new(Known::of(taken.dir, &new)));
    Some((version, had))
}

/// Ctrl-C and SIGTERM.
struct Ending {
    terminate: Signal,
    interrupt: Signal,
}

impl Ending {
    fn listen() -> Result<Self, Failure> {
        let listen = |kind| signal(kind).map_err(Failure::ours);
        Ok(Self { terminate: listen(SignalKind::terminate())?, interrupt: listen(SignalKind::interrupt())? })
    }

    async fn told(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn nothing_is_said_of_a_change_that_another_has_followed() {
        let (sender, mut changes) = channel(1);
        assert_eq!(unless_changed(ready("said"), &mut changes).await, Some("said"));
        for is_said in [true, false] {
            sender.send(()).await.unwrap();
            let verdicts = async { if is_said { "said" } else { pending().await } };
            assert_eq!(unless_changed(verdicts, &mut changes).await, None, "{is_said}");
        }
        assert_eq!(unless_changed(ready("said"), &mut changes).await, Some("said"), "each change is taken once");
        // Where files are not watched, none comes.
        drop(sender);
        assert_eq!(unless_changed(ready("said"), &mut changes).await, Some("said"));
    }
}
