//! The processes of `up`: the nodes', and the sample origin's.

use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use config::{Config, NodeId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::demo;
use crate::exit::Failure;
use crate::marker::{Marker, running};
use crate::say::say;

/// Time for all nodes to be ready: 26 processes on one slow core.
const READY: Duration = Duration::from_secs(60);
/// Time for a node to finish its requests (10 s), and then to write down what waits for its disk (5 s).
const ENDING: Duration = Duration::from_secs(20);
/// Lines of a node's log that are shown when it does not start.
const TAIL: usize = 40;

/// What to do where state cannot be written.
pub(super) const STATE: &str = "name a directory that you may write to by `state` in hither.toml, or run it as who may";

/// What the sample origin's process is called.
pub(super) const ORIGIN: &str = "sample-origin";

/// Where the sample origin is found again.
pub(super) fn origin_marker(config: &Config) -> PathBuf {
    config.network.state.join("sample-origin.json")
}

/// The processes, in the order they were started.
pub(super) struct Processes {
    program: PathBuf,
    dir: PathBuf,
    state: PathBuf,
    list: Vec<Process>,
    /// Nodes that the config has no more, on their way out.
    leaving: Vec<Process>,
}

struct Process {
    name: String,
    /// Where it says that it serves; none for what is no node.
    marker: Option<PathBuf>,
    life: Life,
    /// Those from which others have taken over, until they have finished.
    before: Vec<Child>,
    log: PathBuf,
    /// Where in the log this start begins.
    log_start: u64,
}

enum Life {
    /// Started by us.
    Child(Child),
    /// Started again, or in its place, by the operator.
    Adopted(i32),
    Ended,
}

impl Processes {
    /// Edges first, so that the first probes find them.
    pub(super) fn start(dir: &Path, config: &Config) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::ours)?;
        let state = config.network.state.clone();
        let mut this = Self { program, dir: dir.to_owned(), state, list: Vec::new(), leaving: Vec::new() };
        if let Some((files, address)) = demo::sample_origin(config) {
            let mut command = Command::new(&this.program);
            command.arg("sample-origin").arg(files).arg("--listen").arg(address.to_string());
            let pid = this.spawn(ORIGIN, command, this.state.join("sample-origin.log"), None)?;
            let marker = origin_marker(config);
            let written = Marker { pid, admin: address }.write(&marker);
            written.map_err(|error| Failure::file("write", &marker, &error, STATE))?;
        }
        let mut ids = config.network.node_ids();
        ids.sort_by_key(|id| config.network.node(id).is_some_and(|node| node.edge.is_none()));
        ids.iter().try_for_each(|id| this.start_node(id))?;
        Ok(this)
    }

    fn start_node(&mut self, id: &NodeId) -> Result<(), Failure> {
        let home = self.state.join(id.as_str());
        std::fs::create_dir_all(&home).map_err(|error| Failure::file("make", &home, &error, STATE))?;
        let marker = Marker::path(&self.state, id);
        let _ = std::fs::remove_file(&marker);
        let mut command = Command::new(&self.program);
        command.arg("run").args(self.arguments(id.as_str()));
        self.spawn(id.as_str(), command, home.join("hither.log"), Some(marker))?;
        Ok(())
    }

    fn arguments(&self, id: &str) -> [String; 6] {
        ["--config", &self.dir.display().to_string(), "--node", id, "--admin", "127.0.0.1:0"].map(str::to_owned)
    }

    /// In a process group of its own, so that Ctrl-C reaches `up` alone, which then ends all in order.
    fn spawn(
        &mut self,
        name: &str,
        mut command: Command,
        log: PathBuf,
        marker: Option<PathBuf>,
    ) -> Result<i32, Failure> {
        let fail = |error: std::io::Error| Failure::file("write", &log, &error, STATE);
        let out = OpenOptions::new().create(true).append(true).open(&log).map_err(fail)?;
        let log_start = out.metadata().map_err(fail)?.len();
        // What a supervisor of ours is told is ours to say.
        command.env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(fail)?).stderr(out).process_group(0);
        let child = command.spawn().map_err(Failure::ours)?;
        let pid = child.id().cast_signed();
        self.list.push(Process {
            name: name.to_owned(),
            marker,
            life: Life::Child(child),
            before: Vec::new(),
            log,
            log_start,
        });
        Ok(pid)
    }

    /// Returns when every node has written its marker, or one has ended.
    pub(super) async fn wait_until_ready(&mut self, config: &Config) -> Result<(), Failure> {
        let deadline = Instant::now() + READY;
        let all = config.network.node_ids().len();
        loop {
            for process in &mut self.list {
                if process.ended().is_some() {
                    return Err(Failure::operator(format!("{} did not start:\n{}", process.name, process.said())));
                }
            }
            let ready = running(&config.network).len();
            if ready == all {
                return Ok(());
            }
            if Instant::now() > deadline {
                let waited = READY.as_secs();
                return Err(Failure::operator(format!("only {ready} of {all} nodes were ready after {waited} s")));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says which node has died and how to start it again, which is back, and which another process serves now; does nothing
    /// about it.
    pub(super) fn tell_deaths(&mut self) {
        let (program, dir) = (self.program.display().to_string(), self.dir.clone());
        for process in &mut self.list {
            if let Some(pid) = process.replaced() {
                say(format!("{} was taken over by another process (pid {pid})", process.name));
            } else if let Some(why) = process.ended() {
                say(format!("{} has died ({why}); start it again with:", process.name));
                let dir = dir.display();
                say(format!("  {program} run --config {dir} --node {} --admin 127.0.0.1:0 &", process.name));
            } else if let Some(pid) = process.adopt() {
                say(format!("{} is back (pid {pid})", process.name));
            }
        }
        self.leaving.retain_mut(|process| process.ended().is_none());
    }

    /// Starts the nodes that a config adds, and stops those it no longer has. A node that cannot be
    /// started is told: the others go on.
    pub(super) fn follow(&mut self, config: &Config) {
        let ids = config.network.node_ids();
        let is_gone = |process: &Process| process.marker.is_some() && !ids.iter().any(|id| id.as_str() == process.name);
        let (gone, stay): (Vec<Process>, Vec<Process>) = std::mem::take(&mut self.list).into_iter().partition(is_gone);
        self.list = stay;
        for process in gone {
            process.signal(Signal::SIGTERM);
            say(format!("{} has left the config: stopped", process.name));
            self.leaving.push(process);
        }
        for id in ids {
            if !self.list.iter().any(|process| process.name == id.as_str()) {
                match self.start_node(&id) {
                    Ok(()) => say(format!("{id} is new: started")),
                    Err(failure) => say(format!("{id} is new, but cannot be started: {failure}")),
                }
            }
        }
    }

    /// Tells every node to read its config again.
    pub(super) fn hang_up(&self) {
        self.list.iter().filter(|process| process.marker.is_some()).for_each(|node| node.signal(Signal::SIGHUP));
    }

    /// Ends all, soon and in order, the stubborn by force: nobody is to be sent anywhere else.
    pub(super) async fn end(&mut self) {
        self.list.append(&mut self.leaving);
        self.list.iter().for_each(Process::end);
        let deadline = Instant::now() + ENDING;
        while self.list.iter_mut().any(Process::lives) && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.list.iter().for_each(|process| process.signal(Signal::SIGKILL));
    }
}

/// Whatever ends `up` ends its nodes.
impl Drop for Processes {
    fn drop(&mut self) {
        self.list.iter().for_each(Process::end);
    }
}

impl Process {
    /// Ends it without waiting for anybody: a node takes no leave of name servers.
    fn end(&self) {
        for before in &self.before {
            let _ = kill(Pid::from_raw(before.id().cast_signed()), Signal::SIGKILL);
        }
        self.signal(if self.marker.is_some() { Signal::SIGINT } else { Signal::SIGTERM });
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.pid() {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }

    fn pid(&self) -> Option<i32> {
        match &self.life {
            Life::Child(child) => Some(child.id().cast_signed()),
            Life::Adopted(pid) => Some(*pid),
            Life::Ended => None,
        }
    }

    /// The process that has taken over from this one, if one has since the last call.
    fn replaced(&mut self) -> Option<i32> {
        self.before.retain_mut(|before| matches!(before.try_wait(), Ok(None)));
        let own = self.pid()?;
        let pid = Marker::read(self.marker.as_deref()?)?.pid;
        if pid == own {
            return None;
        }
        if let Life::Child(before) = std::mem::replace(&mut self.life, Life::Adopted(pid)) {
            self.before.push(before);
        }
        Some(pid)
    }

    /// Why it has ended, if it has since the last call.
    fn ended(&mut self) -> Option<String> {
        let why = match &mut self.life {
            Life::Child(child) => why(child.try_wait().ok()??),
            Life::Adopted(pid) => {
                let found = self.marker.as_deref().and_then(Marker::read);
                if found.is_some_and(|marker| marker.pid == *pid) {
                    return None;
                }
                "gone".to_owned()
            }
            Life::Ended => return None,
        };
        self.life = Life::Ended;
        Some(why)
    }

    fn lives(&mut self) -> bool {
        let _ = self.ended();
        !matches!(self.life, Life::Ended)
    }

    /// Takes in a process that the operator has started in place of one that ended.
    fn adopt(&mut self) -> Option<i32> {
        if !matches!(self.life, Life::Ended) {
            return None;
        }
        let pid = Marker::read(self.marker.as_deref()?)?.pid;
        self.life = Life::Adopted(pid);
        Some(pid)
    }

    /// The last lines it wrote since its start.
    fn said(&self) -> String {
        let said = std::fs::read(&self.log).unwrap_or_default();
        let said = said.get(usize::try_from(self.log_start).unwrap_or(0)..).unwrap_or_default();
        let said = String::from_utf8_lossy(said);
        let lines: Vec<&str> = said.lines().collect();
        lines.iter().skip(lines.len().saturating_sub(TAIL)).copied().collect::<Vec<_>>().join("\n")
    }
}

fn why(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "unknown".to_owned(),
    }
}
