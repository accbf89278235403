//! What a bench tells of each way to send clients: as a table, and as JSON.

use serde::Serialize;

use super::trial::Outcome;
use crate::commands::table;

/// How clients are sent, and the round trip that each gets by it, milliseconds.
pub(super) type Way = (&'static str, Vec<f64>);

/// What is judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Bench {
    /// The nodes that are PoPs, by name, else by row.
    pub(super) pops: Vec<String>,
    /// How many nodes are clients.
    pub(super) clients: usize,
    /// Where coordinates are from.
    pub(super) coordinates: Coordinates,
    /// Where randomness began.
    pub(super) seed: u64,
}

/// Where coordinates are from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Coordinates {
    /// From a file.
    Given,
    /// From round trips to the half of the nodes that is not judged.
    Fitted,
}

/// What clients get by each way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Figures {
    /// From random to optimal.
    ways: Vec<OfWay>,
    /// How it went while the map learned.
    learning: Learning,
}

/// What clients get who are sent one way.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct OfWay {
    /// By what they are sent.
    sent_by: &'static str,
    /// Their round trip on average, milliseconds.
    mean_ms: f64,
    /// What half of them do not exceed.
    p50_ms: f64,
    /// What 95 of 100 do not exceed.
    p95_ms: f64,
    /// The share of the gap that this closes; less than nothing where it is worse than geography.
    gap_closed: Option<f64>,
}

/// What clients got while the map learned, trials included.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Learning {
    /// Samples that each prefix gave.
    samples_per_prefix: usize,
    /// The round trip on average, milliseconds.
    mean_ms: f64,
    /// The share of the gap that this closes.
    gap_closed: Option<f64>,
    /// The share of answers that were trials.
    trials: f64,
    /// Moves to a PoP that is really farther, for each group.
    wrong_moves_per_group: f64,
}

/// What there is to gain: from the mean by geography to that of the optimum.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Gap {
    geography_ms: f64,
    optimal_ms: f64,
}

impl Bench {
    /// What is judged, on a line.
    pub(super) fn title(&self) -> String {
        let how = match self.coordinates {
            Coordinates::Given => "coordinates as given",
            Coordinates::Fitted => "coordinates fitted on the other half of the nodes",
        };
        format!("{} PoPs, {} clients, {how}, seed {}", self.pops.len(), self.clients, self.seed)
    }
}

impl Figures {
    /// Adds the clients of each way up; each prefix gave so many samples while the map learned.
    pub(super) fn of(ways: &[Way; 5], outcome: &Outcome, samples_per_prefix: usize) -> Self {
        let [_, (_, geography), .., (_, optimal)] = ways;
        let gap = Gap { geography_ms: mean(geography), optimal_ms: mean(optimal) };
        let of_way = |(sent_by, all): &Way| OfWay {
            sent_by,
            mean_ms: mean(all),
            p50_ms: part(all, 0.5),
            p95_ms: part(all, 0.95),
            gap_closed: gap.share(mean(all)),
        };
        let learning = Learning {
            samples_per_prefix,
            mean_ms: outcome.meanwhile,
            gap_closed: gap.share(outcome.meanwhile),
            trials: outcome.tried / 100.0,
            wrong_moves_per_group: outcome.wrong_moves / 100.0,
        };
        Self { ways: ways.iter().map(of_way).collect(), learning }
    }

    /// The table.
    pub(super) fn show(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", 100.0 * share);
        let row = |way: &OfWay| {
            let ms = |value: f64| format!("{value:.1} ms");
            let closed = way.gap_closed.map_or_else(|| "-".to_owned(), percent);
            vec![way.sent_by.to_owned(), ms(way.mean_ms), ms(way.p50_ms), ms(way.p95_ms), closed]
        };
        let rows: Vec<Vec<String>> = self.ways.iter().map(row).collect();
        let Learning { samples_per_prefix, mean_ms, gap_closed, trials, wrong_moves_per_group } = &self.learning;
        let of_gap = gap_closed
            .map_or_else(|| "geography leaves no gap".to_owned(), |share| format!("{} of the gap", percent(share)));
        format!(
            "{}\nwhile learning, {samples_per_prefix} samples a prefix: {mean_ms:.1} ms on average ({of_gap}), {:.2} % of \
             answers were trials, {:.1} wrong moves in 100 groups\n",
            table::draw(&["sent by", "mean", "p50", "p95", "gap closed"], &rows),
            100.0 * trials,
            100.0 * wrong_moves_per_group,
        )
    }

    /// As JSON, with what was judged.
    pub(super) fn json(&self, bench: &Bench) -> Result<String, serde_json::Error> {
        #[derive(Serialize)]
        struct Told<'a> {
            #[serde(flatten)]
            bench: &'a Bench,
            #[serde(flatten)]
            figures: &'a Figures,
        }
        serde_json::to_string_pretty(&Told { bench, figures: self })
    }
}

impl Gap {
    /// How much of it a mean closes; of no gap there is no share.
    fn share(&self, mean_ms: f64) -> Option<f64> {
        let gap = self.geography_ms - self.optimal_ms;
        (gap > 0.0).then(|| (self.geography_ms - mean_ms) / gap)
    }
}

fn mean(all: &[f64]) -> f64 {
    all.iter().sum::<f64>() / all.len().max(1) as f64
}

/// The value below which this part of them lies.
fn part(all: &[f64], share: f64) -> f64 {
    let mut sorted = all.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = ((sorted.len().max(1) - 1) as f64 * share).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn bench() -> Bench {
        let pops = vec!["fra".to_owned(), "syd".to_owned()];
        Bench { pops, clients: 2, coordinates: Coordinates::Fitted, seed: 7 }
    }

    fn figures(geography: [f64; 2]) -> Figures {
        let ways = [
            ("random", vec![90.0, 110.0]),
            ("geography", geography.to_vec()),
            ("prior", vec![24.0, 12.0]),
            ("learned", vec![12.0, 12.0]),
            ("optimal", vec![10.0, 10.0]),
        ];
        let outcome = Outcome { learned: vec![12.0, 12.0], meanwhile: 15.0, wrong_moves: 50.0, tried: 1.0 };
        Figures::of(&ways, &outcome, 50)
    }

    #[test]
    fn a_table_has_a_row_for_each_way() {
        assert_eq!(bench().title(), "2 PoPs, 2 clients, coordinates fitted on the other half of the nodes, seed 7");
        assert_eq!(
            figures([10.0, 30.0]).show(),
            "sent by    mean      p50       p95       gap closed\n\
             random     100.0 ms  110.0 ms  110.0 ms  -800 %\n\
             geography  20.0 ms   30.0 ms   30.0 ms   0 %\n\
             prior      18.0 ms   24.0 ms   24.0 ms   20 %\n\
             learned    12.0 ms   12.0 ms   12.0 ms   80 %\n\
             optimal    10.0 ms   10.0 ms   10.0 ms   100 %\n\
             \nwhile learning, 50 samples a prefix: 15.0 ms on average (50 % of the gap), 1.00 % of answers were trials, \
             50.0 wrong moves in 100 groups\n"
        );
    }

    #[test]
    fn a_program_is_told_the_same_in_shares() {
        let told: Value = serde_json::from_str(&figures([10.0, 30.0]).json(&bench()).unwrap()).unwrap();
        assert_eq!(told["pops"], json!(["fra", "syd"]));
        assert_eq!(
            (&told["clients"], &told["coordinates"], &told["seed"]),
            (&json!(2), &json!("fitted"), &json!(7)),
            "{told}"
        );
        let row = json!({ "sent_by": "learned", "mean_ms": 12.0, "p50_ms": 12.0, "p95_ms": 12.0, "gap_closed": 0.8 });
        assert_eq!(told["ways"][3], row);
        assert_eq!(told["ways"][0]["gap_closed"], json!(-8.0));
        let learning = json!({
            "samples_per_prefix": 50, "mean_ms": 15.0, "gap_closed": 0.5, "trials": 0.01, "wrong_moves_per_group": 0.5,
        });
        assert_eq!(told["learning"], learning);
    }

    #[test]
    fn no_gap_has_no_share() {
        let shown = figures([10.0, 10.0]).show();
        assert!(shown.contains("\nrandom     100.0 ms  110.0 ms  110.0 ms  -\n"), "{shown}");
        assert!(shown.contains("15.0 ms on average (geography leaves no gap), "), "{shown}");
        let told: Value = serde_json::from_str(&figures([10.0, 10.0]).json(&bench()).unwrap()).unwrap();
        assert_eq!((&told["ways"][3]["mean_ms"], &told["ways"][3]["gap_closed"]), (&json!(12.0), &Value::Null));
    }
}
