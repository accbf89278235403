//! docs/operations.md and how-tos, to the letter, on the tutorial's machines.

use crate::page::{Step, play, steps};
use crate::world::World;

const RUNBOOK: &str = include_str!("../../docs/operations.md");

const ALERTS: &str = include_str!("../../deploy/grafana/alerts.yml");

/// The how-tos that need nothing from outside, on the same machines after it.
const HOW_TOS: [&str; 3] = [
    include_str!("../../docs/how-to/apex.md"),
    include_str!("../../docs/how-to/measure.md"),
    include_str!("../../docs/how-to/purge-from-ci.md"),
];

#[test]
fn the_runbook_and_the_how_tos_are_true() {
    let (start, _) = include_str!("../../docs/tutorial.md").split_once("## 4. ").unwrap();
    let pages = [start, RUNBOOK].into_iter().chain(HOW_TOS);
    let steps: Vec<Step<'_>> = pages.flat_map(steps).collect();
    assert!(steps.len() > 80, "{steps:?}");
    let machines = ["fra=192.0.2.10", "syd=198.51.100.10", "gru=203.0.113.10", "nrt=198.18.0.10"];
    let mut world = World::new(&machines);
    play(&steps, |step| world.run(step));
}

#[test]
fn what_the_runbook_does_not_run_it_says() {
    let blocks: Vec<&str> = RUNBOOK.split("```sh\n").collect();
    assert!(blocks.len() > 2, "{}", blocks.len());
    for before in &blocks[..blocks.len() - 1] {
        let reason = before.trim_end().rsplit("\n\n").next().unwrap();
        assert!(reason.contains("ot run "), "a block comes without a reason:\n{reason}");
    }
}

#[test]
fn alerts_find_their_section() {
    let anchors: Vec<String> = RUNBOOK
        .lines()
        .filter_map(|line| line.strip_prefix("## ").or_else(|| line.strip_prefix("### ")))
        .map(|title| title.to_lowercase().replace(' ', "-"))
        .collect();
    let linked = ALERTS.split("operations.md#").skip(1).filter_map(|rest| rest.split_whitespace().next());
    for anchor in STABLE.into_iter().chain(linked) {
        let sections = anchors.iter().filter(|known| *known == anchor).count();
        assert_eq!(sections, 1, "{anchor}: {anchors:?}");
    }
}

/// What may be linked to from outside.
const STABLE: [&str; 17] = [
    "first-day",
    "add-a-pop",
    "lose-a-pop",
    "an-edge-is-down",
    "roll-a-version",
    "attack-under-way",
    "disk-gone",
    "certificate-stuck",
    "geo-data-old",
    "restore",
    "config-refused",
    "origin-failing",
    "purge-lags",
    "a-node-cannot-be-reached",
    "signatures-are-late",
    "log-lines-are-lost",
    "a-site-panics",
];
