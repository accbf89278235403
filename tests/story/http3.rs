//! HTTP/3 towards clients that are not ours.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use crate::support::{Network, run, runtime, wait_for};
use crate::tls::Secured;
use crate::upgrade::{ends, take_over};
use crate::upgrades::python;

/// What an HTTP/3 client in Python says of requests to an edge whose certificate is of this authority, one answer each.
pub(crate) fn ask(edge: IpAddr, authority: &str, requests: &[&str]) -> Vec<String> {
    ask_host("www.shop.example", edge, authority, requests)
}

/// As [`ask`], of another host.
pub(crate) fn ask_host(host: &str, edge: IpAddr, authority: &str, requests: &[&str]) -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join("target/tools/python/bin/python").display().to_string();
    let client = root.join("tests/story/http3_client.py").display().to_string();
    let address = edge.to_string();
    let mut args = vec![client.as_str(), &address, "8143", authority, host];
    args.extend(requests);
    let said = tokio::task::block_in_place(|| run(&python, &args));
    let answers: Vec<String> = said.split_terminator("-----\n").map(str::to_owned).collect();
    assert_eq!(answers.len(), requests.iter().filter(|request| **request != "new").count(), "{said}");
    answers
}

#[test]
fn an_http3_client_gets_what_others_get_also_with_its_first_packet() {
    runtime().block_on(async {
        let site = Secured::new(186, "", "").await;
        let _edge = site.network.start("one-1");
        let said = site.curl(&["--http2", "https://www.shop.example/page"]);
        assert!(said.starts_with("http/2 200") && said.contains("\nalt-svc: h3=\":443\"; ma=86400\n"), "{said}");
        let said = site.curl(&["-H", "Host: www.shop.example:8143", "--http1.1", "https://www.shop.example/"]);
        assert!(said.contains("\nalt-svc: h3=\":8143\"; ma=86400\n"), "{said}");
        let said = site.curl(&["http://www.shop.example/page"]);
        assert!(said.starts_with("http/1.1 200") && !said.contains("alt-svc"), "{said}");

        let said = ask(
            site.network.edge.ip(),
            &site.authority,
            &[
                "GET:/page",
                "GET:/other",
                "GET:/other",
                "POST:/send:abc",
                "new",
                "GET:/page",
                "GET:/early",
                "POST:/send:abc",
            ],
        );
        assert!(said.iter().all(|said| said.starts_with(":status: 200\n")), "{said:?}");
        assert!(said[0].contains("cache-status: one-1;hit;") && said[0].ends_with("GET /page\n"), "{}", said[0]);
        assert!(said[1].contains("fwd=uri-miss") && said[2].contains(";hit;"), "{}{}", said[1], said[2]);
        assert!(said[3].contains("fwd=method") && said[3].ends_with("POST /send\n"), "{}", said[3]);
        assert!(said[4].contains(";hit;") && said[4].ends_with("GET /page\n"), "{}", said[4]);
        assert!(said[5].contains("fwd=uri-miss") && said[5].ends_with("GET /early\n"), "{}", said[5]);
        assert!(said[6].ends_with("POST /send\n"), "{}", said[6]);
        wait_for(Duration::from_secs(3), "the requests are logged", || {
            let log = std::fs::read_to_string(site.network.path(".state/one-1/requests.jsonl")).unwrap_or_default();
            if log.matches("\"version\":\"3\"").count() >= 7 { Ok(()) } else { Err(log) }
        });
    });
}

#[test]
fn an_http3_client_asks_once_more_where_a_process_takes_over_and_then_never() {
    runtime().block_on(async {
        let site = Secured::new(224, "", "").await;
        let mut process = site.network.start("one-1");
        let [python, script] = python("tests/story/http3_stays.py");
        let (ip, over) = (site.network.edge.ip().to_string(), site.network.path("over").display().to_string());
        let (authority, file) = (site.authority.clone(), over.clone());
        let client =
            std::thread::spawn(move || run(&python, &[&script, &ip, "8143", &authority, "www.shop.example", &file]));
        tokio::task::block_in_place(|| {
            for number in 1..=5 {
                std::thread::sleep(Duration::from_secs(1));
                let new = take_over(&site.network, "one-1", number);
                ends(std::mem::replace(&mut process, new));
            }
        });
        std::fs::write(&over, "").unwrap();
        let said = tokio::task::block_in_place(|| client.join().unwrap());
        let figures: Vec<usize> = said.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [answered, again, failed] = figures[..] else { panic!("{said}") };
        println!("{said}");
        assert!(failed == 0 && again <= 5 && answered > 500, "{said}");
    });
}

/// A page that says how it came.
pub(crate) const TELLING: &str = "<p id=how></p><script>how.textContent = \
                                  performance.getEntriesByType('navigation')[0].nextHopProtocol</script>";

/// What a browser shows of a page, by HTTP/3 from its first request on, whose certificate has this key.
pub(crate) fn browse(network: &Network, key: &str, path: &str) -> String {
    let mut args = browser(network, key);
    args.extend(["--virtual-time-budget=5000", "--origin-to-force-quic-on=www.shop.example:8143"].map(str::to_owned));
    args.extend(["--dump-dom".to_owned(), format!("https://www.shop.example:8143{path}")]);
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    tokio::task::block_in_place(|| run("chromium", &args))
}

/// The arguments of a browser that has a profile of its own and trusts a certificate that has this key.
pub(crate) fn browser(network: &Network, key: &str) -> Vec<String> {
    let fixed = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"];
    let own = [
        format!("--ignore-certificate-errors-spki-list={key}"),
        format!("--host-resolver-rules=MAP www.shop.example {}", network.edge.ip()),
        format!("--user-data-dir={}", network.path("browser").display()),
    ];
    fixed.iter().map(ToString::to_string).chain(own).collect()
}

#[test]
fn a_browser_shows_a_page_by_http3() {
    runtime().block_on(async {
        let site = Secured::new(187, "", "").await;
        let _edge = site.network.start("one-1");
        let rule = format!(
            "[[rule]]\npath = \"/browser\"\nanswer = {{ status = 200, type = \"text/html\", body = \"{TELLING}\" }}\n"
        );
        let file = site.network.path("sites/shop.toml");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{rule}")).unwrap();
        let said = browse(&site.network, &site.key_hash, "/browser");
        assert!(said.contains("<p id=\"how\">h3</p>"), "{said}");
    });
}
