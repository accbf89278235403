//! A node as its operator has it: files saved in every way, certificates, signals, ports.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use config::Secret;
use data_encoding::BASE64;
use fleet::{Credential, HEADER};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, PublicKeyData};
use sha2::{Digest, Sha256};

use crate::support::{HITHER, Network, Origin, Process, Signal, get, reply, run, signal, wait_for};

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// Waits until the edge's answer carries this value of `x-live`.
async fn live(edge: SocketAddr, value: &str) {
    let start = Instant::now();
    loop {
        let got = get(edge, "/", &[]).await.unwrap().header("x-live");
        if got == value {
            return;
        }
        assert!(start.elapsed() < Duration::from_secs(2), "`{got}` is not `{value}` after 2 s");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn a_file_is_live_however_it_was_saved() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], "x")).await;
        let network = Network::new(40, origin.address, "");
        let edge = network.start("one-1");
        let path = network.path("sites/shop.toml");
        let plain = fs::read_to_string(&path).unwrap();
        let text = |value: &str| format!("{plain}\n[[rule]]\nheaders = {{ set = {{ X-Live = \"{value}\" }} }}\n");

        fs::write(&path, text("written")).unwrap();
        live(network.edge, "written").await;

        // Editors write another file and put it in place.
        fs::write(network.path("sites/.shop.toml.swp"), text("renamed")).unwrap();
        fs::rename(network.path("sites/.shop.toml.swp"), &path).unwrap();
        live(network.edge, "renamed").await;

        // A slow writer: what is there half-way is no config.
        let whole = text("slowly");
        fs::write(&path, &whole[..whole.len() - 10]).unwrap();
        tokio::time::sleep(Duration::from_millis(600)).await;
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().header("x-live"), "renamed", "the one before stays");
        fs::write(&path, whole).unwrap();
        live(network.edge, "slowly").await;

        fs::write(network.path("sites/blog.toml"), plain.replace("www.shop", "blog.shop")).unwrap();
        let blog = [("host", "blog.shop.example")];
        let mut status = 0;
        for _ in 0..100 {
            status = get(network.edge, "/", &blog).await.unwrap().status.as_u16();
            if status == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(status, 200, "a new file is a new site");

        tokio::time::sleep(Duration::from_millis(600)).await;
        let loads = || network.log("one-1").matches("config loaded").count();
        let before = loads();
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert_eq!(loads(), before, "the node's own log beside the config is no change of it");
        signal(edge.0.id(), Signal::SIGHUP);
        wait_for(Duration::from_secs(2), "SIGHUP loads the config", || {
            if loads() == before + 1 { Ok(()) } else { Err(loads().to_string()) }
        });
        // The version is the newest time: a file that only got a new one is taken up, too.
        fs::File::options().write(true).open(&path).unwrap().set_modified(std::time::SystemTime::now()).unwrap();
        wait_for(Duration::from_secs(2), "a new time is a change", || {
            if loads() == before + 2 { Ok(()) } else { Err(loads().to_string()) }
        });
        std::fs::remove_dir_all(network.path("sites")).unwrap();
        std::fs::write(network.path("sites"), "not a directory").unwrap();
        tokio::time::sleep(Duration::from_millis(800)).await;
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().status.as_u16(), 200, "what cannot be read is not empty");
    });
}

/// An authority, and a certificate for `www.shop.example` of it, in PEM.
pub(crate) struct Made {
    pub(crate) authority: String,
    pub(crate) certificate: String,
    pub(crate) key: String,
    /// Of its public key, as browsers name it (RFC 7469 §2.4).
    pub(crate) key_hash: String,
}

pub(crate) fn make_certificate(authority_name: &str) -> Made {
    make_certificate_for("www.shop.example", authority_name)
}

/// As [`make_certificate`], for another name.
pub(crate) fn make_certificate_for(name: &str, authority_name: &str) -> Made {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.distinguished_name.push(DnType::CommonName, authority_name);
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_key = KeyPair::generate().unwrap();
    let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
    let issuer = Issuer::new(authority, authority_key);
    let key = KeyPair::generate().unwrap();
    let site = CertificateParams::new(vec![name.to_owned()]).unwrap();
    Made {
        authority: authority_pem,
        certificate: site.signed_by(&key, &issuer).unwrap().pem(),
        key: key.serialize_pem(),
        key_hash: BASE64.encode(&Sha256::digest(key.subject_public_key_info())),
    }
}

#[test]
fn a_certificate_is_chosen_by_name_and_replaced_by_saving_it() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[("cache-control", "max-age=60")], "secure")).await;
        let network = Network::new(41, origin.address, "");
        let (first, second) = (make_certificate("the first authority"), make_certificate("the second"));
        let save = |made: &Made, number: u8| {
            fs::write(network.path(&format!("ca{number}.pem")), &made.authority).unwrap();
            fs::write(network.path("secrets/shop.key"), &made.key).unwrap();
            fs::write(network.path("secrets/shop.pem"), &made.certificate).unwrap();
        };
        save(&first, 1);
        let plain = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
        fs::write(
            network.path("sites/shop.toml"),
            format!("tls = {{ cert = \"shop.pem\", key = \"shop.key\" }}\n{plain}"),
        )
        .unwrap();
        let _edge = network.start("one-1");
        let curl = |authority: u8, host: &str, more: &[&str]| {
            let ca = network.path(&format!("ca{authority}.pem")).display().to_string();
            let (to, url) = (format!("::{}:8143", network.edge.ip()), format!("https://{host}/"));
            let mut args = vec!["-sSi", "--cacert", &ca, "--connect-to", &to, &url];
            args.extend(more);
            tokio::task::block_in_place(|| run("curl", &args))
        };
        let said = curl(1, "www.shop.example", &[]);
        assert!(said.starts_with("HTTP/2 200"), "{said}");
        assert!(curl(1, "www.shop.example", &["--http1.1"]).starts_with("HTTP/1.1 200"));
        assert!(curl(1, "other.example", &[]).contains("curl: (35)"), "a name no site has is refused in the handshake");
        save(&second, 2);
        wait_for(Duration::from_secs(3), "the new certificate is served", || {
            let said = curl(2, "www.shop.example", &[]);
            if said.starts_with("HTTP/2 200") { Ok(()) } else { Err(said) }
        });
        let old = curl(1, "www.shop.example", &[]);
        assert!(old.starts_with("curl: (60)"), "the old authority no longer vouches: {old}");

        // A key that is another certificate's is refused, and the pair in use stays.
        fs::write(network.path("secrets/shop.key"), &first.key).unwrap();
        wait_for(Duration::from_secs(3), "the mismatch is told", || {
            let log = network.log("one-1");
            if log.contains("secrets/shop.key cannot be used") { Ok(()) } else { Err(log) }
        });
        assert!(curl(2, "www.shop.example", &[]).starts_with("HTTP/2 200"));
        let url = format!("http://{}/", network.edge);
        let prior = run("curl", &["-sSi", "--http2-prior-knowledge", "-H", "Host: www.shop.example", &url]);
        assert!(prior.starts_with("HTTP/2 200"), "HTTP/2 by prior knowledge on the clear port: {prior}");
    });
}

#[test]
fn the_world_is_told_only_that_an_edge_is_well() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], "x")).await;
        let network = Network::new(42, origin.address, "");
        let _edge = network.start("one-1");
        let health = |fields: Vec<(&'static str, String)>| async move {
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            get(network.edge, "/.hither/health", &fields).await.unwrap()
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let now_ms = u64::try_from(now).unwrap();
        let sign = |key: &str| Credential::sign(&Secret::new(key), now_ms, 1, "GET", "/.hither/health", b"");
        assert!(health(Vec::new()).await.body.is_empty());
        assert!(health(vec![(HEADER, sign("another key of someone"))]).await.body.is_empty());
        let told = health(vec![(HEADER, sign("a key for stories only"))]).await;
        let told: serde_json::Value = serde_json::from_slice(&told.body).unwrap();
        assert_eq!(told["sites"].as_str().unwrap().len(), 32, "{told}");
        assert!(told["config_version"].as_u64().unwrap() > 0);
    });
}

#[test]
fn a_taken_port_is_told_with_who_has_it() {
    let network = Network::new(43, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let _holder = std::net::TcpListener::bind(network.edge).unwrap();
    let output =
        Command::new(HITHER).args(["run", "--node", "one-1", "--config"]).arg(network.dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let who = format!("(pid {})", std::process::id());
    assert!(said.contains("cannot listen on 127.0.2.43:8100 (TCP)") && said.contains(&who), "{said}");
    assert!(said.contains("choose another port in hither.toml"), "{said}");
}

#[test]
fn a_node_behind_nat_is_reached_by_others_where_it_listens() {
    runtime().block_on(async {
        let network = Network::new(249, SocketAddr::from(([127, 0, 0, 1], 9)), "");
        let before = network.hither(&["check"]);
        assert_eq!(before.1, 0, "{}", before.0);
        let own = "id = \"one-1\"\naddresses = [\"127.0.2.249\"]\n";
        // What others dial is no address of this machine (RFC 5737).
        let behind = "id = \"one-1\"\naddresses = [\"192.0.2.1\"]\nhttp = [\"127.0.2.249:8100\"]\nhttps = [\"127.0.2.249:8143\"]\n";
        network.edit(|text| text.replace(own, behind));
        assert_eq!(network.hither(&["check"]), before, "there is nothing to be warned of");
        let _edge = network.start("one-1");
        let status = |fields: Vec<(&'static str, String)>| async move {
            let fields = [vec![("host", "192.0.2.1:8444".to_owned())], fields].concat();
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            get(SocketAddr::from(([127, 0, 2, 249], 8444)), "/status", &fields).await.unwrap().status.as_u16()
        };
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let signed = Credential::sign(
            &Secret::new("a key for stories only"),
            u64::try_from(now).unwrap(),
            1,
            "GET",
            "/status",
            b"",
        );
        assert_eq!(status(Vec::new()).await, 401);
        assert_eq!(status(vec![(HEADER, signed)]).await, 200);
        let log = network.log("one-1");
        assert!(log.contains("what comes there has to be led here"), "{log}");

        let moved = behind.replace("http =", "peer = \"192.0.2.1:8445\"\nhttp =");
        network.edit(|text| text.replace(behind, &moved));
        wait_for(Duration::from_secs(5), "its port follows the config", || {
            let open = [8444, 8445].map(|port| std::net::TcpStream::connect(("127.0.2.249", port)).is_ok());
            if open == [false, true] { Ok(()) } else { Err(format!("{open:?} {}", network.log("one-1"))) }
        });
    });
}

#[test]
fn a_node_serves_where_its_state_cannot_be_written() {
    let network = Network::new(46, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    // As on a full disk: neither its marker nor its log can be made.
    for taken in ["node.new", "node.json", "requests.jsonl", "last-good.new/hither.toml"] {
        fs::create_dir_all(network.path(".state/one-1").join(taken)).unwrap();
    }
    let node = Command::new(HITHER)
        .args(["run", "--node", "one-1", "--config"])
        .arg(network.dir.path())
        .stderr(fs::File::create(network.path("one-1.log")).unwrap())
        .spawn()
        .unwrap();
    let _node = Process(node);
    runtime().block_on(async {
        let start = Instant::now();
        while get(network.edge, "/.hither/health", &[]).await.is_err() {
            assert!(start.elapsed() < Duration::from_secs(10), "{}", network.log("one-1"));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        get(network.edge, "/", &[]).await.unwrap();
    });
    for said in ["cannot be written: `up` and `status` do not see this node", "a log cannot be written: lines are lost"]
    {
        wait_for(Duration::from_secs(5), said, || {
            let log = network.log("one-1");
            if log.contains(said) { Ok(()) } else { Err(log) }
        });
    }
}

#[test]
fn an_unknown_node_and_a_wrong_argument_exit_with_1() {
    let network = Network::new(44, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let dir = network.dir.path().display().to_string();
    for (args, expected) in [
        (&["run", "--config", &dir, "--node", "two"][..], "there is no node `two`"),
        (&["run", "--config", "/nonexistent", "--node", "x"], "there is no hither.toml in /nonexistent"),
        (&["explain", "--form", "1.2.3.4"], "a similar argument exists: '--from'"),
        (&["explain", "x", "--from", "nowhere"], "invalid value 'nowhere' for '--from <IP>'"),
        (&["-C", &dir, "status"], "nobody answers at the admin address"),
        (&["-C", &dir, "explain", "www.other.example", "--from", "1.2.3.4"], "is in no zone served here"),
    ] {
        let output = Command::new(HITHER).args(args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {said}");
        assert!(said.contains(expected), "{args:?}: {said}");
    }
}

#[test]
fn a_directory_may_be_named_from_where_one_is() {
    let network =
        Network::new(48, SocketAddr::from(([127, 0, 0, 1], 9)), "[[rule]]\nheaders = { set = { X-Live = \"0\" } }");
    for (number, args) in
        [&["run", "--node", "one-1"][..], &["run", "--node", "one-1", "--config", "."]].iter().enumerate()
    {
        let node = Command::new(HITHER).args(*args).current_dir(network.dir.path()).env_remove("HITHER_DIR").spawn();
        let _node = Process(node.unwrap());
        let serves =
            || if std::net::TcpStream::connect(network.edge).is_ok() { Ok(()) } else { Err(network.log("one-1")) };
        wait_for(Duration::from_secs(10), "it serves", serves);
        let site = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
        let value = format!("{}", number + 1);
        fs::write(network.path("sites/shop.toml"), site.replace(&format!("\"{number}\""), &format!("\"{value}\"")))
            .unwrap();
        runtime().block_on(live(network.edge, &value));
    }
}

#[test]
fn a_fault_anywhere_keeps_no_node_down_for_good() {
    let network = Network::new(47, SocketAddr::from(([127, 0, 0, 1], 9)), "");
    let text = fs::read_to_string(network.path("hither.toml")).unwrap();
    fs::write(network.path("hither.toml"), format!("state = \"kept\"\n{text}")).unwrap();
    let start = || {
        let log = fs::OpenOptions::new().create(true).append(true).open(network.path("one-1.log")).unwrap();
        let mut node = Command::new(HITHER);
        node.args(["run", "--node", "one-1", "--config"]).arg(network.dir.path()).stderr(log);
        Process(node.spawn().unwrap())
    };
    let first = start();
    wait_for(Duration::from_secs(5), "the first config is kept", || {
        if network.path("kept/one-1/last-good/sites/shop.toml").exists() { Ok(()) } else { Err(network.log("one-1")) }
    });
    drop(first);
    fs::write(network.path("sites/shop.toml"), "hosts = [\"www.shop.example\"\n").unwrap();
    let mut second = start();
    assert_eq!(second.0.wait().unwrap().code(), Some(1));
    let _third = start();
    wait_for(Duration::from_secs(10), "the third start boots the last good config", || {
        if network.log("one-1").contains("this is the last good config") { Ok(()) } else { Err(network.log("one-1")) }
    });
}

#[test]
fn a_node_that_keeps_dying_boots_the_last_good_config() {
    runtime().block_on(async {
        let origin = Origin::start(|_, _| reply(200, &[], "served")).await;
        let network = Network::new(45, origin.address, "");
        let edge = network.start("one-1");
        wait_for(Duration::from_secs(5), "the first config is kept", || {
            let kept = network.path(".state/one-1/last-good/sites/shop.toml");
            if kept.exists() { Ok(()) } else { Err(network.log("one-1")) }
        });
        drop(edge);
        let good = fs::read_to_string(network.path("hither.toml")).unwrap();
        fs::write(network.path("hither.toml"), "zone = \n").unwrap();
        fs::remove_file(network.path(".state/one-1/node.json")).unwrap();
        let died = Command::new(HITHER).args(["run", "--node", "one-1", "--config"]).arg(network.dir.path()).output();
        assert_eq!(died.unwrap().status.code(), Some(1), "the second start has nothing to start from");
        let third = network.start("one-1");
        assert_eq!(get(network.edge, "/", &[]).await.unwrap().body, "served", "{}", network.log("one-1"));
        assert!(network.log("one-1").contains("this is the last good config"), "{}", network.log("one-1"));
        let site = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
        fs::write(
            network.path("sites/shop.toml"),
            format!("{site}\n[[rule]]\nheaders = {{ set = {{ X-Live = \"again\" }} }}\n"),
        )
        .unwrap();
        fs::write(network.path("hither.toml"), good).unwrap();
        live(network.edge, "again").await;
        signal(third.0.id(), Signal::SIGTERM);
        wait_for(Duration::from_secs(15), "an end by the operator is no death", || {
            if network.path(".state/one-1/starts").exists() {
                Err("starts are still counted".to_owned())
            } else {
                Ok(())
            }
        });
    });
}
