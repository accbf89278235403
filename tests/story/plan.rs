//! What another config would do, and what the map is worth, is told before it counts.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

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
    let said: Value = serde_json::from_str(&run(HITHER, &["plan", &old, &new, "--json"])).unwrap();
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
    // Warnings are on standard error.
    let output = Command::new(HITHER).args(["check", &old, "--plan", "--json"]).output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    let told = (&said["good"], &said["counts"]["pops"], &said["counts"]["sites"]);
    assert_eq!(told, (&json!(true), &json!(2), &json!(1)), "{said}");
    let (one, two) = (&said["plan"]["pops"][0], &said["plan"]["pops"][1]);
    let ids_and_before = (&one["pop"], &one["before"], &two["pop"], &two["before"]);
    assert_eq!(ids_and_before, (&json!("one"), &json!(1.0), &json!("two"), &json!(0.0)), "{said}");
    assert!((two["after"].as_f64().unwrap() - moved).abs() < 1e-9, "{said}");
}

/// A world of 60 nodes on three continents whose round trips are what distance says, but for the first PoP: what
/// goes there takes 80 ms more. Geography does not know, what is learned does.
#[test]
fn a_bench_tells_what_learning_is_worth() {
    let dir = tempfile::tempdir().unwrap();
    let place = |node: usize| {
        let (latitude, longitude) = [(50.0, 8.0), (40.0, -75.0), (35.0, 139.0)][node % 3];
        (latitude + (node / 3 % 5) as f64, longitude + (node / 15) as f64)
    };
    let km = |a: usize, b: usize| {
        let ((north, east), (other_north, other_east)) = (place(a), place(b));
        let [a, b, turn] = [north, other_north, east - other_east].map(f64::to_radians);
        6_371.0 * (a.sin() * b.sin() + a.cos() * b.cos() * turn.cos()).clamp(-1.0, 1.0).acos()
    };
    let detour = |a: usize, b: usize| if a == 0 || b == 0 { 80.0 } else { 0.0 };
    let row = |a: usize| {
        let cells = (0..60)
            .map(|b| if a == b { "nan".to_owned() } else { format!("{:.2}", km(a, b) / 50.0 + 5.0 + detour(a, b)) });
        cells.collect::<Vec<_>>().join(",")
    };
    let (matrix, nodes) = (dir.path().join("matrix.csv"), dir.path().join("nodes.csv"));
    fs::write(&matrix, (0..60).map(|a| row(a) + "\n").collect::<String>()).unwrap();
    let line = |node: usize| format!("n{node},{},{}\n", place(node).0, place(node).1);
    fs::write(&nodes, (0..60).map(line).collect::<String>()).unwrap();
    let (matrix, nodes) = (matrix.display().to_string(), nodes.display().to_string());
    // Two PoPs in Europe, one in America, one in Japan.
    let pops = ["--pop", "n0", "--pop", "n3", "--pop", "n1", "--pop", "n2"];
    let bench = |more: &[&str]| run(HITHER, &[&["map", "bench", "--matrix", &matrix], more].concat());
    let said = bench(&[&["--nodes", &nodes], &pops[..]].concat());
    let mean = |way: &str| -> f64 {
        let row = said.lines().find(|line| line.starts_with(way)).unwrap_or_else(|| panic!("{said}"));
        row.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    assert!(mean("random") > mean("geography") && mean("geography") > mean("optimal") + 3.0, "{said}");
    assert!(mean("prior") < mean("geography") - 1.0, "{said}");
    assert!(mean("learned") < mean("optimal") + 1.0, "{said}");
    assert!(said.contains("4 PoPs, 56 clients, coordinates as given, seed 1"), "{said}");
    assert_eq!(bench(&[&["--nodes", &nodes], &pops[..]].concat()), said, "the same seed, the same table");
    let told = bench(&[&["--nodes", &nodes, "--json"], &pops[..]].concat());
    let told: Value = serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error}: {told}"));
    assert_eq!(told["pops"], json!(["n0", "n3", "n1", "n2"]), "{told}");
    let about = (&told["clients"], &told["coordinates"], &told["seed"]);
    assert_eq!(about, (&json!(56), &json!("given"), &json!(1)), "{told}");
    for (way, sent_by) in
        told["ways"].as_array().unwrap().iter().zip(["random", "geography", "prior", "learned", "optimal"])
    {
        assert_eq!(way["sent_by"], sent_by, "{told}");
        assert_eq!(format!("{:.1}", way["mean_ms"].as_f64().unwrap()), format!("{:.1}", mean(sent_by)), "{told}");
    }
    assert_eq!((&told["ways"][1]["gap_closed"], &told["ways"][4]["gap_closed"]), (&json!(0.0), &json!(1.0)), "{told}");
    let number = |key: &str| told["learning"][key].as_f64().unwrap();
    let (learning_ms, closed) = (number("mean_ms"), 100.0 * number("gap_closed"));
    let learning = format!("50 samples a prefix: {learning_ms:.1} ms on average ({closed:.0} % of the gap)");
    assert!(said.contains(&learning) && number("samples_per_prefix") == 50.0, "{learning}: {said}");
    fs::write(&nodes, line(0)).unwrap();
    let said = bench(&["--nodes", &nodes]);
    assert!(said.contains("1 nodes, but 60 rows in the matrix"), "{said}");
}
