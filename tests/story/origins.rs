//! Origins of several servers, some of which die.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::support::{HITHER, Network, Origin, Process, get, reply, run, wait_for};

/// An nginx of a story's own, which says its name and what credentials it was shown.
struct Nginx {
    process: Process,
    address: SocketAddr,
}

impl Nginx {
    fn start(home: &Path, name: &str, address: SocketAddr) -> Self {
        let home = home.join(name);
        fs::create_dir_all(&home).unwrap();
        let at = home.display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {at}/{kind};"));
        // In the foreground and in one process: a signal ends all of it.
        let config = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/error.log;\nevents {{ }}\n\
             http {{ access_log off; {} server {{ listen {address};\n\
             location / {{ add_header X-Server {name}; return 200 \"$http_authorization\\n\"; }} }} }}\n",
            temporary.concat()
        );
        let path = home.join("nginx.conf");
        fs::write(&path, config).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-e").arg(home.join("error.log")).arg("-p").arg(&home).arg("-c").arg(&path);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let this = Self { process: Process(child), address };
        wait_for(Duration::from_secs(10), "nginx listens", || {
            let error = || fs::read_to_string(home.join("error.log")).unwrap_or_default();
            std::net::TcpStream::connect(address).map_err(|_| error())
        });
        this
    }
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Writes the site's origin with these servers.
fn write(network: &Network, servers: &[SocketAddr], rest: &str) {
    let servers: Vec<String> = servers.iter().map(|server| format!("\"http://{server}\"")).collect();
    let site = format!(
        "hosts = [\"www.shop.example\"]\n[origin]\nservers = [{}]\nallow_private = true\n{rest}\n",
        servers.join(", ")
    );
    fs::write(network.path("sites/shop.toml"), site).unwrap();
}

#[test]
fn one_of_two_servers_dies_under_load_and_no_request_notices() {
    let network = Network::new(182, free(), "");
    let (one, two) = (free(), free());
    let mut first = Some(Nginx::start(network.dir.path(), "one", one));
    let second = Nginx::start(network.dir.path(), "two", two);
    write(&network, &[one, second.address], "weights = [1, 1]\n[[rule]]\nbypass = true\n");
    let _edge = network.start("one-1");
    let (stop, asked) = (AtomicBool::new(false), [AtomicUsize::new(0), AtomicUsize::new(0)]);
    let status = || run(HITHER, &["-C", &network.dir.path().display().to_string(), "status"]);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    runtime().block_on(async {
                        while !stop.load(Ordering::Relaxed) {
                            let got = get(network.edge, "/", &[]).await.expect("an answer");
                            assert_eq!(got.status, 200, "{got:?}");
                            let by = usize::from(got.header("x-server") == "two");
                            asked[by].fetch_add(1, Ordering::Relaxed);
                        }
                    });
                })
            })
            .collect();
        let both = || asked.iter().map(|count| count.load(Ordering::Relaxed)).collect::<Vec<_>>();
        let grows = |before: &[usize]| both().iter().zip(before).all(|(now, then)| *now > then + 100);
        let wait = |what, check: &dyn Fn() -> bool| {
            wait_for(Duration::from_secs(20), what, || if check() { Ok(()) } else { Err(format!("{:?}", both())) })
        };
        wait("both take requests", &|| grows(&[0, 0]));
        first.take().into_iter().for_each(|one| drop(one.process));
        let before = both();
        wait("the other takes all", &|| both()[1] > before[1] + 500);
        let said = status();
        assert!(
            said.contains(&format!("one-1 takes nothing for site shop from http://{one}: it is left alone")),
            "{said}"
        );
        first = Some(Nginx::start(network.dir.path(), "one", one));
        let before = both();
        wait("it takes its share again", &|| grows(&before));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().for_each(|client| client.join().expect("no request failed"));
    });
    assert!(!status().contains("takes nothing"), "{}", status());
}

#[test]
fn a_server_whose_probes_fail_takes_no_requests_and_secrets_go_along() {
    let network = Network::new(183, free(), "");
    let (one, two) = (free(), free());
    let first = Nginx::start(network.dir.path(), "one", one);
    let _second = Nginx::start(network.dir.path(), "two", two);
    fs::write(network.path("secrets/origin.auth"), "Bearer of-the-edges-alone\n").unwrap();
    let rest = "secret_headers = { Authorization = \"origin.auth\" }\n\
                [origin.probe]\npath = \"/\"\ninterval = \"100ms\"\n[[rule]]\nbypass = true\n";
    write(&network, &[one, two], rest);
    let _edge = network.start("one-1");
    let runtime = runtime();
    let ask = || runtime.block_on(get(network.edge, "/", &[("authorization", "Basic of-a-client")])).unwrap();
    let got = ask();
    assert_eq!((got.header("x-server").as_str(), &got.body[..]), ("one", &b"Bearer of-the-edges-alone\n"[..]));
    drop(first);
    wait_for(Duration::from_secs(10), "its probes fail", || {
        let log = network.log("one-1");
        if log.contains("the origin server's probes fail") { Ok(()) } else { Err(log) }
    });
    assert_eq!(ask().header("x-server"), "two");
    let said = run(HITHER, &["-C", &network.dir.path().display().to_string(), "status"]);
    assert!(said.contains(&format!("one-1 takes nothing for site shop from http://{one}: its probes fail")), "{said}");
    let _first = Nginx::start(network.dir.path(), "one", one);
    wait_for(Duration::from_secs(10), "it is asked again", || {
        let by = ask().header("x-server");
        if by == "one" { Ok(()) } else { Err(by) }
    });
    let explained =
        run(HITHER, &["-C", &network.dir.path().display().to_string(), "explain", "--url", "http://www.shop.example/"]);
    assert!(explained.contains("shop"), "{explained}");
    assert!(
        !explained.contains("of-the-edges-alone") && !network.log("one-1").contains("of-the-edges-alone"),
        "{explained}"
    );
}

#[tokio::test]
async fn a_store_gets_signed_requests_and_nothing_that_a_client_signs() {
    let store = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "an object")).await;
    let rest = "host = \"shop.s3.example\"\n\
                aws = { region = \"eu-central-1\", key_id = \"AKIAIOSFODNN7EXAMPLE\", secret = { file = \"store.key\" } }";
    let network = Network::new(196, store.address, rest);
    fs::write(network.path("secrets/store.key"), "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY\n").unwrap();
    let _edge = network.start("one-1");
    let clients = [("authorization", "Basic of-a-client"), ("x-amz-copy-source", "/another/object")];
    let got = get(network.edge, "/a,b.txt", &clients).await.unwrap();
    assert_eq!((got.status.as_u16(), &got.body[..]), (200, &b"an object"[..]), "{got:?}");
    let sent = store.last();
    let said = sent.get("authorization").unwrap().to_str().unwrap();
    assert!(said.starts_with("AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/"), "{said}");
    let signed = "/eu-central-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=";
    assert!(said.contains(signed), "{said}");
    assert_eq!(sent.get("host").unwrap(), "shop.s3.example");
    assert!(!sent.contains_key("x-amz-copy-source"), "{sent:?}");
    let got = get(network.edge, "/a,b.txt", &[]).await.unwrap();
    assert_eq!((&got.body[..], store.requests()), (&b"an object"[..], 1), "what a key has drawn is stored for all");
    let explained =
        run(HITHER, &["-C", &network.dir.path().display().to_string(), "explain", "--url", "http://www.shop.example/"]);
    assert!(!explained.contains("EXAMPLEKEY") && !network.log("one-1").contains("EXAMPLEKEY"), "{explained}");
}
