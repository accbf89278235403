//! What another config would do is told before it does.

use std::fs;

use crate::support::{HITHER, Network, copy_dir, run};

#[test]
fn a_plan_tells_what_another_config_would_do() {
    let network = Network::new(173, ([127, 0, 2, 173], 9).into(), "");
    let (old, new) = (network.dir.path(), tempfile::tempdir().unwrap());
    copy_dir(old, new.path());
    let tokyo = "[[pop]]\nid = \"two\"\nlocation = [35.7, 139.7]\n[[pop.edge]]\nid = \"two-1\"\naddresses = [\"127.0.2.174\"]\n";
    let file = new.path().join("hither.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{text}{tokyo}")).unwrap();
    let (old, new) = (old.display().to_string(), new.path().display().to_string());
    let said: serde_json::Value = serde_json::from_str(&run(HITHER, &["plan", &old, &new, "--json"])).unwrap();
    let share = |place: usize, when: &str| said["pops"][place][when].as_f64().unwrap();
    assert_eq!((share(0, "before"), share(1, "before")), (1.0, 0.0));
    // East Asia, and who lives round it: a good third of the people, India not among them.
    let moved = said["moved"].as_f64().unwrap();
    assert!((0.3..0.45).contains(&moved) && (share(1, "after") - moved).abs() < 1e-9, "{said}");
    assert!((said["cold"].as_f64().unwrap() - moved).abs() < 1e-9, "{said}");
    let mean = |when: &str| said["cost_ms"][when]["mean"].as_f64().unwrap();
    assert!(mean("after") < mean("before") * 0.8, "{said}");
    // One who asks from Zurich stays.
    let log = network.path("queries.jsonl");
    let line = r#"{"time_ms":1,"resolver":"129.132.0.1","name":"shop.cdn.example.","kind":"A","rcode":"NOERROR","scope":0,"transport":"udp"}"#;
    fs::write(&log, format!("{line}\n")).unwrap();
    let said = run(HITHER, &["plan", &old, &new, "--queries", log.to_str().unwrap()]);
    assert!(said.contains("tried on 1 queries of") && said.contains("moved   0.0 % of"), "{said}");
    // `check` compares with what has served here.
    let kept = network.dir.path().join(".state/ns1/last-good");
    fs::create_dir_all(&kept).unwrap();
    fs::copy(network.path("hither.toml"), kept.join("hither.toml")).unwrap();
    copy_dir(&network.path("sites"), &kept.join("sites"));
    fs::copy(&file, network.path("hither.toml")).unwrap();
    let said = run(HITHER, &["check", &old, "--plan"]);
    assert!(said.contains("2 PoPs") && said.contains("one  100.0 %"), "{said}");
}
