//! Reloading: a saved file or SIGHUP builds a whole new state; a bad one changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use config::{Config, Problem, Severity, limits};
use fleet::ConfigVersion;
use listen::BindError;
use notify::event::{EventKind, ModifyKind};
use notify::{RecursiveMode, Watcher};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::{JoinError, spawn_blocking};

use super::listeners::Listeners;
use super::peer::Peer;
use super::sockets::Reached;
use super::supervisor::{Word, tell};
use super::{Built, Node, Roles, build_read, lock};

/// What tells a node that its files have changed. It begins before the node answers anybody: whoever sees it run, and
/// edits, is heard.
pub(crate) struct Watching {
    sender: Sender<()>,
    changes: Receiver<()>,
    hangups: Signal,
    watcher: Option<Watched>,
    /// Those that the files named when they were last read.
    databases: Vec<PathBuf>,
}

/// Ends the watching when it is dropped.
type Watched = Box<dyn Watcher + Send>;

impl Watching {
    /// Call it in the runtime that reloads.
    ///
    /// # Errors
    /// SIGHUP cannot be listened for.
    pub(crate) fn begin(node: &Node) -> std::io::Result<Self> {
        // One place: a change that comes while one waits is the same reload.
        let (sender, changes) = channel(1);
        let hangups = signal(SignalKind::hangup())?;
        let databases = node.config.load().as_ref().map_or_else(Vec::new, |config| node.databases(config));
        let mut this = Self { sender, changes, hangups, watcher: None, databases };
        this.renew(node);
        if node.name_server.is_some() && !lock(&node.world).is_read() {
            // It serves by the map it had: the databases are read now.
            let _ = this.sender.try_send(());
        }
        this.look_once(node);
        Ok(this)
    }

    /// Looks aside whether something has changed after it was read and before it was watched. A node that boots what was good
    /// last takes no change that it is not told of.
    fn look_once(&self, node: &Node) {
        if node.refused.load().is_some() {
            return;
        }
        let (dir, used, sender) = (node.dir.clone(), node.config_version.load_full(), self.sender.clone());
        spawn_blocking(move || {
            let is_used = |config: &Config| used.is_some_and(|used| used.is_same(&ConfigVersion::of(config)));
            if !config::load(&dir).is_ok_and(|loaded| is_used(&loaded.config)) {
                let _ = sender.try_send(());
            }
        });
    }

    /// Resolves when there is something to reload.
    async fn changed(&mut self, node: &Node) {
        tokio::select! {
            // Who rotates logs sends it, too: a reload that finds nothing new changes nothing.
            _ = self.hangups.recv() => node.reopen_logs(),
            () = settled(&mut self.changes) => {}
            () = tokio::time::sleep(WATCH_AGAIN), if self.watcher.is_none() => {}
        }
    }

    /// Watches anew, since directories and databases may have come; before the watcher in use ends, so
    /// that nothing is missed in between. One that cannot be had (no descriptor is left) does not take
    /// the place of one that works.
    fn renew(&mut self, node: &Node) {
        match watch(&node.dir, &self.databases, self.sender.clone()) {
            Ok(watcher) => self.watcher = Some(Box::new(watcher)),
            Err(error) => tracing::error!(%error, "files are not watched; send SIGHUP after a change"),
        }
    }

    /// Watches the databases that a config names before they are read: whatever comes in their places from then on, and be
    /// it the first of one that the config is refused for, is a change.
    fn follow_databases(&mut self, node: &Node, config: &Config) {
        let databases = node.databases(config);
        if databases != self.databases {
            self.databases = databases;
            self.renew(node);
        }
    }
}

/// Reloads for as long as the node runs; `started` is the config it started with.
pub(crate) async fn follow(watching: &mut Watching, node: &Arc<Node>, doors: (&Listeners, &Peer), started: &Config) {
    loop {
        watching.changed(node).await;
        watching.renew(node);
        tell(Word::Reloading);
        reload(watching, node, doors, started).await;
        tell(Word::Serving(&node.in_a_line()));
    }
}

/// How often files that could not be watched are tried again.
const WATCH_AGAIN: Duration = Duration::from_secs(30);

/// Waits for a change, then until no more come.
pub(crate) async fn settled(changes: &mut Receiver<()>) {
    if changes.recv().await.is_none() {
        std::future::pending::<()>().await;
    }
    let more = async { while tokio::time::timeout(limits::RELOAD_SETTLE, changes.recv()).await.is_ok() {} };
    // A file that never rests must not keep the others from going live.
    let _ = tokio::time::timeout(limits::RELOAD_SETTLE * 5, more).await;
}

/// Reads the files, and builds what they come to.
async fn read(watching: &mut Watching, node: &Arc<Node>) -> Result<Result<Built, Vec<Problem>>, JoinError> {
    let dir = node.dir.clone();
    let read = spawn_blocking(move || config::load(&dir)).await?;
    if let Ok(loaded) = &read {
        watching.follow_databases(node, &loaded.config);
    }
    let node = Arc::clone(node);
    spawn_blocking(move || build_read(&node.dir, read, node.roles(), Some(&node.before()))).await
}

async fn reload(watching: &mut Watching, node: &Arc<Node>, (listeners, peer): (&Listeners, &Peer), started: &Config) {
    let built = read(watching, node).await;
    let built = built.unwrap_or_else(|error| Err(vec![Problem::general(format!("reading it failed: {error}"))]));
    let ready = built.and_then(|built| {
        let fault = |error: BindError| vec![Problem::general(error.to_string())];
        let bound = listeners.bind(built.config(), &node.id).map_err(fault)?;
        let reached = peer.bind(built.config(), &node.id, Reached::new()).map_err(fault)?;
        Ok((built, bound, reached))
    });
    match ready {
        Ok((built, bound, reached)) => {
            warn(node, built.config(), started);
            let (kept, log) = (built.kept(), built.config().network.log.clone());
            node.apply(built);
            keep_version(node).await;
            note_kept(node, &kept);
            listeners.put(bound);
            peer.put(node, reached);
            change_logs(node, log).await;
            tracing::info!(version = node.version(), "config loaded");
        }
        Err(problems) => {
            node.metrics.reloads.with_label_values(&["refused"]).inc();
            let faults = || problems.iter().filter(|problem| problem.severity == Severity::Fault);
            for problem in faults() {
                tracing::error!(%problem, "config refused; the one before stays");
            }
            node.refused.store(faults().next().map(|problem| Arc::new(problem.to_string())));
        }
    }
}

/// Says which zones stay as they were, though all else is taken.
fn note_kept(node: &Node, problems: &[Problem]) {
    for problem in problems {
        if problem.severity == Severity::Fault {
            tracing::error!(%problem, "zone refused; the one before stays, and all else is taken");
            note_refused(node, problem);
        } else {
            tracing::warn!(%problem, "zone taken");
        }
    }
}

/// Writes down which version is served.
async fn keep_version(node: &Arc<Node>) {
    let keeping = Arc::clone(node);
    let kept = spawn_blocking(move || keeping.keep_version()).await;
    kept.unwrap_or_else(|error| tracing::error!(%error, "writing the config's version down failed"));
}

/// Has logs written as the config in use wants them. Says which go on as they were, though all else is taken.
async fn change_logs(node: &Arc<Node>, log: config::Log) {
    let changing = Arc::clone(node);
    let problems = spawn_blocking(move || changing.change_logs(&log)).await;
    let problems = problems.unwrap_or_else(|error| vec![Problem::general(format!("changing logs failed: {error}"))]);
    for problem in &problems {
        tracing::error!(%problem, "log refused; all else is taken");
        note_refused(node, problem);
    }
}

/// Notes what of a config was refused, though all else is taken. The first of several is told.
fn note_refused(node: &Node, problem: &Problem) {
    if node.refused.load().is_none() {
        node.metrics.reloads.with_label_values(&["refused"]).inc();
        node.refused.store(Some(Arc::new(format!("all else of it is taken, but {problem}"))));
    }
}

/// Says what a reload cannot change.
fn warn(node: &Node, config: &Config, started: &Config) {
    for key in config.network.waiting_for_start(&started.network) {
        tracing::warn!(key, "changed; this node takes it at its next start");
    }
    let now = config.network.node(&node.id).map(|roles| Roles::of(&roles));
    if now != Some(node.roles()) {
        tracing::warn!("the config gives this node other roles, or none; restart or stop it");
    }
}

/// The directory's own that hold config.
const FOLDERS: [&str; 5] = ["sites", "zones", "latency", "secrets", "secrets/dnssec"];

/// The link that Kubernetes puts in place of another when what it mounts has changed: the files are links through it, and of
/// them nothing is told.
const SWAPPED: &str = "..data";

/// Watches the directory, those in it that hold config, and the files' own elsewhere. Directories,
/// not files: editors save by renaming.
pub(crate) fn watch(dir: &Path, elsewhere: &[PathBuf], changes: Sender<()>) -> notify::Result<impl Watcher + use<>> {
    let root = dir.to_owned();
    let next: Vec<(&Path, &Path)> = elsewhere.iter().filter_map(|file| awaited(file)).collect();
    let awaited: Vec<PathBuf> = next.iter().map(|(path, _)| path.to_path_buf()).collect();
    let mut watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
        let is_read = |path: &PathBuf| is_config(&root, path) || awaited.contains(path);
        if event.is_ok_and(|event| is_change(&event) && event.paths.iter().any(is_read)) {
            // A full channel has a reload waiting already.
            let _ = changes.try_send(());
        }
    })?;
    watcher.watch(dir, RecursiveMode::NonRecursive)?;
    let within = FOLDERS.map(|sub| dir.join(sub));
    let outside = next.iter().map(|(_, parent)| *parent).filter(|parent| *parent != dir);
    for path in within.iter().map(PathBuf::as_path).chain(outside).filter(|path| path.is_dir()) {
        watcher.watch(path, RecursiveMode::NonRecursive)?;
    }
    Ok(watcher)
}

/// What of a file's path comes or goes next, and the directory in which it does: the file itself, or the first of the
/// directories above it that is not there.
fn awaited(file: &Path) -> Option<(&Path, &Path)> {
    file.ancestors().zip(file.ancestors().skip(1)).find(|(_, parent)| parent.is_dir())
}

/// Whether an event is more than somebody reading.
fn is_change(event: &notify::Event) -> bool {
    matches!(
        event.kind,
        EventKind::Create(_)
            | EventKind::Remove(_)
            // Who may read a file, and the time that makes the version, are metadata.
            | EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Name(_) | ModifyKind::Metadata(_))
    )
}

/// Whether a load reads the path: other files in the directory, such as a log, are none of its business.
fn is_config(root: &Path, path: &Path) -> bool {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return false };
    let parent = path.parent();
    if name == SWAPPED {
        return parent.is_some_and(|parent| parent.starts_with(root));
    }
    if config::is_leftover(name) {
        return false;
    }
    if parent == Some(root) {
        return matches!(name, "hither.toml" | "routes.toml") || FOLDERS.contains(&name);
    }
    FOLDERS.iter().any(|sub| parent == Some(&*root.join(sub)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_path_the_first_that_is_not_there_is_awaited() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        std::fs::create_dir(root.join("here")).unwrap();
        std::fs::write(root.join("here/old.mmdb"), "").unwrap();
        for (file, path, parent) in [
            ("here/old.mmdb", "here/old.mmdb", "here"),
            ("here/new.mmdb", "here/new.mmdb", "here"),
            ("gone/new.mmdb", "gone", ""),
            ("here/gone/deep/new.mmdb", "here/gone", "here"),
            // What stands in a directory's place is none.
            ("here/old.mmdb/new.mmdb", "here/old.mmdb", "here"),
        ] {
            let file = root.join(file);
            assert_eq!(awaited(&file), Some((&*root.join(path), &*root.join(parent))), "{}", file.display());
        }
    }
}
