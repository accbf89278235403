//! docs/sites.md, run to the letter: each rule it shows is written to a site, and each curl line must print what it says.

use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{HITHER, Network, Origin, Process, get, reply, run, send, wait_for};

/// The page's examples: the heading they stand under, what to write, and what to run.
struct Example {
    heading: String,
    rules: String,
    lines: Vec<Line>,
}

/// A command, and what it must print, in order.
struct Line {
    command: String,
    expected: Vec<String>,
}

fn examples(page: &str) -> Vec<Example> {
    let mut examples = Vec::new();
    for section in page.split("\n## ").skip(1) {
        let heading = section.lines().next().unwrap().to_owned();
        let blocks = |kind: &str| {
            let opening = format!("```{kind}\n");
            let after = section.split(&opening).skip(1);
            after.map(|text| text.split("\n```").next().unwrap()).collect::<Vec<_>>().join("\n")
        };
        let (rules, console) = (blocks("toml"), blocks("console"));
        let mut lines: Vec<Line> = Vec::new();
        for text in console.lines() {
            match text.strip_prefix("$ ") {
                Some(command) => lines.push(Line { command: command.to_owned(), expected: Vec::new() }),
                None => lines.last_mut().unwrap().expected.push(text.to_owned()),
            }
        }
        assert!(!lines.is_empty() && lines.iter().all(|line| !line.expected.is_empty()), "{heading} shows nothing");
        examples.push(Example { heading, rules, lines });
    }
    examples
}

/// Whether a line is as the page has it, `...` standing for anything.
fn is_like(line: &str, expected: &str) -> bool {
    let mut rest = line;
    let mut parts = expected.split("...");
    let Some(found) = rest.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    rest = found;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.is_empty() || expected.ends_with("...")
}

#[test]
fn every_example_of_the_page_does_what_it_says() {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/sites.md")).unwrap();
    let origin = "127.0.2.98:8000";
    let files = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo/origin");
    let mut command = Command::new(HITHER);
    command.args(["sample-origin", files, "--listen", origin]).stdout(Stdio::null()).stderr(Stdio::null());
    let _origin = Process(command.spawn().unwrap());
    let network = Network::new(97, origin.parse().unwrap(), "");
    let config = fs::read_to_string(network.path("hither.toml")).unwrap();
    fs::write(network.path("hither.toml"), config.replace("one-1", "iad-1")).unwrap();
    fs::write(network.path("secrets/shop-a.key"), "0123456789abcdef0123456789abcdef").unwrap();
    let _edge = network.start("iad-1");
    let dir = network.dir.path().display().to_string();
    let own = |command: &str| {
        let here = |command: &str, word: &str| {
            command.replace(&format!("hither {word} "), &format!("{HITHER} -C {dir} {word} "))
        };
        let command = command.replace("127.0.1.1:8080", &network.edge.to_string());
        ["sign", "explain", "purge"].iter().fold(command, |command, word| here(&command, word))
    };
    let reloads = || network.log("iad-1").matches("config loaded").count();
    let examples = examples(&page);
    assert!(examples.len() > 10);
    let mut wrong = Vec::new();
    for Example { heading, rules, lines } in examples {
        let before = reloads();
        network.write_site(origin.parse().unwrap(), &rules);
        wait_for(Duration::from_secs(10), &heading, || {
            if reloads() > before { Ok(()) } else { Err(network.log("iad-1")) }
        });
        for Line { command, expected } in lines {
            assert!(command.contains("127.0.1.1:8080") || !command.contains("curl"), "{command}");
            let printed = run("sh", &["-c", &own(&command)]);
            let mut left = printed.lines().map(str::trim_end);
            let missing = expected.iter().find(|expected| !left.any(|line| is_like(line, expected)));
            if let Some(missing) = missing {
                wrong.push(format!("{heading}\n$ {command}\nmisses: {missing}\n{printed}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_count_of_a_query_changes_nothing_that_is_stored() {
    let origin = Origin::start(|_, request| {
        let query = request.uri().query().unwrap_or_default().to_owned();
        let control = if query.contains("long") { "max-age=600" } else { "max-age=1" };
        let fields =
            [("cache-control", control), ("etag", "\"a\""), ("x-query", &*query), ("content-location", "/page?page=1")];
        reply(200, &fields, if request.method() == "HEAD" { "" } else { "body" })
    })
    .await;
    let rules = "[[rule]]\npath = \"/page\"\nquery = { keep = [\"page\"] }\n\
                 [[rule]]\npath = \"/basket\"\nbypass = true\n";
    let network = Network::new(107, origin.address, rules);
    let _edge = network.start("one-1");
    let seen = async |path: &str| get(network.edge, path, &[]).await.unwrap().header("x-query");

    assert_eq!(seen("/page?page=1&evil").await, "page=1", "the origin gets what counts");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    let head = send(network.edge, "HEAD", "/page?page=1&evil&long", &[]).await.unwrap();
    assert_eq!(head.header("x-query"), "page=1", "also with a HEAD, which renews what is stored");

    let posted = send(network.edge, "POST", "/page?page=1&evil&long", &[]).await.unwrap();
    assert_eq!(posted.header("x-query"), "page=1&evil&long", "what is not stored goes as it came");
    assert!(!posted.is("stored"), "{}", posted.header("cache-status"));
    assert_eq!(seen("/page?page=1").await, "page=1");

    send(network.edge, "POST", "/basket", &[]).await.unwrap();
    let only = get(network.edge, "/basket", &[("cache-control", "only-if-cached")]).await.unwrap();
    assert_eq!(only.status, 504, "nothing is stored past the store");
}
