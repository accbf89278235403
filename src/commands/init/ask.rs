//! Asking a person, line by line. An answer is looked at as soon as it is given.

use std::io::{BufRead, Write};
use std::path::Path;

use config::DomainName;

use crate::answers::{self, Answers, NewEdge, NewNameServer, NewPop, NewSite};
use crate::say::counted;

/// Where nodes keep their state unless the operator says.
const STATE: &str = "/var/lib/hither";

/// What options give.
#[derive(Debug, Default)]
pub(super) struct Given {
    pub(super) zone: Option<DomainName>,
    pub(super) contact: Option<String>,
    pub(super) state: Option<String>,
    pub(super) name_servers: Vec<NewNameServer>,
    pub(super) pops: Vec<NewPop>,
    pub(super) edges: Vec<NewEdge>,
    pub(super) sites: Vec<NewSite>,
}

impl Given {
    /// What these and the defaults come to, where there is a zone.
    pub(super) fn with_defaults(self) -> Option<Answers> {
        let zone = self.zone?;
        Some(Answers {
            contact: self.contact.unwrap_or_else(|| contact_of(&zone)),
            zone,
            state: self.state.unwrap_or_else(|| STATE.to_owned()),
            name_servers: self.name_servers,
            pops: self.pops,
            edges: self.edges,
            sites: self.sites,
        })
    }
}

fn contact_of(zone: &DomainName) -> String {
    format!("hostmaster@{zone}")
}

/// Why there are no answers.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Ctrl-D, or a no.
    Here,
    /// Options do not go together.
    Clash(String),
}

/// Whether an empty line will do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Needed,
    Enough,
}

/// Who is asked: a terminal.
pub(super) struct Asker<R, W> {
    input: R,
    out: W,
}

/// Asks for what options do not give.
pub(super) fn gather<R: BufRead, W: Write>(
    given: Given,
    dir: &Path,
    asker: &mut Asker<R, W>,
) -> Result<Answers, Ended> {
    asker.tell(&format!("A config directory, to be written to {}.", dir.display()));
    asker.tell("Enter takes what stands in [brackets]; Ctrl-D ends this, and nothing is written.\n");
    let zone = match given.zone {
        Some(zone) => zone,
        None => {
            asker.tell("The zone that you will delegate to your name servers: a site `shop` answers as shop.ZONE.");
            asker.ask("Zone, as cdn.example", None, answers::zone)?
        }
    };
    let contact = match given.contact {
        Some(contact) => contact,
        None => asker.ask("Mail address of who is in charge of it", Some(&contact_of(&zone)), answers::contact)?,
    };
    let state = match given.state {
        Some(state) => state,
        None => asker.ask("Directory for a node's state (purges, certificates, logs)", Some(STATE), |text| {
            Ok(text.to_owned())
        })?,
    };
    let Given { name_servers, pops, edges, sites, .. } = given;
    let mut answers = Answers { zone, contact, state, name_servers, pops, edges, sites };
    if let Some(clash) = answers.clash() {
        return Err(Ended::Clash(clash));
    }
    ask_for_name_servers(&mut answers, asker)?;
    ask_for_pops(&mut answers, asker)?;
    ask_for_sites(&mut answers, asker)?;
    asker.tell(&format!("\n{}", counts(&answers)));
    asker.confirm(&format!("Write {}?", dir.display()))?;
    Ok(answers)
}

/// What has been said, before it is written.
fn counts(all: &Answers) -> String {
    let parts = [
        counted(all.name_servers.len(), "name server"),
        counted(all.pops.len(), "PoP"),
        counted(all.edges.len(), "edge"),
        counted(all.sites.len(), "site"),
    ];
    format!("{} for {}.", parts.join(", "), all.zone)
}

fn ask_for_name_servers<R: BufRead, W: Write>(all: &mut Answers, asker: &mut Asker<R, W>) -> Result<(), Ended> {
    if !all.name_servers.is_empty() {
        return Ok(());
    }
    asker.tell("\nName servers, each with its public addresses. Two, on different networks, outlive one.");
    let add = |all: &mut Answers, text: &str| answers::name_server(text).map(|one| all.name_servers.push(one));
    asker.one_more(all, "Name server, as ns1=192.0.2.53,2001:db8::53", Need::Needed, add)?;
    while asker.one_more(all, "One more, or Enter", Need::Enough, add)? {}
    Ok(())
}

fn ask_for_pops<R: BufRead, W: Write>(all: &mut Answers, asker: &mut Asker<R, W>) -> Result<(), Ended> {
    let are_given = !all.pops.is_empty();
    if !are_given {
        asker.tell(
            "\nPoPs: places with edges, each with its latitude, longitude and country. Clients go to the nearest.",
        );
    }
    let add = |all: &mut Answers, text: &str| answers::pop(text).map(|one| all.pops.push(one));
    if !are_given {
        asker.one_more(all, "PoP, as fra@50.11,8.68,DE", Need::Needed, add)?;
    }
    loop {
        ask_for_edges(all, asker)?;
        if are_given || !asker.one_more(all, "One more PoP, or Enter", Need::Enough, add)? {
            return Ok(());
        }
    }
}

/// For every PoP that has none yet.
fn ask_for_edges<R: BufRead, W: Write>(all: &mut Answers, asker: &mut Asker<R, W>) -> Result<(), Ended> {
    let without = all.pops.iter().filter(|pop| all.edges_of(&pop.id).next().is_none());
    let without: Vec<_> = without.map(|pop| pop.id.clone()).collect();
    for pop in without {
        let add = |all: &mut Answers, text: &str| answers::edge_in(&pop, text).map(|one| all.edges.push(one));
        let question = format!("  Edge in {pop}, as {pop}-1=192.0.2.10,2001:db8::10");
        asker.one_more(all, &question, Need::Needed, add)?;
        while asker.one_more(all, &format!("  One more in {pop}, or Enter"), Need::Enough, add)? {}
    }
    Ok(())
}

fn ask_for_sites<R: BufRead, W: Write>(all: &mut Answers, asker: &mut Asker<R, W>) -> Result<(), Ended> {
    if !all.sites.is_empty() {
        return Ok(());
    }
    asker.tell("\nSites: a customer's names, and the origin that their content comes from, each as");
    asker.tell("shop=www.shop.example=https://origin.shop.example");
    let add = |all: &mut Answers, text: &str| answers::site(text).map(|one| all.sites.push(one));
    let mut question = "Site, or Enter for none yet";
    while asker.one_more(all, question, Need::Enough, add)? {
        question = "One more, or Enter";
    }
    Ok(())
}

impl<R: BufRead, W: Write> Asker<R, W> {
    pub(super) fn new(input: R, out: W) -> Self {
        Self { input, out }
    }

    /// A terminal that has gone is told nothing.
    fn tell(&mut self, text: &str) {
        let _ = writeln!(self.out, "{text}");
    }

    fn line(&mut self, question: &str) -> Result<String, Ended> {
        let _ = write!(self.out, "{question}: ");
        let _ = self.out.flush();
        let mut line = String::new();
        match self.input.read_line(&mut line) {
            Ok(1..) => Ok(line.trim().to_owned()),
            Ok(0) | Err(_) => {
                self.tell("");
                Err(Ended::Here)
            }
        }
    }

    /// Asks until the answer is right.
    fn ask<T>(
        &mut self,
        question: &str,
        default: Option<&str>,
        parse: impl Fn(&str) -> Result<T, String>,
    ) -> Result<T, Ended> {
        let asked = default.map_or_else(|| question.to_owned(), |default| format!("{question} [{default}]"));
        loop {
            let line = self.line(&asked)?;
            let text = if line.is_empty() { default.unwrap_or_default() } else { &line };
            match parse(text) {
                Ok(value) => return Ok(value),
                Err(why) => self.tell(&format!("  {why}")),
            }
        }
    }

    /// Asks for one thing that goes with the rest; false for an empty line.
    fn one_more(
        &mut self,
        all: &mut Answers,
        question: &str,
        need: Need,
        add: impl Fn(&mut Answers, &str) -> Result<(), String>,
    ) -> Result<bool, Ended> {
        loop {
            let line = self.line(question)?;
            if line.is_empty() && need == Need::Enough {
                return Ok(false);
            }
            let mut next = all.clone();
            match add(&mut next, &line).and_then(|()| next.clash().map_or(Ok(()), Err)) {
                Ok(()) => {
                    *all = next;
                    return Ok(true);
                }
                Err(why) => self.tell(&format!("  {why}")),
            }
        }
    }

    fn confirm(&mut self, question: &str) -> Result<(), Ended> {
        let is_yes = self.ask(question, Some("yes"), |text| match text.to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(true),
            "n" | "no" => Ok(false),
            _ => Err("write yes or no".to_owned()),
        })?;
        if is_yes { Ok(()) } else { Err(Ended::Here) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of lines that a person types, and what is said.
    fn typed(given: Given, lines: &str) -> (Result<Answers, Ended>, String) {
        let mut out = Vec::new();
        let answers = gather(given, Path::new("/tmp/cdn"), &mut Asker::new(lines.as_bytes(), &mut out));
        (answers, String::from_utf8(out).unwrap())
    }

    #[test]
    fn answers_are_looked_at_as_they_are_given() {
        let lines = "\ncdn..example\ncdn.example\n\n\n\
            ns1\nns1=192.0.2.53\nns1=192.0.2.54\nns2=192.0.2.54\n\n\
            fra@150,8\nfra@50.11,8.68,DE\nfra-1=192.0.2.53\nfra-1=192.0.2.10\nfra-2=192.0.2.11\n\n\
            syd@-33.87,151.21\nsyd-1=192.0.2.12\n\n\n\
            shop=www.shop.example=https://origin.shop.example\n\nmaybe\ny\n";
        let (answers, said) = typed(Given::default(), lines);
        let answers = answers.unwrap();
        assert_eq!(answers.contact, "hostmaster@cdn.example");
        assert_eq!(answers.state, STATE);
        let counts = [answers.name_servers.len(), answers.pops.len(), answers.edges.len(), answers.sites.len()];
        assert_eq!(counts, [2, 2, 3, 1]);
        assert_eq!(answers.edges.iter().filter(|edge| edge.pop.as_str() == "fra").count(), 2);
        for wrong in [
            "write a name such as",
            "every part between dots",
            "write it as ns1=",
            "there are two name servers `ns1`",
            "latitude, -90 to 90, comes first",
            "give both one id",
            "write yes or no",
            "\n2 name servers, 2 PoPs, 3 edges, 1 site for cdn.example.\n",
        ] {
            assert!(said.contains(wrong), "{wrong}\n{said}");
        }
    }

    #[test]
    fn what_options_give_is_not_asked_for() {
        let given = || Given {
            zone: Some(answers::zone("cdn.example").unwrap()),
            contact: Some("me@cdn.example".to_owned()),
            state: Some(".state".to_owned()),
            name_servers: vec![answers::name_server("ns1=192.0.2.53").unwrap()],
            pops: vec![answers::pop("fra@50.11,8.68").unwrap()],
            edges: Vec::new(),
            sites: vec![answers::site("shop=www.shop.example=https://o.example").unwrap()],
        };
        let (answers, said) = typed(given(), "fra-1=192.0.2.10\n\n\n");
        assert_eq!(answers.unwrap().edges.len(), 1);
        assert_eq!(said.matches(": ").count(), 3, "two of edges, and whether to write\n{said}");
        let clash = Given { name_servers: vec![answers::name_server("shop=192.0.2.53").unwrap()], ..given() };
        let (answers, _) = typed(clash, "");
        assert!(matches!(answers, Err(Ended::Clash(_))));
    }

    #[test]
    fn ctrl_d_and_a_no_end_it() {
        for lines in ["", "cdn.example\n", "cdn.example\n\n\nns1=192.0.2.53\n"] {
            assert_eq!(typed(Given::default(), lines).0.unwrap_err(), Ended::Here, "{lines:?}");
        }
        let all = "cdn.example\n\n\nns1=192.0.2.53\n\nfra@50.11,8.68\nfra-1=192.0.2.10\n\n\n\nno\n";
        assert_eq!(typed(Given::default(), all).0.unwrap_err(), Ended::Here);
    }
}
