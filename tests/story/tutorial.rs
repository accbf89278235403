//! docs/tutorial.md, to the letter, on three machines.

use crate::page::{play, steps};
use crate::world::World;

#[test]
fn the_tutorial_is_true() {
    let steps = steps(include_str!("../../docs/tutorial.md"));
    assert!(steps.len() > 30, "{steps:?}");
    let mut world = World::new(&["fra=192.0.2.10", "syd=198.51.100.10", "gru=203.0.113.10"]);
    play(&steps, |step| world.run(step));
}
