//! What lies under deploy/ for containers and Kubernetes: configs that are good, manifests that fit their schemas, a fleet
//! that answers.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{HITHER, Network, Origin, copy_dir, get, reply, run, wait_for};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A copy of a config directory, with the keys that its operator makes.
fn with_keys(from: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&Path::new(ROOT).join(from), dir.path());
    fs::create_dir_all(dir.path().join("secrets")).unwrap();
    for key in ["fleet.key", "admin.token"] {
        fs::write(dir.path().join("secrets").join(key), "0123456789abcdef").unwrap();
    }
    dir
}

#[test]
fn every_config_that_is_shipped_is_good() {
    let package = tempfile::tempdir().unwrap();
    fs::create_dir(package.path().join("secrets")).unwrap();
    fs::write(package.path().join("secrets/admin.token"), "0123456789abcdef").unwrap();
    fs::write(package.path().join("secrets/fleet.key"), "0123456789abcdef").unwrap();
    fs::copy(Path::new(ROOT).join("deploy/debian/hither.toml.example"), package.path().join("hither.toml")).unwrap();
    let (fleet, kubernetes) = (with_keys("deploy/docker/fleet"), with_keys("deploy/kubernetes/config"));
    for (dir, expected) in [
        (&package, "1 PoP, 1 edge, 1 name server, 0 sites"),
        (&fleet, "3 PoPs, 3 edges, 2 name servers, 1 site, 1 zone"),
        (&kubernetes, "1 PoP, 2 edges, 2 name servers, 1 site, 1 zone"),
    ] {
        let said = run(HITHER, &["check", &dir.path().display().to_string()]);
        assert!(said.contains("good.") && said.contains(expected) && !said.contains('×'), "{said}");
    }
}

/// All manifests as one stream: made by kubectl where it is, else as they stand, without the config's maps.
fn manifests() -> String {
    let dir = format!("{ROOT}/deploy/kubernetes");
    if let Ok(output) = Command::new("kubectl").args(["kustomize", dir.as_str()]).output() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return String::from_utf8(output.stdout).unwrap();
    }
    let files = ["namespace.yaml", "name-servers.yaml", "edges.yaml"];
    files.map(|file| fs::read_to_string(format!("{dir}/{file}")).unwrap()).join("\n---\n")
}

/// What the judge of manifests says of them, and whether they fit.
fn judged(manifests: &str, version: &str) -> (bool, String) {
    let python = format!("{ROOT}/target/tools/python/bin/python");
    let mut judge = Command::new(python)
        .arg(format!("{ROOT}/tests/story/manifests.py"))
        .arg(version)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Dropped, and so closed, at the end of the statement.
    judge.stdin.take().unwrap().write_all(manifests.as_bytes()).unwrap();
    let output = judge.wait_with_output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    (output.status.success(), said)
}

#[test]
fn manifests_fit_their_schemas() {
    let manifests = manifests();
    for version in ["1.30", "1.37"] {
        let (fits, said) = judged(&manifests, version);
        assert!(fits, "{version}: {said}");
        for expected in ["StatefulSet ns", "DaemonSet edges", "PodDisruptionBudget name-servers", "Service ns-1"] {
            assert!(said.contains(expected), "{expected}\n{said}");
        }
    }
    let (fits, said) = judged(&manifests.replace("terminationGracePeriodSeconds", "terminationGrace"), "1.30");
    assert!(!fits && said.contains("terminationGrace"), "{said}");
}

#[test]
fn the_fleet_of_containers_sends_each_client_to_the_nearest_and_purges() {
    // A network of one's own is root's to make.
    if !run("unshare", &["--net", "true"]).is_empty() {
        eprintln!("SKIPPED: `unshare --net` is refused here");
        return;
    }
    let fleet = with_keys("deploy/docker/fleet");
    let script = format!("{ROOT}/tests/story/machine/fleet.sh");
    let (config, origin) = (fleet.path().display().to_string(), format!("{ROOT}/deploy/demo/origin"));
    let isolated = ["--net", "--pid", "--fork", "--kill-child", "timeout", "60"];
    let said = run("unshare", &[&isolated[..], &[script.as_str(), HITHER, config.as_str(), origin.as_str()]].concat());
    for expected in [
        "193.0.6.0/24 172.30.9.11",
        "4.4.4.0/24 172.30.9.21",
        "133.11.0.0/24 172.30.9.31",
        "HTTP/1.1 200 OK",
        "nrt-1;fwd=uri-miss",
        "3 of 3 edges have acknowledged",
    ] {
        assert!(said.contains(expected), "{expected}\n{said}");
    }
}

/// Makes a directory's files what Kubernetes mounts: links through a link to a directory of this version.
fn mount(dir: &Path, version: &str, files: &[(&str, &str)]) {
    let data = dir.join(format!("..{version}"));
    fs::create_dir(&data).unwrap();
    for (name, text) in files {
        fs::write(data.join(name), text).unwrap();
        let link = dir.join(name);
        if !link.is_symlink() {
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(format!("..data/{name}"), link).unwrap();
        }
    }
    let new = dir.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..{version}"), &new).unwrap();
    fs::rename(new, dir.join("..data")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_kubernetes_swaps_are_taken_live() {
    let origin = Origin::start(|_, _| reply(200, &[], "x")).await;
    let network = Network::new(238, origin.address, "");
    let sites = network.path("sites");
    let site = fs::read_to_string(sites.join("shop.toml")).unwrap();
    mount(&sites, "one", &[("shop.toml", &site)]);
    let _edge = network.start("one-1");
    assert_eq!(get(network.edge, "/", &[]).await.unwrap().header("x-hello"), "");
    let changed = format!("{site}\n[[rule]]\nheaders = {{ set = {{ X-Hello = \"world\" }} }}\n");
    mount(&sites, "two", &[("shop.toml", &changed)]);
    fs::remove_dir_all(sites.join("..one")).unwrap();
    let handle = tokio::runtime::Handle::current();
    tokio::task::block_in_place(|| {
        wait_for(Duration::from_secs(5), "the change is live", || {
            let got = handle.block_on(get(network.edge, "/", &[]))?;
            if got.header("x-hello") == "world" { Ok(()) } else { Err(network.log("one-1")) }
        })
    });
}
