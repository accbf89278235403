//! Edges behind proxies that are not ours: HAProxy, which names its client before all else, and nginx, which does in a field.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::page::steps;
use crate::support::{Network, Origin, Process, reply, run, runtime, wait_for};
use crate::tls::Secured;

/// An origin that says whom it was told of, as what may be kept for so long.
async fn origin(cache_control: &'static str) -> Origin {
    Origin::start(move |_, request| {
        let told = request.headers().get("x-forwarded-for").map_or("nobody", |value| value.to_str().unwrap());
        reply(200, &[("cache-control", cache_control)], format!("for {told}."))
    })
    .await
}

/// Starts a proxy that listens at an address, with its configuration in a file.
fn start(program: &str, args: &[&str], home: &Path, configuration: &str, address: SocketAddr) -> Process {
    fs::create_dir_all(home).unwrap();
    let (path, log) = (home.join("proxy.conf"), home.join("proxy.log"));
    fs::write(&path, configuration).unwrap();
    let output = fs::File::create(&log).unwrap();
    let mut command = Command::new(program);
    command.args(args).arg(&path).stdin(Stdio::null()).stdout(Stdio::null()).stderr(output);
    let process = Process(command.spawn().unwrap_or_else(|error| panic!("{program}: {error}")));
    wait_for(Duration::from_secs(10), "the proxy listens", || {
        TcpStream::connect(address).map(drop).map_err(|_| fs::read_to_string(&log).unwrap_or_default())
    });
    process
}

/// What curl says at an address of this machine to a URL that lies at another.
fn curl(client: &str, at: &str, more: &[&str], url: &str) -> String {
    let to = format!("::{at}");
    let args = [&["-sSi", "--max-time", "5", "--interface", client, "--connect-to", &to][..], more, &[url]].concat();
    tokio::task::block_in_place(|| run("curl", &args))
}

/// Whose requests an edge has logged.
fn logged(network: &Network) -> Vec<String> {
    let log = fs::read_to_string(network.path(".state/one-1/requests.jsonl")).unwrap_or_default();
    let client = |line: &str| line.split("\"client\":\"").nth(1)?.split('"').next().map(str::to_owned);
    log.lines().filter_map(client).collect()
}

fn edit(network: &Network, file: &str, from: &str, to: &str) {
    let text = fs::read_to_string(network.path(file)).unwrap();
    assert!(text.contains(from), "{text}");
    fs::write(network.path(file), text.replace(from, to)).unwrap();
}

const PAGE: &str = include_str!("../../docs/proxies.md");

/// The page's first block of a kind.
fn block(kind: &str) -> &'static str {
    PAGE.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap()
}

const CLIENT: &str = "127.0.4.193";
const PROXY: &str = "127.0.3.193";

#[test]
fn behind_haproxy_the_client_is_whom_its_header_names() {
    runtime().block_on(async {
        let origin = origin("no-store").await;
        // As the page has it, but for whose addresses these are.
        let trusted = block("toml").replace("[edge]\n", "");
        let trusted = trusted.replace("\"192.0.2.0/28\", \"2001:db8:f::/64\"", &format!("\"{PROXY}\""));
        let site = Secured::new(193, "", &trusted).await;
        let network = &site.network;
        let text = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
        let server = text.lines().find(|line| line.starts_with("servers = ")).unwrap();
        edit(network, "sites/shop.toml", server, &format!("servers = [\"http://{}\"]", origin.address));
        let _edge = network.start("one-1");
        let ip = network.edge.ip();
        let haproxy = format!(
            "defaults\n mode tcp\n timeout connect 5s\n timeout client 10s\n timeout server 10s\n\
             listen clear\n bind {PROXY}:8200\n source {PROXY}\n server edge {ip}:8100 send-proxy-v2\n{}",
            block("haproxy")
                .replace("bind :443", &format!("bind {PROXY}:8243\n    source {PROXY}"))
                .replace("192.0.2.10:443", &format!("{ip}:8143"))
        );
        let at = format!("{PROXY}:8200").parse().unwrap();
        let _haproxy = start("haproxy", &["-db", "-f"], &network.path("proxy"), &haproxy, at);
        let (clear, secure) = (format!("{PROXY}:8200"), format!("{PROXY}:8243"));
        let told = format!("for {CLIENT}.");
        let said = curl(CLIENT, &clear, &[], "http://www.shop.example/");
        assert!(said.starts_with("HTTP/1.1 200") && said.ends_with(&told), "{said}");
        for version in ["--http1.1", "--http2"] {
            let more = [version, "--cacert", &site.authority];
            let said = curl(CLIENT, &secure, &more, "https://www.shop.example/");
            assert!(said.contains(" 200") && said.ends_with(&told), "{version}: {said}");
        }
        wait_for(Duration::from_secs(10), "the log names the client", || {
            let logged = logged(network);
            if logged == ["127.0.4.0"; 3] { Ok(()) } else { Err(format!("{logged:?}")) }
        });
        for step in steps(PAGE) {
            let state = network.path(".state/one-1").display().to_string();
            let command = step.command.replace("127.0.4.1", CLIENT).replace("127.0.3.1", PROXY);
            let command = command.replace("/var/lib/hither/fra-1", &state);
            let seen = || run("sh", &["-c", &format!("sleep 0.3; {command}")]);
            let said = tokio::task::block_in_place(seen);
            assert!(said == told || said.contains("\"client\":\"127.0.4.0\""), "{command}\n{said}");
        }
        // Who is no proxy comes as ever, and is not believed: this header, of version 1, names another.
        let direct = network.edge.to_string();
        let said = curl(CLIENT, &direct, &["-H", "X-Forwarded-For: 203.0.113.9"], "http://www.shop.example/");
        assert!(said.ends_with(&told), "{said}");
        let said = curl(CLIENT, &direct, &["--haproxy-protocol"], "http://www.shop.example/");
        assert!(!said.contains(" 200"), "{said}");
        // A proxy without one is not heard.
        let said = curl(PROXY, &direct, &[], "http://www.shop.example/");
        assert!(!said.contains("HTTP/1.1"), "{said}");
        // From a reload on its new connections bring none.
        edit(network, "hither.toml", "proxy_protocol  = true", "proxy_protocol = false");
        wait_for(Duration::from_secs(10), "the reload", || {
            let forwarded = ["-H", "X-Forwarded-For: 203.0.113.9"];
            let said = curl(PROXY, &direct, &forwarded, "http://www.shop.example/");
            if said.ends_with(&format!("for 203.0.113.9, {PROXY}.")) { Ok(()) } else { Err(said) }
        });
        let said = curl(CLIENT, &clear, &[], "http://www.shop.example/");
        assert!(!said.contains(" 200"), "a header is no request: {said}");
    });
}

#[test]
fn behind_nginx_the_client_is_whom_its_field_names_on_hits_too() {
    runtime().block_on(async {
        let (client, proxy) = ("127.0.4.194", "127.0.3.194");
        let origin = origin("max-age=60").await;
        let network =
            Network::new(194, origin.address, "[[rule]]\npath = \"/shut\"\ndeny = { client = [\"127.0.4.0/24\"] }\n");
        edit(&network, "hither.toml", "[edge]\n", &format!("[edge]\ntrusted_proxies = [\"{proxy}\"]\n"));
        let _edge = network.start("one-1");
        let home = network.path("proxy");
        let at = home.display();
        let temporary =
            ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].map(|kind| format!("{kind}_temp_path {at}/{kind};"));
        let nginx = format!(
            "daemon off; master_process off; pid {at}/pid; error_log {at}/proxy.log;\nevents {{ }}\n\
             http {{ access_log off; {} upstream edge {{ server {}; keepalive 4; }}\n\
             server {{ listen {proxy}:8200; proxy_bind {proxy};\n{} }} }}\n",
            temporary.concat(),
            network.edge,
            block("nginx").replace("http://192.0.2.10", "http://edge"),
        );
        let log = home.join("proxy.log").display().to_string();
        let through = format!("{proxy}:8200");
        let _nginx =
            start("nginx", &["-e", &log, "-p", &at.to_string(), "-c"], &home, &nginx, through.parse().unwrap());
        // Whatever the client says of itself.
        for more in
            [&[][..], &["-H", "X-Forwarded-For: 203.0.113.9"], &["-H", "X-Forwarded-For: 203.0.113.9, 127.0.3.194"]]
        {
            let path = format!("http://www.shop.example/{}", more.concat().len());
            let said = curl(client, &through, more, &path);
            assert!(said.ends_with(&format!("for {client}, {proxy}.")), "{said}");
        }
        let said = curl(client, &through, &[], "http://www.shop.example/shut");
        assert!(said.starts_with("HTTP/1.1 403"), "{said}");
        // Hits, which a client that is none of nginx's gets at once.
        let direct = network.edge.to_string();
        for _ in 0..4 {
            let said = curl(client, &through, &[], "http://www.shop.example/hit");
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
            let said =
                curl("127.0.5.194", &direct, &["-H", "X-Forwarded-For: 203.0.113.9"], "http://www.shop.example/hit");
            assert!(said.starts_with("HTTP/1.1 200"), "{said}");
        }
        wait_for(Duration::from_secs(10), "the log names both", || {
            let logged = logged(&network);
            let count = |prefix: &str| logged.iter().filter(|client| *client == prefix).count();
            if (count("127.0.4.0"), count("127.0.5.0"), logged.len()) == (8, 4, 12) {
                Ok(())
            } else {
                Err(format!("{logged:?}"))
            }
        });
        let said = curl("127.0.5.194", &direct, &["-H", "X-Forwarded-For: 203.0.113.9"], "http://www.shop.example/new");
        assert!(said.ends_with("for 127.0.5.194."), "nobody trusts it: {said}");
    });
}
