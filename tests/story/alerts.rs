//! What watches over a network from outside: alert rules, judged by Prometheus' own tool.

use std::path::PathBuf;
use std::process::Command;

use crate::support::outcome;

#[test]
fn alerts_fire_when_they_should_and_not_before() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana");
    for (args, expected) in [
        (["check", "rules", "alerts.yml"], "SUCCESS: 13 rules found"),
        (["test", "rules", "alerts.test.yml"], "SUCCESS"),
    ] {
        let (said, code) = outcome(Command::new("promtool").args(args).current_dir(&folder));
        assert!(code == 0 && said.contains(expected), "{args:?}: {said}");
    }
}
