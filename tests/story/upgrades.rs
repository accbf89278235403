//! WebSocket through an edge, between programs that are not ours.

use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::http3::browser;
use crate::support::{Process, run, runtime, wait_for};
use crate::tls::Secured;

/// A script of ours in the Python that has the clients.
pub(crate) fn python(script: &str) -> [String; 2] {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    ["target/tools/python/bin/python", script].map(|path| root.join(path).display().to_string())
}

/// An origin that speaks WebSocket.
fn websocket_origin() -> (Process, SocketAddr) {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let [python, script] = python("tests/story/websocket.py");
    let mut command = Command::new(python);
    command.args([&script, "serve", &address.port().to_string()]).stdin(Stdio::null()).stderr(Stdio::null());
    let process = Process(command.spawn().unwrap());
    wait_for(Duration::from_secs(20), "the origin listens", || {
        TcpStream::connect(address).map_err(|error| error.to_string())
    });
    (process, address)
}

/// Has the site's origin at another address.
pub(crate) fn move_origin(site: &Secured, origin: &str) {
    let file = site.network.path("sites/shop.toml");
    let text = fs::read_to_string(&file).unwrap();
    let moved = text.lines().map(|line| if line.starts_with("servers") { origin } else { line });
    fs::write(&file, moved.collect::<Vec<_>>().join("\n")).unwrap();
}

/// A page that has a conversation, and tells what it has heard.
const PAGE: &str = "<script>const s = new WebSocket('wss://www.shop.example:8143/chat'); \
                    s.onopen = () => s.send('hello'); s.onmessage = (m) => (fetch('/heard?' + m.data), s.close())</script>";

#[test]
fn websocket_goes_through_in_the_clear_and_over_tls_and_in_a_browser() {
    runtime().block_on(async {
        let site = Secured::new(218, "", "").await;
        let (origin, address) = websocket_origin();
        move_origin(&site, &format!("servers = [\"http://{address}\"]"));
        let file = site.network.path("sites/shop.toml");
        let rule = format!(
            "\n[[rule]]\npath = \"/page\"\nanswer = {{ status = 200, type = \"text/html\", body = \"{PAGE}\" }}\n"
        );
        fs::write(&file, fs::read_to_string(&file).unwrap() + &rule).unwrap();
        let _edge = site.network.start("one-1");
        let ip = site.network.edge.ip().to_string();
        let [python, script] = python("tests/story/websocket.py");
        let ask = |url: &str, port: &str| {
            tokio::task::block_in_place(|| run(&python, &[&script, "ask", url, &ip, port, &site.authority]))
        };
        let talk = "extensions: ['permessage-deflate']\nword: hello\nlarge: True\nping: answered\nbye: bye\n\
                    end: 1000 as you wish\n";
        assert_eq!(ask("ws://www.shop.example/chat", "8100"), talk);
        assert_eq!(ask("wss://www.shop.example/chat", "8143"), talk);
        assert_eq!(ask("wss://www.shop.example/closed", "8143"), "refused: 403 not here\n\n");
        let log = || fs::read_to_string(site.network.path(".state/one-1/requests.jsonl")).unwrap_or_default();
        wait_for(Duration::from_secs(5), "conversations are logged when they are over", || {
            let is_told = |line: &&str| {
                let bytes =
                    line.split("\"bytes\":").nth(1).and_then(|rest| rest.split(',').next()?.parse::<u64>().ok());
                line.contains("\"status\":101") && bytes.is_some_and(|bytes| bytes > 1_000)
            };
            if log().lines().filter(is_told).count() == 2 { Ok(()) } else { Err(log()) }
        });
        let mut browser_command = Command::new("chromium");
        browser_command.args(browser(&site.network, &site.key_hash)).arg("--remote-debugging-port=0");
        browser_command.arg("https://www.shop.example:8143/page").stdout(Stdio::null()).stderr(Stdio::null());
        let _browser = Process(browser_command.spawn().unwrap());
        wait_for(Duration::from_secs(20), "the page tells what it has heard", || {
            if log().contains("\"/heard?hello\"") { Ok(()) } else { Err(log()) }
        });
        wait_for(Duration::from_secs(10), "it was a stream of the connection that the page came by", || {
            let is_told = |line: &str| {
                ["\"/chat\"", "\"version\":\"2\"", "\"status\":101"].iter().all(|part| line.contains(part))
            };
            if log().lines().any(is_told) { Ok(()) } else { Err(log()) }
        });

        // Who does not ask to switch gets what the origin says to anybody.
        let said = site.curl(&["-m", "5", "https://www.shop.example/chat"]);
        assert!(said.starts_with("http/2 426"), "{said}");
        let said = site.curl(&["-m", "5", "--http2", "http://www.shop.example/chat"]);
        assert!(said.starts_with("http/1.1 426"), "an upgrade to h2c is no origin's: {said}");
        drop(origin);
        let said = ask("wss://www.shop.example/chat", "8143");
        assert!(said.starts_with("refused: 502"), "{said}");
    });
}
