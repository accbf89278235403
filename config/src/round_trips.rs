//! `latency/*.csv`: round trips that the operator has measured.

use std::net::IpAddr;
use std::sync::Arc;

use crate::id::PopId;
use crate::limits;
use crate::prefix::Prefix;
use crate::problem::Problem;
use crate::register::Kind;
use crate::source::{Place, Source};
use crate::table::Context;
use crate::wrong::Wrong;

/// A line of `latency/*.csv`: `prefix,pop,rtt_ms[,samples]`.
#[derive(Clone, Debug)]
pub struct RoundTrip {
    /// Clients, a /24 (IPv6: /48) or wider.
    pub prefix: Prefix,
    /// To which PoP.
    pub pop: PopId,
    /// Milliseconds.
    pub rtt_ms: f64,
    /// How many measurements it stands for.
    pub samples: u16,
    /// Where it stands.
    pub place: Place,
}

impl RoundTrip {
    /// Reads a text of the same form that is no file of a config; whether there are such PoPs is not asked.
    ///
    /// # Errors
    /// The first line that says no round trip.
    pub fn read_all(source: &Arc<Source>) -> Result<Vec<Self>, Problem> {
        lines(source).collect()
    }

    /// How many /24 (IPv6: /48) it is of.
    pub(crate) fn prefixes(&self) -> usize {
        let longest = if self.prefix.address().is_ipv4() { 24 } else { 48_u8 };
        1 << longest.saturating_sub(self.prefix.length()).min(8)
    }
}

/// Samples that a line without the field stands for: what moves a group.
const SAMPLES: u16 = 8;
/// Faults of one file that are told.
const TOLD: usize = 20;
/// The widest prefixes: one of 256 /24 or /48.
const WIDEST: (u8, u8) = (16, 40);

/// Reads a file; every fault is told with its line.
pub(crate) fn read(source: &Arc<Source>, context: &Context) -> Vec<RoundTrip> {
    let (mut all, mut faults) = (Vec::new(), Vec::new());
    for line in lines(source) {
        match line {
            Ok(one) => {
                context.register(|register| {
                    register.refer(Kind::Pop, one.pop.as_str(), one.place.clone());
                    None
                });
                all.push(one);
            }
            Err(fault) => faults.push(fault),
        }
    }
    let more = faults.len().saturating_sub(TOLD);
    faults.into_iter().take(TOLD).for_each(|fault| context.add(fault));
    if more > 0 {
        context.add(Problem::general(format!("{}: {more} more lines are wrong", source.path.display())));
    }
    all
}

/// What each line says, or what is wrong with it.
fn lines(source: &Arc<Source>) -> impl Iterator<Item = Result<RoundTrip, Problem>> {
    let mut start = 0;
    source.text.split_inclusive('\n').enumerate().filter_map(move |(number, line)| {
        let place = source.place(start..start + line.trim_end().len());
        start += line.len();
        // Spreadsheets begin with a byte order mark.
        let text = line.trim_start_matches('\u{feff}').trim();
        let is_heading = number == 0 && text.starts_with("prefix");
        if text.is_empty() || text.starts_with('#') || is_heading {
            return None;
        }
        Some(match parse(text) {
            Ok((prefix, pop, rtt_ms, samples)) => Ok(RoundTrip { prefix, pop, rtt_ms, samples, place }),
            Err(Wrong { message, help }) => Err(Problem { help, ..Problem::fault(place, message) }),
        })
    })
}

fn parse(line: &str) -> Result<(Prefix, PopId, f64, u16), Wrong> {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let (prefix, pop, rtt, samples) = match fields.as_slice() {
        [prefix, pop, rtt] => (prefix, pop, rtt, None),
        [prefix, pop, rtt, samples] => (prefix, pop, rtt, Some(samples)),
        _ => {
            let help = "write prefix,pop,rtt_ms or prefix,pop,rtt_ms,samples, as in 192.0.2.0/24,fra,11.5,40";
            return Err(Wrong::new(format!("{} fields", fields.len())).help(help));
        }
    };
    let prefix = Prefix::parse(prefix)?;
    let (widest, longest) = match prefix.address() {
        IpAddr::V4(_) => (WIDEST.0, 24),
        IpAddr::V6(_) => (WIDEST.1, 48),
    };
    if !(widest..=longest).contains(&prefix.length()) {
        let wrong = Wrong::new(format!("`{prefix}` is not from /{widest} to /{longest}"));
        return Err(wrong.help("round trips are kept by /24 and /48: write those, or up to 256 of them together"));
    }
    let bounds = limits::ROUND_TRIP_MS;
    let rtt = rtt.parse().ok().filter(|rtt: &f64| (bounds.0..=bounds.1).contains(rtt)).ok_or_else(|| {
        Wrong::new(format!("`{rtt}` is no round trip")).help(format!("milliseconds from {} to {}", bounds.0, bounds.1))
    })?;
    let most = limits::ROUND_TRIP_SAMPLES;
    let samples =
        match samples {
            None => SAMPLES,
            Some(text) => text.parse().ok().filter(|samples| (1..=most).contains(samples)).ok_or_else(|| {
                Wrong::new(format!("`{text}` is no number of samples")).help(format!("from 1 to {most}"))
            })?,
        };
    Ok((prefix, PopId::parse(pop)?, rtt, samples))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn told(text: &str) -> (usize, Vec<String>) {
        let context = Context::default();
        let source = Source::new(Path::new("latency/a.csv"), text.to_owned());
        let pop = source.place(0..0);
        context.register(|register| register.define(Kind::Pop, "fra", pop));
        let count = read(&source, &context).len();
        (count, context.finish().iter().map(ToString::to_string).collect())
    }

    #[test]
    fn lines_are_read_and_every_wrong_one_is_named() {
        let good = "prefix,pop,rtt_ms,samples\n# by hand\n192.0.2.0/24,fra,11.5\n\n 10.1.0.0/16 , fra , 3 , 40\n2001:db8:1::/48,fra,9,1";
        assert_eq!(told(good), (3, vec![]));
        let rows = [
            ("192.0.2.0/24,fra", "2 fields"),
            ("192.0.2.0/25,fra,3", "not from /16 to /24"),
            ("10.0.0.0/8,fra,3", "not from /16 to /24"),
            ("192.0.2.1/24,fra,3", "bits beyond"),
            ("2001:db8::/64,fra,3", "not from /40 to /48"),
            ("192.0.2.0/24,lhr,3", "there is no PoP `lhr`"),
            ("192.0.2.0/24,fra,-3", "`-3` is no round trip"),
            ("192.0.2.0/24,fra,NaN", "`NaN` is no round trip"),
            ("192.0.2.0/24,fra,3,0", "`0` is no number of samples"),
        ];
        for (line, expected) in rows {
            let (_, said) = told(&format!("192.0.2.0/24,fra,1\n{line}\n"));
            assert!(said.len() == 1 && said[0].contains("latency/a.csv:2") && said[0].contains(expected), "{said:?}");
        }
        let (_, said) = told(&"x\n".repeat(50));
        assert_eq!((said.len(), said[20].as_str()), (21, "latency/a.csv: 30 more lines are wrong"));
    }
}
