//! `hither up` on an operator's own directory: nodes come and go with the config.

use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{HITHER, Network, Process, Signal, dig, run, signal, wait_for};
use crate::upgrade::take_over;

/// An origin that nobody asks.
pub(crate) const NO_ORIGIN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9);

/// A running `up`.
pub(crate) struct Up {
    pub(crate) network: Network,
    process: Option<Process>,
}

impl Up {
    fn start(number: u8) -> Self {
        Self::of(Network::new(number, NO_ORIGIN, ""), 2)
    }

    /// Starts all nodes of a network, which are so many.
    pub(crate) fn of(network: Network, nodes: usize) -> Self {
        let log = fs::File::create(network.path("up.log")).unwrap();
        let child = Command::new(HITHER)
            .arg("up")
            .arg(network.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        let this = Self { network, process: Some(Process(child)) };
        this.says(&format!("{nodes} nodes are ready"));
        this
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().0.id()
    }

    fn said(&self) -> String {
        fs::read_to_string(self.network.path("up.log")).unwrap_or_default()
    }

    /// Waits until `up` has said this.
    fn says(&self, what: &str) {
        wait_for(Duration::from_secs(15), what, || {
            let said = self.said();
            if said.contains(what) { Ok(()) } else { Err(said) }
        });
    }

    fn edit(&self, change: impl FnOnce(String) -> String) {
        self.network.edit(change);
    }

    fn cli(&self, args: &[&str]) -> String {
        self.network.hither(args).0
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if let Some(mut up) = self.process.take() {
            signal(up.0.id(), Signal::SIGTERM);
            let _ = up.0.wait();
        }
    }
}

fn listens(address: SocketAddr) -> bool {
    TcpStream::connect(address).is_ok()
}

#[test]
fn an_edge_that_is_added_starts_and_one_that_is_removed_stops() {
    let up = Up::start(60);
    let before = fs::read_to_string(up.network.path("hither.toml")).unwrap();
    let added = SocketAddr::from(([127, 0, 2, 160], 8100));
    up.edit(|text| format!("{text}[[pop.edge]]\nid = \"one-2\"\naddresses = [\"127.0.2.160\"]\n"));
    up.says("one-2 is new: started");
    wait_for(Duration::from_secs(5), "the new edge listens", || if listens(added) { Ok(()) } else { Err(up.said()) });
    wait_for(Duration::from_secs(5), "DNS names it", || {
        let answer = dig("@127.0.2.60", 5400, &["shop.cdn.example", "+short"]);
        if answer.contains("127.0.2.160") { Ok(()) } else { Err(answer) }
    });
    up.edit(|_| before);
    up.says("one-2 has left the config: stopped");
    wait_for(Duration::from_secs(15), "it has ended", || if listens(added) { Err(up.said()) } else { Ok(()) });
    assert!(!up.said().contains("has died"), "{}", up.said());
}

#[test]
fn a_hangup_reloads_and_a_second_up_is_told_of_the_first() {
    let up = Up::start(61);
    signal(up.pid(), Signal::SIGHUP);
    up.says("config loaded by 2 nodes");
    // As an editor does that has a file open, or a person who keeps notes.
    for beside in ["sites/.shop.toml.swp", "notes.txt"] {
        fs::write(up.network.path(beside), "").unwrap();
    }
    let status = up.cli(&["status"]);
    assert!(status.contains(" newest ") && !status.contains(" behind "), "{status}");
    let second = up.cli(&["up"]);
    assert!(second.contains(&format!("`hither up` already runs here (pid {},", up.pid())), "{second}");
    let metrics = run("curl", &["-s", "http://127.0.2.61:9400/metrics"]);
    for series in ["hither_edge_up{node=\"ns1\",edge=\"one-1\"} 1", "hither_connections{node=\"one-1\"}"] {
        assert!(metrics.contains(series), "{series}\n{metrics}");
    }
    assert_eq!(metrics.matches("# TYPE hither_connections ").count(), 1, "{metrics}");
}

#[test]
fn a_changed_port_is_opened_and_the_old_one_closed() {
    let up = Up::start(62);
    let (old, new) = (up.network.edge, SocketAddr::from(([127, 0, 2, 62], 8101)));
    up.edit(|text| text.replace("http = 8100", "http = 8101"));
    up.says("config loaded by 2 nodes");
    assert!(listens(new) && !listens(old));
    std::thread::sleep(Duration::from_secs(1));
    assert!(up.cli(&["status"]).lines().any(|line| line.starts_with("one-1  running  up")), "{}", up.cli(&["status"]));

    // A port that cannot be had: the node says so, and keeps what it has.
    let _holder = std::net::TcpListener::bind("127.0.2.62:8102").unwrap();
    up.edit(|text| text.replace("http = 8101", "http = 8102"));
    up.says("one-1 keeps the config before: cannot listen on 127.0.2.62:8102 (TCP)");
    assert!(listens(new));
}

#[test]
fn a_port_changes_its_use_and_comes_back_while_requests_are_open() {
    let up = Up::start(66);
    // An origin that takes requests and never answers.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    up.network.write_site(silent.local_addr().unwrap(), "");
    up.says("config loaded by 2 nodes");
    let mut asking = TcpStream::connect(up.network.edge).unwrap();
    asking.write_all(b"GET / HTTP/1.1\r\nhost: www.shop.example\r\n\r\n").unwrap();
    let taken = silent.accept().unwrap();

    for listen in ["8177", "[\"0.0.0.0:8177\"]", "8177", "8100"] {
        let loads = |up: &Up| up.said().matches("config loaded by 2 nodes").count();
        let before = loads(&up);
        up.edit(|text| {
            let changed =
                |line: &str| if line.starts_with("http = ") { format!("http = {listen}") } else { line.into() };
            text.lines().map(changed).collect::<Vec<String>>().join("\n")
        });
        wait_for(Duration::from_secs(10), listen, || if loads(&up) > before { Ok(()) } else { Err(up.said()) });
        let stays = listen == "8100";
        wait_for(Duration::from_secs(2), "the first port is closed", || {
            if listens(up.network.edge) == stays { Ok(()) } else { Err(up.said()) }
        });
    }
    drop((asking, taken));
}

#[test]
fn a_refused_directory_is_no_bar_to_asking_the_nodes() {
    let up = Up::start(65);
    up.edit(|text| text.replace("memory = \"64MiB\"", "memory = \"64MB\"\nmemroy = \"64MiB\""));
    up.says("config refused: every node keeps the one before");
    let status = up.cli(&["status"]);
    assert!(status.contains("unknown key `memroy`"), "{status}");
    assert!(status.lines().any(|line| line.starts_with("one-1  running  up")), "{status}");
    assert!(status.contains("one-1 refused the newest config: "), "{status}");
    let explained = up.cli(&["explain", "shop.cdn.example", "--from", "192.0.2.1"]);
    assert!(explained.contains("site shop, PoP one"), "{explained}");
}

#[test]
fn a_changed_copy_beside_a_running_fleet_is_explained_by_itself() {
    let up = Up::start(76);
    // Its state directory and addresses are those of the fleet that runs.
    let copy = Network::new(76, NO_ORIGIN, "");
    let shop = fs::read_to_string(copy.path("sites/shop.toml")).unwrap();
    fs::write(copy.path("sites/blog.toml"), shop.replace("www.shop.", "www.blog.")).unwrap();
    let state = up.network.path(".state");
    copy.edit(|text| format!("state = \"{}\"\n{text}", state.display()));
    let (said, code) = copy.hither(&["explain", "blog.cdn.example", "--from", "192.0.2.1"]);
    let served = fs::canonicalize(up.network.dir.path()).unwrap();
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("site blog, PoP one") && said.contains(&format!("serves {served:?}, which is another")),
        "{said}"
    );

    // A program is told what was asked alone, and who called it why nobody was.
    let mut asked = Command::new(HITHER);
    asked.arg("-C").arg(copy.dir.path()).args(["explain", "blog.cdn.example", "--from", "192.0.2.1", "--json"]);
    let output = asked.output().unwrap();
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(told["site"], "blog", "{told}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("which is another directory: every edge is taken as up"), "{why}");

    // The same directory by another path is no copy.
    let link = tempfile::tempdir().unwrap();
    let link = link.path().join("cdn");
    std::os::unix::fs::symlink(up.network.dir.path(), &link).unwrap();
    let said = run(HITHER, &["-C", link.to_str().unwrap(), "explain", "shop.cdn.example", "--from", "192.0.2.1"]);
    assert!(said.contains("site shop, PoP one") && !said.contains("taken as up"), "{said}");

    // Files that are refused are nobody's but who serves them.
    copy.edit(|text| text.replace("memory", "memroy"));
    let (said, code) = copy.hither(&["explain", "shop.cdn.example", "--from", "192.0.2.1"]);
    assert!(code == 1 && said.contains("unknown key `memroy`") && said.contains("there is nobody to ask"), "{said}");
}

#[test]
fn a_node_that_another_process_serves_has_not_died() {
    let up = Up::start(209);
    let _new = take_over(&up.network, "one-1", 1);
    up.says("one-1 was taken over by another process");
    std::thread::sleep(Duration::from_secs(2));
    assert!(!up.said().contains("has died") && listens(up.network.edge), "{}", up.said());
    assert!(up.cli(&["status"]).lines().any(|line| line.starts_with("one-1  running  up")), "{}", up.cli(&["status"]));
    signal(up.pid(), Signal::SIGTERM);
    wait_for(Duration::from_secs(15), "it ends with the others", || {
        if listens(up.network.edge) { Err(up.said()) } else { Ok(()) }
    });
}

#[test]
fn what_needs_a_start_is_said() {
    let up = Up::start(63);
    up.edit(|text| text.replace("memory = \"64MiB\"", "memory = \"65MiB\""));
    up.says("[edge] memory has changed: it is taken at the next start");
}

#[test]
fn status_finds_nodes_whose_up_was_killed() {
    let mut up = Up::start(64);
    let process = up.process.take().unwrap();
    signal(process.0.id(), Signal::SIGKILL);
    drop(process);
    let status = up.cli(&["status"]);
    assert!(status.lines().any(|line| line.starts_with("one-1  running  up")), "{status}");
    let again = up.cli(&["up"]);
    let command = again.lines().find_map(|line| line.split("stop them with: ").nth(1)).unwrap();
    run("sh", &["-c", command]);
    wait_for(Duration::from_secs(15), "they have ended", || {
        let status = up.cli(&["status"]);
        if status.contains("nobody answers") { Ok(()) } else { Err(status) }
    });
}
