//! Coordinates for nodes of which only round trips are known.
//!
//! Half of the nodes are landmarks: they are placed by the round trips among them. The others are placed
//! by their round trips to the landmarks alone, so that nothing by which the map is judged, the round trips
//! among those others, has placed anybody. Which way is north is not found, and does not matter.

use config::Location;
use mapping::{EARTH_KM, KM_PER_MS};

use super::matrix::Matrix;
use super::trial::Dice;

/// Rounds in which every node is moved.
const ROUNDS: usize = 300;
/// Round trips a node is moved by in a round.
const SPRINGS: usize = 24;

/// A node on the sphere, with what each of its ways has beyond distance (Dabek et al. 2004, "Vivaldi").
#[derive(Clone, Copy)]
struct Spot {
    at: [f64; 3],
    height_ms: f64,
}

/// Places for all nodes, and which of them were landmarks.
pub(super) fn fit(matrix: &Matrix, dice: &mut Dice) -> (Vec<Location>, Vec<bool>) {
    let count = matrix.len();
    let mut order: Vec<usize> = (0..count).collect();
    dice.shuffle(&mut order);
    let (landmarks, others) = order.split_at(count / 2);
    let mut spots: Vec<Spot> = (0..count).map(|_| Spot { at: dice.direction(), height_ms: 2.0 }).collect();
    // Landmarks first, among themselves; then the others, while the landmarks stay.
    for nodes in [landmarks, others] {
        for round in 0..ROUNDS {
            let step = 0.25 * (1.0 - round as f64 / ROUNDS as f64).max(0.05);
            for node in nodes {
                for _ in 0..SPRINGS {
                    let landmark = landmarks.get(dice.below(landmarks.len())).copied().unwrap_or(0);
                    if let Some(ms) = matrix.between(*node, landmark).filter(|_| landmark != *node) {
                        pull(&mut spots, *node, landmark, ms, step);
                    }
                }
            }
        }
    }
    let mut is_landmark = vec![false; count];
    for landmark in landmarks {
        if let Some(mark) = is_landmark.get_mut(*landmark) {
            *mark = true;
        }
    }
    (spots.iter().map(|spot| location(spot.at)).collect(), is_landmark)
}

/// Moves a node towards where its round trip to another is what was measured.
fn pull(spots: &mut [Spot], node: usize, other: usize, ms: f64, step: f64) {
    let (Some(mine), Some(theirs)) = (spots.get(node).copied(), spots.get(other).copied()) else {
        return;
    };
    let cosine: f64 = mine.at.iter().zip(theirs.at).map(|(a, b)| a * b).sum();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let expected = angle * EARTH_KM / KM_PER_MS + mine.height_ms + theirs.height_ms;
    // Relative, so that far nodes do not outweigh near ones, and bounded, so that no detour does.
    let error = ((expected - ms) / ms.max(10.0)).clamp(-1.0, 1.0);
    // Along the great circle to the other.
    let tangent: Vec<f64> = theirs.at.iter().zip(mine.at).map(|(b, a)| b - cosine * a).collect();
    let length = tangent.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
    let turn = error * step * ms.max(10.0) * KM_PER_MS / EARTH_KM / 2.0;
    let mut at = [0.0; 3];
    for ((to, from), along) in at.iter_mut().zip(mine.at).zip(&tangent) {
        *to = from + turn * along / length;
    }
    let norm = at.iter().map(|x| x * x).sum::<f64>().sqrt().max(1e-9);
    if let Some(spot) = spots.get_mut(node) {
        spot.at = at.map(|x| x / norm);
        spot.height_ms = (mine.height_ms - error * step * 2.0).clamp(0.0, 40.0);
    }
}

fn location([x, y, z]: [f64; 3]) -> Location {
    Location { latitude: z.clamp(-1.0, 1.0).asin().to_degrees(), longitude: y.atan2(x).to_degrees() }
}
