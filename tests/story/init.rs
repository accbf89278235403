//! A new user's first steps: a directory, a check, a node, a look at it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{self, HITHER, Origin, Process, Signal, get, outcome, reply, run, signal, wait_for};

/// What a command has printed, errors too, and its code.
fn hither(args: &[&str]) -> (String, i32) {
    outcome(Command::new(HITHER).args(args))
}

/// A directory as `hither init` writes it, of one node with both roles at 127.0.2.number, with ports that need no root.
fn written(outside: &Path, number: u8, origin: SocketAddr) -> PathBuf {
    let dir = outside.join("cdn");
    let name = dir.display().to_string();
    let (server, edge) = (format!("one=127.0.2.{number}"), format!("one@fra=127.0.2.{number}"));
    let site = format!("shop=www.shop.example=http://{origin}");
    let network = ["--zone", "cdn.example", "--nameserver", &server, "--pop", "fra@50.11,8.68,DE", "--edge", &edge];
    let args = [&["init", &name, "--yes", "--state", ".state", "--site", &site][..], &network[..]].concat();
    let (said, code) = hither(&args);
    assert_eq!(code, 0, "{said}");
    for line in [
        format!("hither check {name}").as_str(),
        "cdn.example.      NS  one.cdn.example.",
        &format!("one.cdn.example.  A   127.0.2.{number}"),
        "www.shop.example.  CNAME  shop.cdn.example.",
        "hither run --config /etc/hither --node one",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    let file = dir.join("hither.toml");
    let mut text = fs::read_to_string(&file).unwrap();
    for (from, to) in [
        ("http  = 80 ", "http  = 8100 ".to_owned()),
        ("https = 443 ", "https = 8143 ".to_owned()),
        ("\"127.0.0.1:9300\"", format!("\"127.0.2.{number}:9400\"")),
        (&format!("# listen = [\"127.0.2.{number}:53\"]"), format!("listen = [\"127.0.2.{number}:5400\"]")),
    ] {
        assert!(text.contains(from), "{from}\n{text}");
        text = text.replace(from, &to);
    }
    fs::write(file, text).unwrap();
    dir
}

fn start(dir: &Path) -> Process {
    support::start(dir, "one", &dir.with_extension("log"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_directory_holds_and_its_node_serves() {
    let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "from the origin")).await;
    let outside = tempfile::tempdir().unwrap();
    let dir = written(outside.path(), 231, origin.address);
    let name = dir.display().to_string();
    let (said, code) = hither(&["init", &name, "--yes", "--zone", "cdn.example"]);
    assert!(code == 1 && said.contains("has a hither.toml already"), "{said}");
    let (said, code) = hither(&["check", &name]);
    assert!(code == 0 && said.contains("good. 1 PoP, 1 edge, 1 name server, 1 site") && !said.contains('⚠'), "{said}");
    assert!(said.contains("Not looked up"), "{said}");
    // The customer's zone is served here too, so that one resolver knows all names.
    let zone =
        "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 1h 2w 5m\n@ NS ns1\nns1 A 127.0.2.231\nwww CNAME shop.cdn.example.\n";
    fs::create_dir(dir.join("zones")).unwrap();
    fs::write(dir.join("zones/shop.example"), zone).unwrap();

    let node = start(&dir);
    let got = get(([127, 0, 2, 231], 8100).into(), "/a", &[]).await.unwrap();
    assert_eq!((got.status.as_u16(), got.body.as_ref()), (200, &b"from the origin"[..]));
    wait_for(Duration::from_secs(5), "status tells of it", || {
        let (said, _) = hither(&["-C", &name, "status"]);
        if said.lines().any(|line| line.starts_with("one   running  up")) { Ok(()) } else { Err(said) }
    });
    let online = ["check", &name, "--online", "--resolver", "127.0.2.231:5400"];
    let (said, code) = hither(&online);
    assert!(code == 0 && said.contains("1 address of an edge and 2 names: edges are reached"), "{said}");

    drop(node);
    let (said, code) = hither(&online);
    assert!(
        code == 0 && said.contains("nobody answers at 127.0.2.231:8100, where name servers probe edge `one`"),
        "{said}"
    );
    assert!(said.contains("zone `cdn.example` could not be looked up"), "{said}");
    assert!(said.contains("whether `www.shop.example` of site `shop` leads here could not be looked up"), "{said}");
}

#[test]
fn a_watch_prints_looks_and_a_terminal_is_put_back() {
    let outside = tempfile::tempdir().unwrap();
    let dir = written(outside.path(), 232, ([127, 0, 0, 1], 9).into());
    let name = dir.display().to_string();
    let node = start(&dir);

    let mut command = Command::new(HITHER);
    command.args(["-C", &name, "status", "--watch"]).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut watch = Process(command.spawn().unwrap());
    let mut lines = BufReader::new(watch.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    for _ in 0..2 {
        let title = lines.by_ref().find(|line| line.contains("nodes answer here")).unwrap();
        assert!(title.contains("1 of 1 nodes answer here") && !title.contains('\x1b'), "{title}");
        assert!(lines.next().unwrap().starts_with("node  state"));
        assert!(lines.next().unwrap().starts_with("one   running"));
    }
    drop(node);
    lines.by_ref().find(|line| line.contains("NOBODY ANSWERS") || line.contains("not running for")).unwrap();
    signal(watch.0.id(), Signal::SIGINT);
    assert!(watch.0.wait().unwrap().success());

    let _node = start(&dir);
    let terminal = "export TERM=xterm; stty rows 8 cols 60";
    let watch = format!("{terminal}; timeout --foreground -s QUIT 5 {HITHER} -C {name} status --watch");
    let shown = run("script", &["-qec", &watch, "/dev/null"]);
    let place = |what: &str| shown.rfind(what).unwrap_or_else(|| panic!("{what:?} is not in {shown:?}"));
    assert!(place("\x1b[?25l") < place("1 of 1 nodes") && place("1 of 1 nodes") < place("\x1b[?25h"), "{shown:?}");
    assert!(place("\x1b[?25h") < place("\x1b[?1049l"), "{shown:?}");
    let headings = shown.matches("uptime").count();
    assert_eq!(headings, 1, "what does not change is drawn once\n{shown:?}");
    let widest = shown.split("\x1b[K").map(|drawn| drawn.rsplit('H').next().unwrap_or_default().chars().count()).max();
    assert!(widest <= Some(60 + "\x1b[1m\x1b[0m".len()), "{widest:?}\n{shown:?}");

    // A terminal that takes no orders is given none.
    let watch = format!("export TERM=dumb; timeout --foreground -s INT 5 {HITHER} -C {name} status --watch");
    let shown = run("script", &["-qec", &watch, "/dev/null"]);
    assert!(shown.contains("1 of 1 nodes answer here") && !shown.contains('\x1b'), "{shown:?}");
}

#[test]
fn keys_are_not_drawn_into_the_table_and_q_ends_it() {
    let outside = tempfile::tempdir().unwrap();
    let dir = written(outside.path(), 233, ([127, 0, 0, 1], 9).into());
    let _node = start(&dir);
    let watch = format!(
        "export TERM=xterm; stty rows 8 cols 60; timeout --foreground 20 {HITHER} -C {} status --watch; echo code $?; stty -a",
        dir.display()
    );
    let mut script = Command::new("script");
    script.args(["-qec", &watch, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = Process(script.spawn().unwrap());
    let (mut keys, mut screen) = (script.0.stdin.take().unwrap(), script.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("1 of 1 nodes") {
        let mut some = [0; 4096];
        let count = screen.read(&mut some).unwrap();
        assert!(count > 0, "it ended: {shown:?}");
        shown.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    keys.write_all(b"typed\nq").unwrap();
    let mut rest = String::new();
    screen.read_to_string(&mut rest).unwrap();
    assert!(rest.contains("code 0") && !rest.contains("typed"), "{rest:?}");
    let after: Vec<&str> = rest.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    assert!(after.contains(&"echo") && after.contains(&"icanon"), "keys are shown again\n{rest:?}");
}

#[test]
fn a_watch_that_begins_in_the_background_gives_back_the_modes_of_the_foreground() {
    let outside = tempfile::tempdir().unwrap();
    let dir = written(outside.path(), 237, ([127, 0, 0, 1], 9).into());
    // A shell that edits its line has other modes than those that it gives to its jobs.
    let job = format!("{HITHER} -C {} status --watch; stty -a", dir.display());
    let shell = format!("set -m; stty -icanon -echo; sh -c \"{job}\" & sleep 3; stty icanon echo; fg");
    let mut script = Command::new("script");
    let terminal = format!("export TERM=xterm; stty rows 8 cols 60; exec bash -c '{shell}'");
    script.args(["-qec", &terminal, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut script = Process(script.spawn().unwrap());
    let (mut keys, mut screen) = (script.0.stdin.take().unwrap(), script.0.stdout.take().unwrap());
    let mut shown = String::new();
    while !shown.contains("\x1b[?1049h") {
        let mut some = [0; 4096];
        let count = screen.read(&mut some).unwrap();
        assert!(count > 0, "it ended: {shown:?}");
        shown.push_str(&String::from_utf8_lossy(&some[..count]));
    }
    keys.write_all(b"q").unwrap();
    let mut rest = String::new();
    screen.read_to_string(&mut rest).unwrap();
    let after: Vec<&str> = rest.split_whitespace().map(|word| word.trim_end_matches(';')).collect();
    assert!(after.contains(&"echo") && after.contains(&"icanon"), "{rest:?}");
}

#[test]
fn who_has_nothing_yet_is_told_where_to_begin() {
    let outside = tempfile::tempdir().unwrap();
    let missing = outside.path().join("cdn").display().to_string();
    for (args, expected) in [
        (&["up", &missing][..], "`hither init "),
        (&["check", &missing], "`hither init DIR` writes one"),
        (&["-C", &missing, "status"], "`hither init DIR` writes one"),
        (&["init", &missing], "an option is missing, such as --zone cdn.example"),
        (&["init", &missing, "--zone", "cdn.example"], "such as --nameserver ns1=192.0.2.53"),
        (&["init", &missing, "--pop", "fra@8.68"], "degrees north, then degrees east"),
        (&["map", "bench", "--matrix", &missing], "No such file or directory; name a file as"),
    ] {
        let (said, code) = hither(args);
        assert!(code == 1 && said.contains(expected), "{args:?}: {expected}\n{said}");
        assert!(!said.contains("os error"), "{args:?}\n{said}");
    }
    assert!(!outside.path().join("cdn").exists());
}

#[test]
fn bash_takes_its_completions() {
    let (script, code) = hither(&["completions", "bash"]);
    assert_eq!(code, 0);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hither.bash").display().to_string();
    fs::write(&file, script).unwrap();
    assert_eq!(run("bash", &["-n", &file]), "");
    let words = "COMP_WORDS=(hither dr); COMP_CWORD=1; _hither hither dr hither; echo \"${COMPREPLY[@]}\"";
    let said = run("bash", &["-c", &format!("source {file}; complete -p hither; {words}")]);
    assert!(said.contains("complete ") && said.contains("hither"), "{said}");
    assert!(said.lines().last().unwrap().contains("drain"), "{said}");
}
