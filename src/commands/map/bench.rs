//! `hither map bench`: judges the map by a matrix of round trips.

use config::Location;

use super::figures::{Bench, Coordinates, Figures, Way};
use super::fit::fit;
use super::matrix::{Matrix, Node, read_nodes};
use super::plot;
use super::trial::{Client, Dice, Outcome, World};
use crate::cli::MapBench;
use crate::exit::{Done, Exit, Failure};
use crate::say::say;

/// Samples that each prefix gives while the map learns.
const ROUNDS: usize = 50;

pub(crate) fn run(args: &MapBench) -> Done {
    let matrix = Matrix::read(&args.matrix)?;
    let nodes = args.nodes.as_deref().map(read_nodes).transpose()?;
    let mut dice = Dice::new(args.seed);
    let (locations, judged, coordinates) = match &nodes {
        Some(nodes) if nodes.len() != matrix.len() => {
            let (nodes, rows) = (nodes.len(), matrix.len());
            return Err(Failure::operator(format!("{nodes} nodes, but {rows} rows in the matrix: one each is wanted")));
        }
        Some(nodes) => {
            let locations: Vec<Location> = nodes.iter().map(|node| node.location).collect();
            (locations, (0..matrix.len()).collect::<Vec<usize>>(), Coordinates::Given)
        }
        None => {
            let (locations, is_landmark) = fit(&matrix, &mut dice);
            let others = (0..matrix.len()).filter(|node| is_landmark.get(*node) == Some(&false));
            (locations, others.collect(), Coordinates::Fitted)
        }
    };
    let pops = match &args.pop {
        named if named.is_empty() => spread(&locations, &judged, args.pops),
        named => find(named, nodes.as_deref(), matrix.len())?,
    };
    let world = world(&matrix, &locations, &judged, &pops)?;
    let bench = Bench {
        pops: pops.iter().map(|pop| name(*pop, nodes.as_deref())).collect(),
        clients: world.clients.len(),
        coordinates,
        seed: args.seed,
    };
    if !args.json {
        say(format!("{}\nPoPs: {}\n", bench.title(), bench.pops.join(" ")));
    }
    let outcome = world.learn(ROUNDS, &mut dice);
    let ways = ways(&world, &outcome, &mut dice);
    let figures = Figures::of(&ways, &outcome, ROUNDS);
    let text = if args.json { figures.json(&bench).map_err(Failure::ours)? } else { figures.show() };
    say(text.trim_end());
    if let Some(file) = &args.plot {
        let drawn = plot::draw(file, &bench.title(), &ways);
        drawn.map_err(|why| {
            Failure::operator(format!("cannot draw {}: {why}; name a file that you may write to", file.display()))
        })?;
        if !args.json {
            say(format!("drawn: {}", file.display()));
        }
    }
    Ok(Exit::Done)
}

fn ways(world: &World, outcome: &Outcome, dice: &mut Dice) -> [Way; 5] {
    let random = world
        .clients
        .iter()
        .filter_map(|client| client.round_trips.get(dice.below(client.round_trips.len())).copied())
        .collect();
    [
        ("random", random),
        ("geography", world.assigned(|client, pop| world.distance(client, pop))),
        ("prior", world.assigned(|client, pop| world.prior(client, pop))),
        ("learned", outcome.learned.clone()),
        ("optimal", world.assigned(|client, pop| client.round_trips.get(pop).copied().unwrap_or(f64::INFINITY))),
    ]
}

fn world(matrix: &Matrix, locations: &[Location], judged: &[usize], pops: &[usize]) -> Result<World, Failure> {
    let place = |node: usize| locations.get(node).copied().unwrap_or(Location { latitude: 0.0, longitude: 0.0 });
    let clients = judged.iter().filter(|node| !pops.contains(node)).filter_map(|node| {
        let round_trips: Option<Vec<f64>> = pops.iter().map(|pop| matrix.between(*node, *pop)).collect();
        Some(Client { location: place(*node), round_trips: round_trips? })
    });
    let clients: Vec<Client> = clients.collect();
    if clients.is_empty() || pops.len() < 2 {
        return Err(Failure::operator("two PoPs and a client with round trips to all of them are needed"));
    }
    let between = |a: usize, b: usize| matrix.between(*pops.get(a)?, *pops.get(b)?);
    let at: Vec<Location> = pops.iter().map(|pop| place(*pop)).collect();
    Ok(World::new(&at, between, clients))
}

/// PoPs where they shorten the way to clients most, one after the other (greedy k-median): as an operator
/// would place them, who knows a map and no round trips.
fn spread(locations: &[Location], judged: &[usize], count: usize) -> Vec<usize> {
    let place = |node: usize| locations.get(node).copied();
    let distance = |a: usize, b: usize| place(a).zip(place(b)).map_or(0.0, |(a, b)| mapping::distance_km(a, b));
    let mut nearest: Vec<f64> = judged.iter().map(|_| f64::MAX).collect();
    let mut chosen: Vec<usize> = Vec::new();
    while chosen.len() < count.min(judged.len()) {
        let way = |pop: usize| -> f64 {
            judged.iter().zip(&nearest).map(|(node, nearest)| nearest.min(distance(*node, pop))).sum()
        };
        let free = judged.iter().copied().filter(|node| !chosen.contains(node));
        let Some(next) = free.map(|node| (way(node), node)).min_by(|a, b| a.0.total_cmp(&b.0)) else {
            break;
        };
        chosen.push(next.1);
        for (node, nearest) in judged.iter().zip(&mut nearest) {
            *nearest = nearest.min(distance(*node, next.1));
        }
    }
    chosen
}

fn find(named: &[String], nodes: Option<&[Node]>, count: usize) -> Result<Vec<usize>, Failure> {
    let one = |wanted: &String| {
        let by_name = nodes.and_then(|nodes| nodes.iter().position(|node| node.name == *wanted));
        let by_number = wanted.parse::<usize>().ok().filter(|number| *number < count);
        by_name.or(by_number).ok_or_else(|| Failure::operator(format!("--pop {wanted}: no node has this name or row")))
    };
    named.iter().map(one).collect()
}

fn name(node: usize, nodes: Option<&[Node]>) -> String {
    let named = nodes.and_then(|nodes| nodes.get(node)).map(|node| node.name.clone());
    named.unwrap_or_else(|| node.to_string())
}
