//! `hither explain`: asked of the fleet that serves the directory, else worked out from its files alone.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use dns::{Candidate, Explanation, Measured, View};
use mapping::Family;

use super::alone::unprobed;
use super::table;
use crate::cli::Explain;
use crate::client::{self, AskError};
use crate::directory::{self, Known};
use crate::exit::{Done, Exit, Failure};
use crate::say::{note, say};

mod rules;
mod whom;

use whom::Whom;

pub(crate) fn run(args: Explain, dir: Option<PathBuf>) -> Done {
    let dir = directory::find(dir);
    let name = match (&args.url, &args.name) {
        (Some(url), _) => return rules::run(&args, url, &dir),
        (None, Some(name)) => name,
        (None, None) => {
            return Err(Failure::operator("name what is asked for, as www.shop.example, or a URL by --url"));
        }
    };
    let mut asking = Asking::of(dir)?;
    let froms = match (&args.batch, args.from) {
        (Some(file), _) => read_addresses(file)?,
        (None, from) => from.into_iter().collect(),
    };
    let explained: Result<Vec<Explanation>, Failure> = froms.iter().map(|from| asking.explain(name, *from)).collect();
    let explained = explained?;
    let alone = asking.why_alone().map_or_else(String::new, |why| {
        format!("({why}: every edge is taken as up, and nothing as measured but latency/*.csv)\n")
    });
    let text = match (args.json, args.batch.is_some(), explained.as_slice()) {
        (true, false, [one]) => serde_json::to_string_pretty(one).map_err(Failure::ours)?,
        (true, ..) => serde_json::to_string_pretty(&explained).map_err(Failure::ours)?,
        (false, false, [one]) => format!("{}{alone}", show(one)),
        (false, ..) => format!("{}{alone}", show_all(&explained)),
    };
    say(text.trim_end());
    if args.json {
        // What is printed is for a program.
        note(alone);
    }
    Ok(Exit::Done)
}

/// The addresses of a file, one on each line; all that are none are named.
fn read_addresses(file: &Path) -> Result<Vec<IpAddr>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::file("read", file, &error, "name a text file with an address on each line"))?;
    let (mut addresses, mut wrong) = (Vec::new(), Vec::new());
    for (number, line) in (1..).zip(text.lines().map(str::trim)).filter(|(_, line)| !line.is_empty()) {
        match line.parse() {
            Ok(address) => addresses.push(address),
            Err(_) => wrong.push(format!("{}:{number}: `{line}` is no IP address", file.display())),
        }
    }
    if wrong.is_empty() { Ok(addresses) } else { Err(Failure::operator(wrong.join("\n"))) }
}

/// Who is asked.
struct Asking {
    dir: PathBuf,
    known: Known,
    whom: Whom,
    /// What the files alone make of it, once that was needed.
    alone: Option<View>,
}

impl Asking {
    fn of(dir: PathBuf) -> Result<Self, Failure> {
        let known = directory::known(&dir)?;
        let whom = whom::find(&known.network, &dir).map_err(|error| Failure::operator(error.to_string()))?;
        Ok(Self { dir, known, whom, alone: None })
    }

    /// Why nobody is asked, where that is so.
    fn why_alone(&self) -> Option<&str> {
        match &self.whom {
            Whom::At(_) => None,
            Whom::Nobody(why) => Some(why),
        }
    }

    fn explain(&mut self, name: &str, from: IpAddr) -> Result<Explanation, Failure> {
        if let Whom::At(address) = self.whom {
            let path = format!("/explain?name={name}&from={from}");
            match client::ask_json(address, &path, self.known.network.admin.token.as_ref()) {
                Ok(value) => return serde_json::from_value(value).map_err(Failure::ours),
                Err(AskError::Refused(why) | AskError::Failed(why)) => return Err(Failure::operator(why)),
                Err(AskError::NobodyThere(why)) => self.whom = Whom::Nobody(why),
            }
        }
        let view = match self.alone.take() {
            Some(view) => view,
            None => self.work_out()?,
        };
        self.alone.insert(view).explain(name, from, Family::V4).map_err(Failure::operator)
    }

    /// What the files alone make of it.
    fn work_out(&self) -> Result<View, Failure> {
        if self.known.version.is_none() {
            // Their faults are drawn already.
            let why = self.why_alone().unwrap_or_default();
            return Err(Failure::operator(format!("these files are refused, and there is nobody to ask: {why}")));
        }
        Ok(unprobed(&self.dir)?.view)
    }
}

fn show(explained: &Explanation) -> String {
    let chosen = explained.pop.as_deref().unwrap_or("none");
    let mut out = format!("{} for {}: site {}, PoP {chosen}\n", explained.name, explained.from, explained.site);
    for (word, text) in explained.lines() {
        out.push_str(&format!("  {word:<7} {text}\n"));
    }
    out.push_str("\nPoPs in the order in which they take over:\n");
    out.push_str(&show_candidates(explained));
    if let Some(best) = explained.candidates.first().filter(|_| explained.further > 0) {
        out.push_str(&format!("then the {} further PoPs, the nearest to {} first\n", explained.further, best.pop));
    }
    if !explained.forbidden.is_empty() {
        out.push_str(&format!("after all others, since a rule forbids them: {}\n", explained.forbidden.join(", ")));
    }
    for unfit in &explained.unfit {
        out.push_str(&format!("{} {}\n", unfit.edge, unfit.reason));
    }
    out + &legend(&explained.candidates)
}

/// A heading, whether it is shown, and what stands below it.
type Column<'c> = (&'c str, bool, &'c dyn Fn(&Candidate) -> String);

/// The candidates with the terms of their costs; those that nobody has are left out.
fn show_candidates(explained: &Explanation) -> String {
    let candidates = &explained.candidates;
    let is_loaded = candidates.iter().any(|candidate| candidate.load.is_some());
    let is_measured = candidates.iter().any(|candidate| candidate.measured.is_some());
    let is_stretched = candidates.iter().any(Candidate::is_stretched);
    let columns: [Column<'_>; 9] = [
        ("", true, &|one| if Some(&one.pop) == explained.pop.as_ref() { "->".to_owned() } else { String::new() }),
        ("PoP", true, &|one| one.pop.clone()),
        ("cost", true, &|one| format!("{:.1} ms", one.cost_ms)),
        ("distance", true, &|one| format!("{:.0} km", one.distance_km)),
        ("stretch", is_stretched, &|one| format!("{:.2}", one.stretch)),
        ("measured", is_measured, &|one| one.measured.as_ref().map_or_else(|| "-".to_owned(), show_measured)),
        ("load", is_loaded, &|one| format!("{:.0} %", 100.0 * one.load.unwrap_or(0.0))),
        ("load price", is_loaded, &|one| format!("+{:.1} ms", one.price_ms)),
        ("fit edges", true, &|one| format!("{} of {}", one.fit, one.edges)),
    ];
    let shown: Vec<_> = columns.into_iter().filter(|(_, is_shown, _)| *is_shown).collect();
    let heading: Vec<&str> = shown.iter().map(|(name, ..)| *name).collect();
    let row = |one: &Candidate| shown.iter().map(|(_, _, cell)| cell(one)).collect();
    let rows: Vec<Vec<String>> = candidates.iter().map(row).collect();
    table::draw(&heading, &rows)
}

/// What the columns of [`show_candidates`] mean.
fn legend(candidates: &[Candidate]) -> String {
    let any = |is_told: &dyn Fn(&Candidate) -> bool| candidates.iter().any(is_told);
    let terms = match (any(&Candidate::is_stretched), any(&|one| one.measured.is_some())) {
        (false, false) => "",
        (true, false) => ", times stretch",
        (false, true) => ", moved by what was measured",
        (true, true) => ", times stretch, moved by what was measured",
    };
    let price =
        if any(&|one| one.load.is_some()) { "; load price: comes on top while a PoP is nearly full" } else { "" };
    format!("cost: the round trip expected, 5 ms and 1 ms for each 50 km{terms}{price}\n")
}

fn show_measured(measured: &Measured) -> String {
    let Measured { ms, spread, samples, prefixes } = measured;
    format!("{ms:.1} ms ±{:.0} % ({samples} from {prefixes} prefixes)", 100.0 * spread)
}

/// A row for each.
fn show_all(explained: &[Explanation]) -> String {
    let rows: Vec<Vec<String>> = explained
        .iter()
        .map(|one| {
            let chosen = one.candidates.iter().find(|candidate| Some(&candidate.pop) == one.pop.as_ref());
            vec![
                one.from.to_string(),
                one.place.clone(),
                one.pop.clone().unwrap_or_else(|| "none".to_owned()),
                chosen.map_or_else(|| "-".to_owned(), |chosen| format!("{:.1} ms", chosen.cost_ms + chosen.price_ms)),
                one.source.clone(),
                format!("/{}", one.scope),
                one.edges.join(", "),
            ]
        })
        .collect();
    table::draw(&["from", "place", "PoP", "cost", "source", "scope", "edges"], &rows)
}

#[cfg(test)]
mod tests {
    use super::*;
    use dns::{Group, Unfit};

    fn candidate(pop: &str, cost_ms: f64, fit: usize) -> Candidate {
        Candidate {
            pop: pop.to_owned(),
            cost_ms,
            distance_km: cost_ms * 40.0,
            stretch: 1.0,
            measured: None,
            price_ms: 0.0,
            load: None,
            fit,
            edges: 2,
        }
    }

    fn explanation() -> Explanation {
        Explanation {
            name: "www.shop.example".to_owned(),
            from: [193, 0, 6, 1].into(),
            site: "shop".to_owned(),
            pop: Some("lhr".to_owned()),
            edges: vec!["lhr-2".to_owned(), "lhr-1".to_owned()],
            addresses: vec![[127, 0, 1, 52].into(), [127, 0, 1, 51].into()],
            place: "somewhere in NL".to_owned(),
            location: Some([52.1, 5.1]),
            distances: Some("distances are those of the country's people, on average".to_owned()),
            asn: None,
            source: "geography".to_owned(),
            group: None,
            state: "an edge's health is changing".to_owned(),
            scope: 16,
            scope_reason: "all clients in it have these first two PoPs".to_owned(),
            ttl: 5,
            further: 9,
            candidates: vec![candidate("fra", 12.1, 1), candidate("lhr", 12.3, 2), candidate("iad", 129.0, 1)],
            forbidden: Vec::new(),
            unfit: Vec::new(),
        }
    }

    #[test]
    fn an_explanation_reads_well() {
        let measured = |ms, samples| Some(Measured { ms, spread: 0.06, samples, prefixes: 21 });
        let mut all = explanation();
        all.asn = Some(3333);
        all.distances = None;
        all.place = "52.4 N 4.9 E, NL".to_owned();
        all.source = "latency".to_owned();
        all.group = Some(Group {
            name: "NL, 0.5 degrees from 52.0 N 4.5 E".to_owned(),
            prefixes: 24,
            goes_to: "lhr".to_owned(),
            expected: "fra".to_owned(),
        });
        all.candidates[0].measured = measured(31.2, 120);
        all.candidates[1].measured = measured(12.3, 400);
        for (candidate, (load, price)) in all.candidates.iter_mut().zip([(0.4, 0.0), (0.79, 4.5), (0.1, 0.0)]) {
            (candidate.load, candidate.price_ms) = (Some(load), price);
        }
        all.candidates[2].stretch = 1.31;
        all.forbidden = vec!["gru".to_owned()];
        all.unfit = vec![Unfit { edge: "fra-2".to_owned(), reason: "is down".to_owned() }];
        let told = [show(&explanation()), show(&all), show_all(&[explanation(), all])];
        insta::assert_snapshot!(told.join("\n\n"));
    }

    #[test]
    fn every_line_that_is_no_address_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "192.0.2.1\n\n 2001:db8::1 \n192.0.2.0/24\nhost\n").unwrap();
        let Err(failure) = read_addresses(file.path()) else { panic!("it was taken") };
        let said = format!("{failure:?}").replace(&file.path().display().to_string(), "FILE");
        assert!(said.contains("FILE:4: `192.0.2.0/24` is no IP address\\nFILE:5: `host` is no IP address\""), "{said}");
        std::fs::write(file.path(), "192.0.2.1\n2001:db8::1").unwrap();
        assert_eq!(read_addresses(file.path()).unwrap().len(), 2);
    }
}
