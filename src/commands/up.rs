//! `hither up`: every node of a directory on this machine, each its own process.

use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use admin::Admin;
use config::Config;
use listen::{Handler, Mount, Mounts, Server, Sharing, Stop, bind_tcp};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Up;
use crate::exit::{Done, Exit, Failure};
use crate::node::{Marker, running};
use crate::{demo, directory};

mod fleet;
mod hints;

use fleet::FleetFacts;

/// Time for all nodes to be ready: 26 processes on one slow core.
const READY: Duration = Duration::from_secs(60);
/// Time for a node to finish its requests, two seconds above its own limit.
const ENDING: Duration = Duration::from_secs(12);

pub(crate) fn run(args: Up, dir: Option<PathBuf>) -> Done {
    let named = args.directory.or(dir);
    let is_demo = named.is_none();
    let dir = named.unwrap_or_else(|| PathBuf::from("hither-demo"));
    if is_demo {
        demo::write(&dir)?;
    }
    let dir = std::fs::canonicalize(&dir).map_err(|error| Failure::operator(format!("{}: {error}", dir.display())))?;
    let config = directory::load(&dir)?;
    refuse_if_running(&config)?;
    let socket =
        bind_tcp(config.network.admin.listen, Sharing::Alone).map_err(|error| Failure::operator(error.to_string()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(Failure::ours)?;
    runtime.block_on(serve(&dir, config, socket))
}

/// What the sample origin's process is called.
const ORIGIN: &str = "sample-origin";

/// Where the sample origin is found again.
fn origin_marker(config: &Config) -> PathBuf {
    config.network.state.join("sample-origin.json")
}

/// Nodes that an `up` left behind when it was killed still serve: say which, and how to end them.
fn refuse_if_running(config: &Config) -> Result<(), Failure> {
    let origin = Marker::read(&origin_marker(config)).map(|marker| (ORIGIN.to_owned(), marker.pid));
    let nodes = running(config).into_iter().map(|node| (node.id.to_string(), node.marker.pid));
    let (names, pids): (Vec<String>, Vec<String>) =
        nodes.chain(origin).map(|(name, pid)| (name, pid.to_string())).unzip();
    if names.is_empty() {
        return Ok(());
    }
    Err(Failure::operator(format!(
        "{} processes of an earlier `up` still run: {}\nstop them with: kill {}",
        names.len(),
        names.join(", "),
        pids.join(" ")
    )))
}

async fn serve(dir: &Path, config: Config, socket: std::net::TcpListener) -> Done {
    let begun = Instant::now();
    let mut fleet = Processes::start(dir, &config)?;
    let facts = Arc::new(FleetFacts::new(dir.to_owned(), config.clone()));
    let api: Arc<dyn Handler> = Arc::new(Admin::new(facts, config.network.admin.token.clone()));
    let mounts = Arc::new(Mounts::new(vec![Mount { path: "/", handler: api }]));
    let connections = prometheus::IntGauge::new("connections", "Open connections.").map_err(Failure::ours)?;
    let server = Server::new(socket, mounts, None, connections).map_err(Failure::ours)?;
    let stop = Stop::new();
    tokio::spawn(server.serve(stop.clone()));
    let mut terminate = signal(SignalKind::terminate()).map_err(Failure::ours)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(Failure::ours)?;
    let watching = tokio::spawn(hints::follow_config(dir.to_owned()));
    let lived = async {
        fleet.wait_until_ready(&config).await?;
        println!("{} nodes are ready after {:.1} s", config.network.node_ids().len(), begun.elapsed().as_secs_f64());
        hints::print(&config);
        fleet.tell_deaths(dir).await
    };
    let ended = tokio::select! {
        ended = lived => ended,
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    };
    watching.abort();
    stop.stop();
    fleet.end().await;
    ended.map(|()| Exit::Done)
}

/// The nodes' processes, and the sample origin's.
struct Processes {
    list: Vec<Process>,
}

struct Process {
    name: String,
    child: Child,
    dead: Option<ExitStatus>,
    log: PathBuf,
}

impl Processes {
    /// Edges first, so that the first probes find them.
    fn start(dir: &Path, config: &Config) -> Result<Self, Failure> {
        let program = std::env::current_exe().map_err(Failure::ours)?;
        let mut this = Self { list: Vec::new() };
        if let Some((files, address)) = demo::sample_origin(config) {
            let log = config.network.state.join("sample-origin.log");
            let mut command = Command::new(&program);
            command.arg("sample-origin").arg(files).arg("--listen").arg(address.to_string());
            let pid = this.spawn(ORIGIN, command, &log)?;
            let marker = origin_marker(config);
            let written = Marker { pid, admin: address }.write(&marker);
            written.map_err(|error| Failure::operator(format!("{}: {error}", marker.display())))?;
        }
        let mut ids = config.network.node_ids();
        ids.sort_by_key(|id| config.network.node(id).is_some_and(|node| node.edge.is_none()));
        for id in ids {
            let home = config.network.state.join(id.as_str());
            std::fs::create_dir_all(&home)
                .map_err(|error| Failure::operator(format!("{}: {error}", home.display())))?;
            let _ = std::fs::remove_file(Marker::path(&config.network.state, &id));
            let mut command = Command::new(&program);
            command.arg("run").arg("--config").arg(dir).arg("--node").arg(id.as_str()).args(["--admin", "127.0.0.1:0"]);
            this.spawn(id.as_str(), command, &home.join("hither.log"))?;
        }
        Ok(this)
    }

    /// In a process group of its own, so that Ctrl-C reaches `up` alone, which then ends all in order.
    fn spawn(&mut self, name: &str, mut command: Command, log: &Path) -> Result<i32, Failure> {
        let fail = |error: std::io::Error| Failure::operator(format!("{}: {error}", log.display()));
        let out = OpenOptions::new().create(true).append(true).open(log).map_err(fail)?;
        command.stdin(Stdio::null()).stdout(out.try_clone().map_err(fail)?).stderr(out).process_group(0);
        let child = command.spawn().map_err(Failure::ours)?;
        let pid = child.id().cast_signed();
        self.list.push(Process { name: name.to_owned(), child, dead: None, log: log.to_owned() });
        Ok(pid)
    }

    /// Returns when every node has written its marker, or one has ended.
    async fn wait_until_ready(&mut self, config: &Config) -> Result<(), Failure> {
        let deadline = Instant::now() + READY;
        let all = config.network.node_ids().len();
        loop {
            self.reap();
            if let Some(process) = self.list.iter().find(|process| process.dead.is_some()) {
                let said = std::fs::read_to_string(&process.log).unwrap_or_default();
                let tail: Vec<&str> = said.lines().rev().take(12).collect();
                let tail: Vec<&str> = tail.into_iter().rev().collect();
                return Err(Failure::operator(format!("{} did not start:\n{}", process.name, tail.join("\n"))));
            }
            let ready = running(config).len();
            if ready == all {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(Failure::operator(format!(
                    "only {ready} of {all} nodes were ready after {} s",
                    READY.as_secs()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Says which node has died and how to start it again; does not do it.
    async fn tell_deaths(&mut self, dir: &Path) -> Result<(), Failure> {
        let program = std::env::current_exe().map_err(Failure::ours)?;
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            for (name, status) in self.reap() {
                println!("{name} has died ({}); start it again with:", why(status));
                println!("  {} run --config {} --node {name} --admin 127.0.0.1:0", program.display(), dir.display());
            }
        }
    }

    /// Notes processes that have ended since the last call.
    fn reap(&mut self) -> Vec<(String, ExitStatus)> {
        let mut ended = Vec::new();
        for process in self.list.iter_mut().filter(|process| process.dead.is_none()) {
            if let Ok(Some(status)) = process.child.try_wait() {
                process.dead = Some(status);
                ended.push((process.name.clone(), status));
            }
        }
        ended
    }

    /// Ends all, in order, the stubborn by force.
    async fn end(&mut self) {
        self.signal(Signal::SIGTERM);
        let deadline = Instant::now() + ENDING;
        while self.list.iter().any(|process| process.dead.is_none()) && Instant::now() < deadline {
            self.reap();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.signal(Signal::SIGKILL);
        self.reap();
    }

    fn signal(&self, signal: Signal) {
        for process in self.list.iter().filter(|process| process.dead.is_none()) {
            if let Ok(pid) = i32::try_from(process.child.id()) {
                let _ = kill(Pid::from_raw(pid), signal);
            }
        }
    }
}

/// Whatever ends `up` ends its nodes.
impl Drop for Processes {
    fn drop(&mut self) {
        self.signal(Signal::SIGTERM);
    }
}

fn why(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("exit code {code}"),
        (None, None) => "unknown".to_owned(),
    }
}
