//! What is shown and watched by Grafana and Prometheus is there: series, and what to do when an alert fires.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

fn read(path: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The series of ours that a text names.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|char: char| !char.is_ascii_alphanumeric() && char != '_');
    words.filter(|word| word.starts_with("hither_")).collect()
}

/// The series that a node has: a histogram is several.
fn there(reference: &str) -> BTreeSet<String> {
    let rows = reference.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let series = |(name, rest): (&str, &str)| match rest.split(' ').next() {
        Some("histogram") => ["_bucket", "_sum", "_count"].map(|end| format!("{name}{end}")).to_vec(),
        _ => vec![name.to_owned()],
    };
    rows.flat_map(series).collect()
}

/// Every expression of a dashboard's panels.
fn expressions(value: &serde_json::Value) -> Vec<&str> {
    match value {
        serde_json::Value::Object(fields) => {
            let own = fields.get("expr").and_then(serde_json::Value::as_str);
            own.into_iter().chain(fields.values().flat_map(expressions)).collect()
        }
        serde_json::Value::Array(list) => list.iter().flat_map(expressions).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn every_series_that_is_shown_or_watched_is_one_that_nodes_have() {
    let there = there(&read("docs/metrics.md"));
    assert!(there.contains("hither_request_duration_seconds_bucket") && there.contains("hither_edge_up"), "{there:?}");
    let dashboard = read("deploy/grafana/hither.json");
    let parsed: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    assert!(expressions(&parsed).iter().filter(|expression| !named(expression).is_empty()).count() > 30);
    for (file, text) in [
        ("the dashboard", dashboard),
        ("the alerts", read("deploy/grafana/alerts.yml")),
        ("the alerts' tests", read("deploy/grafana/alerts.test.yml")),
    ] {
        let unknown: Vec<&str> = named(&text).into_iter().filter(|name| !there.contains(*name)).collect();
        assert!(unknown.is_empty(), "{file} names what docs/metrics.md does not have: {unknown:?}");
    }
}

#[test]
fn every_alert_has_a_test_and_names_a_section_of_the_runbook() {
    let (alerts, tests) = (read("deploy/grafana/alerts.yml"), read("deploy/grafana/alerts.test.yml"));
    let after = |text: &str, word: &str| -> Vec<String> {
        text.lines()
            .filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix(word))
            .map(str::to_owned)
            .collect()
    };
    let names = after(&alerts, "alert: ");
    let runbooks = after(&alerts, "runbook: ");
    assert!(names.len() > 10 && names.len() == runbooks.len(), "{names:?} {runbooks:?}");
    for name in names {
        let fires = tests.contains(&format!("- alertname: {name}\n"));
        assert!(fires, "no test shows that {name} fires");
    }
    for runbook in runbooks {
        assert!(runbook.starts_with("docs/operations.md#"), "{runbook}");
    }
}

#[test]
fn what_the_tests_of_alerts_ask_the_dashboard_shows() {
    let (dashboard, tests) = (read("deploy/grafana/hither.json"), read("deploy/grafana/alerts.test.yml"));
    let dashboard: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let shown = expressions(&dashboard);
    let asked: Vec<&str> =
        tests.lines().filter_map(|line| line.trim().strip_prefix("- expr: '")?.strip_suffix('\'')).collect();
    assert!(!asked.is_empty());
    for expression in asked {
        assert!(shown.contains(&expression), "no panel shows {expression}");
    }
}
