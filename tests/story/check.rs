//! A config with mistakes is told all of them.

use std::fs;

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
    let output = std::process::Command::new(HITHER).arg("check").arg(dir.path()).output().unwrap();
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
