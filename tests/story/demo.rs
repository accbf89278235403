//! The demo as a new user has it: `hither up`, `dig`, `curl`, an editor, `kill`.

use std::fs;
use std::net::IpAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::page::{play, steps};
use crate::support::{HITHER, Process, Signal, addresses, dig, run, runs, signal, wait_for};

/// A running demo in a directory of its own.
struct Demo {
    dir: tempfile::TempDir,
    up: Option<Process>,
}

impl Demo {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut this = Self { dir, up: None };
        this.up();
        this
    }

    fn up(&mut self) {
        let log = fs::File::create(self.dir.path().join("up.log")).unwrap();
        let child = Command::new(HITHER)
            .arg("up")
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .process_group(0)
            .spawn()
            .unwrap();
        self.up = Some(Process(child));
        wait_for(Duration::from_secs(60), "the demo is ready", || {
            let said = self.said();
            if said.contains("nodes are ready") { Ok(()) } else { Err(said) }
        });
    }

    fn said(&self) -> String {
        fs::read_to_string(self.dir.path().join("up.log")).unwrap_or_default()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join("hither-demo").join(name)
    }

    fn pid(&self, node: &str) -> u32 {
        let marker = fs::read_to_string(self.path(&format!(".state/{node}/node.json"))).unwrap();
        serde_json::from_str::<serde_json::Value>(&marker).unwrap()["pid"].as_i64().unwrap().try_into().unwrap()
    }

    fn kill(&self, node: &str) {
        signal(self.pid(node), Signal::SIGKILL);
    }

    fn ask(&self, args: &[&str]) -> String {
        let mut all = vec!["www.shop.example"];
        all.extend(args);
        dig("@127.0.0.1", 5300, &all)
    }

    /// What a command prints that is typed beside the demo, and its code.
    fn type_in(&self, command: &str) -> (String, i32) {
        let here = Path::new(HITHER).parent().unwrap().display();
        let path = format!("{here}:{}", std::env::var("PATH").unwrap());
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.dir.path()).env("PATH", &path);
        let output = shell.output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        (String::from_utf8_lossy(&said).into_owned(), output.status.code().unwrap_or(-1))
    }

    fn origin_requests(&self) -> usize {
        fs::read_to_string(self.path(".state/sample-origin.log")).unwrap_or_default().lines().count()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Some(mut up) = self.up.take() {
            signal(up.0.id(), Signal::SIGTERM);
            let _ = up.0.wait();
        }
    }
}

/// The PoP of a demo address: 127.0.1.61 is the sixth's.
fn pop(address: IpAddr) -> &'static str {
    const POPS: [&str; 12] = ["iad", "dfw", "lax", "gru", "lhr", "fra", "jnb", "dxb", "bom", "sin", "nrt", "syd"];
    let IpAddr::V4(v4) = address else { panic!("{address}") };
    POPS[usize::from(v4.octets()[3] / 10) - 1]
}

#[test]
fn the_nearest_edge_answers_and_serves() {
    let demo = Demo::start();
    for (subnet, expected) in [("193.0.6.0/24", "fra"), ("202.12.29.0/24", "syd"), ("200.160.2.0/24", "gru")] {
        let answer = demo.ask(&[&format!("+subnet={subnet}")]);
        assert!(answer.contains("CNAME	shop.cdn.example."), "{answer}");
        let scope = answer.lines().find_map(|line| line.split(&format!("CLIENT-SUBNET: {subnet}/")).nth(1)).unwrap();
        assert!((1..=24).contains(&scope.trim().parse::<u8>().unwrap()), "{answer}");
        let found = addresses(&answer);
        assert_eq!(found.len(), 2, "{answer}");
        assert!(found.iter().all(|address| pop(*address) == expected), "{answer}");
    }
    assert_eq!(pop(addresses(&demo.ask(&["-b", "127.0.66.1", "+short"]))[0]), "nrt");
    assert_eq!(pop(addresses(&demo.ask(&["-b", "127.0.55.1", "+short"]))[0]), "gru");
    let apex = dig("@127.0.0.2", 5300, &["shop.example", "+subnet=202.12.29.0/24", "+short"]);
    assert_eq!(pop(addresses(&apex)[0]), "syd", "the apex of a served zone is routed itself");

    let address = addresses(&demo.ask(&["+subnet=193.0.6.0/24"]))[0];
    let authority = demo.path(".state/demo-ca.pem").display().to_string();
    for (scheme, port) in [("http", 8080), ("https", 8443)] {
        let before = demo.origin_requests();
        let (to, url) = (format!("::{address}:{port}"), format!("{scheme}://www.shop.example/assets/shop.css"));
        let curl = || run("curl", &["-si", "--cacert", &authority, "--connect-to", &to, &url]);
        let (miss, hit) = (curl(), curl());
        assert!(miss.contains(" 200") && miss.contains(";fwd=uri-miss;fwd-status=200;stored"), "{miss}");
        assert!(hit.contains(" 200") && hit.contains(";hit;") && hit.contains("age: "), "{hit}");
        assert!(hit.contains("x-served-for: shop"));
        assert_eq!(demo.origin_requests() - before, 1, "over {scheme} the origin saw one request");
    }
    let dir = demo.path("").display().to_string();
    let explained = run(HITHER, &["-C", &dir, "explain", "www.shop.example", "--from", "193.0.6.1", "--json"]);
    let explained: serde_json::Value = serde_json::from_str(&explained).unwrap();
    assert_eq!((explained["pop"].as_str(), explained["candidates"][0]["pop"].as_str()), (Some("fra"), Some("fra")));
    let got = run(HITHER, &["-C", &dir, "get", "http://www.shop.example/", "--from", "202.12.29.1"]);
    assert!(got.contains("syd-") && got.contains("in Sydney") && got.contains("cache-status: syd-"), "{got}");
    let status = run(HITHER, &["-C", &dir, "status"]);
    assert!(
        status.lines().count() == 29 && status.lines().filter(|line| line.contains("running  up")).count() == 24,
        "{status}"
    );
}

#[test]
fn a_killed_edge_leaves_and_comes_back_and_all_down_still_answers() {
    let demo = Demo::start();
    let answer = || addresses(&demo.ask(&["+subnet=202.12.29.0/24", "+short"]));
    wait_for(Duration::from_secs(10), "both edges of Sydney", || {
        let found = answer();
        if found.len() == 2 && pop(found[0]) == "syd" { Ok(()) } else { Err(format!("{found:?}")) }
    });
    let edge: IpAddr = "127.0.1.121".parse().unwrap();
    demo.kill("syd-1");
    let (_, gone) = wait_for(Duration::from_secs(3), "no answer names the killed edge", || {
        let found = answer();
        if found.contains(&edge) { Err(format!("{found:?}")) } else { Ok(()) }
    });
    println!("a killed edge was out of DNS after {gone:?}");
    let restart =
        ["run", "--config", &demo.path("").display().to_string(), "--node", "syd-1", "--admin", "127.0.0.1:0"]
            .map(str::to_owned);
    let said = wait_for(Duration::from_secs(3), "up says so", || {
        let said = demo.said();
        if said.contains("syd-1 has died (signal 9)") { Ok(said) } else { Err(said) }
    });
    assert!(said.0.contains("--node syd-1 --admin 127.0.0.1:0"), "it prints the command that starts it again");
    let log = fs::File::create(demo.dir.path().join("syd-1.log")).unwrap();
    let again = Command::new(HITHER).args(restart).stdout(Stdio::null()).stderr(log).spawn().unwrap();
    let _again = Process(again);
    let (_, back) = wait_for(Duration::from_secs(7), "it is back", || {
        let found = answer();
        if found.contains(&edge) { Ok(()) } else { Err(format!("{found:?}")) }
    });
    println!("restarted, it was back after {back:?}");

    let edges: Vec<String> = fs::read_dir(demo.path(".state"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with("-1") || name.ends_with("-2"))
        .collect();
    assert_eq!(edges.len(), 24);
    for edge in &edges {
        demo.kill(edge);
    }
    std::thread::sleep(Duration::from_secs(4));
    let open = demo.ask(&["+subnet=202.12.29.0/24"]);
    assert!(open.contains("NOERROR") && pop(addresses(&open)[0]) == "syd", "all down is not no answer\n{open}");
}

#[test]
fn up_that_was_killed_leaves_its_nodes_serving_and_the_next_names_them() {
    let mut demo = Demo::start();
    let up = demo.up.take().unwrap();
    signal(up.0.id(), Signal::SIGKILL);
    drop(up);
    assert_eq!(addresses(&demo.ask(&["+short"])).len(), 2, "the nodes serve on");
    let again = Command::new(HITHER).arg("up").current_dir(demo.dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&again.stderr).into_owned();
    assert_eq!(again.status.code(), Some(1), "{said}");
    assert!(said.contains("27 processes of this directory run already") && said.contains("kill "), "{said}");
    let command = said.lines().find_map(|line| line.split("stop them with: ").nth(1)).unwrap();
    run("sh", &["-c", command]);
    let pids: Vec<u32> = command.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(pids.len(), 27);
    wait_for(Duration::from_secs(15), "they have ended", || {
        let left: Vec<&u32> = pids.iter().filter(|pid| runs(**pid)).collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    demo.up();
}

#[test]
fn the_caching_guide_is_true() {
    let demo = Demo::start();
    let steps = steps(include_str!("../../docs/caching.md"));
    assert!(steps.len() > 10, "{steps:?}");
    play(&steps, |step| demo.type_in(&step.command));
}

#[test]
fn the_readme_s_commands_do_what_it_says() {
    let demo = Demo::start();
    let built = demo.dir.path().join("target/release");
    fs::create_dir_all(&built).unwrap();
    std::os::unix::fs::symlink(HITHER, built.join("hither")).unwrap();
    let (_, page) = include_str!("../../README.md").split_once("In another terminal:\n\n```sh\n").unwrap();
    let (commands, page) = page.split_once("```").unwrap();
    let commands: Vec<&str> = commands.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let expected = [
        "127.0.1.61",
        "127.0.1.121",
        "127.0.1.41",
        "127.0.1.111",
        "fra-1;fwd=uri-miss",
        "fra-1;hit;",
        "HTTP/2 200",
        "site shop, PoP fra",
        "cache-status: syd-",
        "fra",
        "syd-2",
    ];
    assert_eq!(commands.len(), expected.len(), "{commands:?}");
    for (command, expected) in commands.iter().zip(expected) {
        let (said, code) = demo.type_in(command);
        assert!(code == 0 && said.contains(expected), "{command}\n{expected}\n{said}");
    }
    let rule = page.split_once("```toml\n").unwrap().1.split("```").next().unwrap();
    let site = demo.path("sites/shop.toml");
    fs::write(&site, fs::read_to_string(&site).unwrap() + "\n" + rule).unwrap();
    wait_for(Duration::from_secs(10), "the edit is live", || {
        let (said, _) = demo.type_in(commands[5]);
        if said.contains("x-hello: world") { Ok(()) } else { Err(said) }
    });
}
