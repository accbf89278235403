//! A config with mistakes is told all of them.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{HITHER, run};

#[test]
fn ten_mistakes_get_ten_messages() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("sites")).unwrap();
    let network = r#"zoen = "cdn.example"
[dns]
ttl = 20
[edge]
memory = "4Gib"
[[nameserver]]
id = "ns1"
addresses = ["192.0.2.300"]
[[pop]]
id = "fra"
location = [150.1, 8.7]
  [[pop.edge]]
  id = "fra-1"
  addresses = ["192.0.2.10"]
[[pop]]
id = "fra"
location = [51.5, -0.1]
  [[pop.edge]]
  id = "lhr-1"
  addresses = ["192.0.2.11"]
"#;
    fs::write(dir.path().join("hither.toml"), network).unwrap();
    fs::write(
        dir.path().join("sites/shop.toml"),
        "hosts = [\"www.shop.example\"]\n[origin]\nservers = [\"origin.shop.example\"]\n[[rule]]\npath = \"assets/**\"\n",
    )
    .unwrap();
    fs::write(dir.path().join("routes.toml"), "[[route]]\nprefix = \"198.51.100.7/24\"\npin = \"fre\"\n").unwrap();
    let said = run(HITHER, &["check", &dir.path().display().to_string()]);
    let said = said.replace(&dir.path().display().to_string(), "DIR");
    assert_eq!(said.matches('×').count(), 10);
    insta::assert_snapshot!(said);
}

#[test]
fn a_good_directory_is_told_so_and_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    crate::support::copy_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo").as_ref(), dir.path());
    let site = dir.path().join("sites/shop.toml");
    let text = fs::read_to_string(&site).unwrap();
    let without_tls: String =
        text.lines().filter(|line| !line.starts_with("tls")).map(|line| format!("{line}\n")).collect();
    fs::write(&site, without_tls).unwrap();
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("secrets/admin.token"), "0123456789abcdef").unwrap();
    let output = Command::new(HITHER).arg("check").arg(dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("12 PoPs, 24 edges, 2 name servers, 1 site,"), "{text}");
}

#[test]
fn faults_of_keys_and_zones_are_told_with_those_of_the_files() {
    let dir = tempfile::tempdir().unwrap();
    crate::support::copy_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo").as_ref(), dir.path());
    fs::create_dir(dir.path().join("secrets")).unwrap();
    fs::write(dir.path().join("routes.toml"), "[[route]]\ncountry = \"DE\"\npin = \"fre\"\n").unwrap();
    fs::write(dir.path().join("zones/shop.example"), "www A 300.0.2.1\n").unwrap();
    fs::write(
        dir.path().join("sites/blog.toml"),
        "hosts = [\"ns1.cdn.example\", \"shop.cdn.example\"]\n[origin]\nservers = [\"https://o.example\"]\n",
    )
    .unwrap();
    let said = run(HITHER, &["check", &dir.path().display().to_string()]);
    for expected in [
        "there is no PoP `fre`",
        "secrets/admin.token cannot be read",
        "secrets/shop.pem cannot be used",
        "zones/shop.example:1",
        "`ns1.cdn.example` is the own name of name server `ns1`",
        "`shop.cdn.example` is the own name of site `shop`",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

#[test]
fn one_mistake_is_one_message() {
    let network = crate::support::Network::new(93, ([192, 0, 2, 1], 80).into(), "");
    let good = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
    let route = "[[route]]\ncountry = \"DE\"\nsites = [\"shop\"]\npin = \"one\"\n";
    for (file, text, expected) in [
        ("sites/shop.toml", good.replace("example\"]", "example\""), "this is not TOML"),
        ("sites/shop.toml", good.replace("www.", "https://www."), "write the host alone: \"www.shop.example\""),
        ("sites/shop.toml", good.replace("www.", "img.*."), "a wildcard stands first and alone"),
        ("sites/shop.toml", good.split("[origin]").next().unwrap().to_owned(), "add a table [origin]"),
        ("sites/shop.toml", format!("# \u{0}{good}"), "this is not TOML"),
        ("sites/shop.toml", format!("{good}weights = [1, 2]\n"), "`weights` has 2, `servers` 1"),
        ("sites/shop.toml", format!("{good}weights = [5000]\n"), "5000 is outside its bounds"),
        (
            "sites/shop.toml",
            good.replace("http://", "htps://") + "ca = \"fleet.key\"\n",
            "begin with http:// or https://",
        ),
        (
            "sites/shop.toml",
            format!("{good}secret_headers = {{ X-A = \"fleet.key\", x-a = \"fleet.key\" }}\n"),
            "`x-a` is there twice",
        ),
        ("sites/shop.toml", format!("{good}weights = [0]\n"), "give one that is to take fetches 1"),
        ("sites/shop.toml", format!("{good}ca = \"fleet.key\"\n"), "`ca` is for servers over TLS, and none is"),
        (
            "sites/shop.toml",
            format!("{good}secret_headers = {{ Host = \"fleet.key\" }}\n"),
            "`Host` frames the message",
        ),
        ("sites/shop.toml", format!("{good}secret_headers = {{ Via = \"fleet.key\" }}\n"), "`Via` is the edge's own"),
        ("sites/shop.toml", format!("{good}secret_headers = {{ X-A = \"none\" }}\n"), "secrets/none cannot be read"),
        (
            "sites/shop.toml",
            format!("{good}aws = {{ region = \"eu\", secret = {{ file = \"fleet.key\" }} }}\n"),
            "`key_id` is missing in [origin.aws]",
        ),
        (
            "sites/shop.toml",
            format!("{good}aws = {{ region = \"a b\", key_id = \"A\", secret = {{ file = \"fleet.key\" }} }}\n"),
            "`a b` is not a name in a signature",
        ),
        (
            "sites/shop.toml",
            format!(
                "{good}aws = {{ region = \"eu\", key_id = \"A\", secret = {{ file = \"fleet.key\" }} }}\n\
                 secret_headers = {{ Authorization = \"fleet.key\" }}\n"
            ),
            "`Authorization` is what `aws` signs by",
        ),
        ("sites/shop.toml", format!("{good}probe = {{ path = \"health\" }}\n"), "begin with `/`, as in \"/health\""),
        ("sites/shop.toml", format!("{good}probe = {{ interval = \"5s\" }}\n"), "`path` is missing in [origin.probe]"),
        ("sites/shop.toml", format!("{good}total_timeout = \"2d\"\n"), "from 10ms to 1d"),
        (
            "sites/shop.toml",
            good.replace("http://", "https://") + "ca = \"fleet.key\"\n",
            "`ca` of [origin] cannot be used: there is no certificate in it",
        ),
        ("routes.toml", route.replace("pin = \"one\"", "prefer = \"one\""), "`route.prefer` must be a list"),
        ("routes.toml", route.replace("DE", "UK"), "the United Kingdom's is \"GB\""),
    ] {
        fs::write(network.path("sites/shop.toml"), &good).unwrap();
        fs::write(network.path("routes.toml"), route).unwrap();
        fs::write(network.path(file), text).unwrap();
        let said = run(HITHER, &["check", &network.dir.path().display().to_string()]);
        assert!(said.contains(expected) && said.contains("hither: 1 fault in the config"), "{expected}\n{said}");
    }
}

#[test]
fn a_file_in_the_directory_s_place_is_told_as_one() {
    let network = crate::support::Network::new(93, ([192, 0, 2, 1], 80).into(), "");
    let file = network.path("hither.toml").display().to_string();
    let said = run(HITHER, &["check", &file]);
    assert!(said.contains("is a file, and a config is a directory") && said.contains("hither: 1 fault"), "{said}");
}

#[test]
fn what_is_no_config_file_is_refused_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    crate::support::copy_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/demo").as_ref(), dir.path());
    let path = |name: &str| dir.path().join(name);
    run("mkfifo", &[&path("sites/pipe.toml").display().to_string()]);
    std::os::unix::fs::symlink("/dev/zero", path("sites/endless.toml")).unwrap();
    std::os::unix::fs::symlink(path("sites/loop.toml"), path("sites/loop.toml")).unwrap();
    fs::create_dir(path("sites/folder.toml")).unwrap();
    fs::write(path("sites/large.toml"), vec![b'#'; 5 << 20]).unwrap();
    fs::write(path("sites/binary.toml"), [0xff, 0xfe, 0]).unwrap();
    fs::write(path("sites/nested.toml"), format!("a = {}", "[".repeat(100_000))).unwrap();
    fs::write(path("sites/zany.toml"), (0..100_000).map(|n| format!("[t{n}]\n")).collect::<String>()).unwrap();
    let start = std::time::Instant::now();
    let said = run(HITHER, &["check", &dir.path().display().to_string()]);
    assert!(start.elapsed() < std::time::Duration::from_secs(5), "{:?}", start.elapsed());
    for expected in [
        "sites/pipe.toml cannot be read: it is no file",
        "sites/endless.toml cannot be read: it is no file",
        "sites/loop.toml cannot be read",
        "sites/folder.toml cannot be read: it is no file",
        "sites/large.toml cannot be read: it is larger than 4096 KiB",
        "sites/binary.toml cannot be read: it is not UTF-8 text",
        "there are more faults",
    ] {
        assert!(said.contains(expected), "{expected}\n{}", said.chars().take(4_000).collect::<String>());
    }
    assert!(said.matches('×').count() <= 110 && said.len() < 100_000, "{} bytes", said.len());
}

#[test]
fn a_transfer_of_a_zone_that_is_not_there_names_the_nearest() {
    let network = crate::support::Network::new(91, ([10, 0, 0, 1], 80).into(), "");
    let text = fs::read_to_string(network.path("hither.toml")).unwrap();
    let zone = "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 1h 2w 5m\n@ NS ns1\nns1 A 192.0.2.1\n";
    fs::create_dir_all(network.path("zones")).unwrap();
    fs::write(network.path("zones/shop.example"), zone).unwrap();
    let transfer = "[[transfer]]\nzones = [\"shop.exampel\"]\nto = [\"192.0.2.7\"]\n";
    fs::write(network.path("hither.toml"), format!("{text}\n{transfer}")).unwrap();
    let said = run(HITHER, &["check", &network.dir.path().display().to_string()]);
    assert!(said.contains("there is no zone file `shop.exampel`"), "{said}");
    assert!(said.contains("did you mean `shop.example`?") && said.contains("[hither.toml:"), "{said}");
}

#[test]
fn what_is_likely_a_mistake_is_a_warning() {
    let network = crate::support::Network::new(90, ([10, 0, 0, 1], 80).into(), "");
    let site = fs::read_to_string(network.path("sites/shop.toml")).unwrap();
    fs::write(network.path("sites/shop.toml"), site.replace("allow_private = true", "")).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let other = rcgen::CertificateParams::new(vec!["*.other.example".to_owned()]).unwrap().self_signed(&key).unwrap();
    fs::write(network.path("secrets/other.pem"), other.pem()).unwrap();
    fs::write(network.path("secrets/other.key"), key.serialize_pem()).unwrap();
    let other = "hosts = [\"*.other.example\", \"other.example\"]\ntls = { cert = \"other.pem\", key = \"other.key\" }\n\
                 [origin]\nservers = [\"https://o.example\"]\n";
    fs::write(network.path("sites/other.toml"), other).unwrap();
    fs::write(network.path("sites/news.tml"), "").unwrap();
    let zone = "$TTL 1h\n@ SOA ns1 hostmaster 1 2h 1h 2w 5m\n@ NS ns1\nns1 A 192.0.2.1\n";
    fs::write(network.path("zones/news.example.zone"), zone).unwrap();
    let text = fs::read_to_string(network.path("hither.toml")).unwrap();
    let disk = "memory = \"64MiB\"\ndisk = { path = \"hither.toml\", size = \"64MiB\" }";
    fs::write(network.path("hither.toml"), text.replace("memory = \"64MiB\"", disk)).unwrap();
    let said = run(HITHER, &["check", &network.dir.path().display().to_string()]);
    for expected in [
        "sites/shop.toml: the origin `10.0.0.1` is a private address",
        "secrets/other.pem is not a certificate for other.example",
        "this file is not read",
        "sites/news.tml",
        "the file's name is the zone's: without .zone it is `news.example`",
        "hither.toml` is no directory: nothing will outlive a restart",
        ": good.",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
    assert!(!said.contains("for *.other.example"), "{said}");
}

/// What a program is told of a directory, and the exit code.
fn told(network: &crate::support::Network) -> (Value, Option<i32>) {
    told_of(network, &[])
}

/// The same with more options.
fn told_of(network: &crate::support::Network, more: &[&str]) -> (Value, Option<i32>) {
    let output = Command::new(HITHER).args(["check", "--json"]).args(more).arg(network.dir.path()).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let told = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    (told, output.status.code())
}

/// Those of its problems of which a key says something.
fn problems(told: &Value, key: &str, says: &str) -> Vec<Value> {
    let all = told["problems"].as_array().unwrap();
    all.iter().filter(|problem| problem[key].as_str().is_some_and(|text| text.contains(says))).cloned().collect()
}

#[test]
fn a_program_is_told_all_in_one_object() {
    let network = crate::support::Network::new(90, ([192, 0, 2, 1], 80).into(), "");
    let (good, code) = told(&network);
    assert_eq!((&good["good"], code), (&json!(true), Some(0)), "{good}");
    assert!(problems(&good, "severity", "fault").is_empty(), "{good}");
    let counts = json!({ "pops": 1, "edges": 1, "name_servers": 1, "sites": 1, "zones": 0, "routes": 0 });
    assert_eq!(good["counts"], counts);
    assert_eq!(good["directory"], network.dir.path().display().to_string());
    assert!(good["online"].is_null() && good["plan"].is_null() && good["failure"].is_null(), "{good}");
    fs::write(network.path("routes.toml"), "[[route]]\ncountry = \"DE\"\npin = \"ones\"\n").unwrap();
    let (refused, code) = told(&network);
    assert_eq!((&refused["good"], &refused["counts"], code), (&json!(false), &Value::Null, Some(1)), "{refused}");
    let faults = problems(&refused, "severity", "fault");
    assert_eq!(faults.len(), 1, "{refused}");
    assert_eq!((&faults[0]["file"], &faults[0]["line"]), (&json!("routes.toml"), &json!(3)), "{refused}");
    assert_eq!(faults[0]["message"], "there is no PoP `ones`");
    assert_eq!(faults[0]["help"], "did you mean `one`?");
}

#[test]
fn a_program_is_told_what_was_found_though_not_all_could_be_looked_at() {
    let network = crate::support::Network::new(90, ([192, 0, 2, 1], 80).into(), "");
    let (told, code) = told_of(&network, &["--plan"]);
    assert_eq!((&told["good"], &told["plan"], code), (&json!(true), &Value::Null, Some(1)), "{told}");
    let failure = told["failure"].as_str().unwrap_or_default();
    assert!(failure.contains("no name server has served here"), "{told}");
}

#[test]
fn without_a_fleet_key_check_names_the_file_and_what_is_lost() {
    let network = crate::support::Network::new(90, ([192, 0, 2, 1], 80).into(), "");
    let (told_with_it, _) = told(&network);
    assert!(problems(&told_with_it, "message", "fleet.key").is_empty(), "{told_with_it}");
    fs::remove_file(network.path("secrets/fleet.key")).unwrap();
    let warned = || {
        let (told, code) = told(&network);
        assert_eq!((&told["good"], code), (&json!(true), Some(0)), "{told}");
        let warnings = problems(&told, "message", "there is no secrets/fleet.key");
        assert_eq!(warnings.len(), 1, "{told}");
        assert_eq!(warnings[0]["severity"], "warning");
        assert_eq!(warnings[0]["help"], "write at least 16 random characters there, the same on every node, mode 0600");
        warnings[0]["message"].as_str().unwrap().to_owned()
    };
    let lost = warned();
    assert!(!lost.contains("gather"), "{lost}");
    network.edit(|text| text.replace("[admin]\n", "[admin]\ngather = [\"ns1\"]\n"));
    assert_eq!(warned(), format!("{lost}, and `ns1`, named by `gather` of [admin], cannot hear of other nodes"));
}
