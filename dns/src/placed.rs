//! Where a client would be sent that is known to be at a point, and of which nothing else is known.

use std::net::IpAddr;

use config::Location;
use mapping::{Chosen, Family, Mapped, Place, Scopes, Wanted};
use serde::{Deserialize, Serialize};

use crate::explain::{Candidate, Unfit, tenths};
use crate::view::View;

/// Where a client at a point would be sent for a name, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Placed {
    /// The name.
    pub name: String,
    /// The point, degrees north and east, to a tenth.
    pub at: [f64; 2],
    /// The site the name is routed to.
    pub site: String,
    /// What this rests on.
    pub basis: String,
    /// The chosen PoP; none where no PoP has an address of the family.
    pub pop: Option<String>,
    /// The edges answered, best first.
    pub edges: Vec<String>,
    /// Their addresses.
    pub addresses: Vec<IpAddr>,
    /// The first PoPs in order.
    pub candidates: Vec<Candidate>,
    /// How many PoPs come after them.
    pub further: usize,
    /// Edges of the candidates that are not fit, and why.
    pub unfit: Vec<Unfit>,
}

const BASIS: &str = "geography alone, as for a client known to be at this point: no rule of the operator, no measured round \
                     trips of its network, and no load that has moved others";

impl View {
    /// Explains a routed name for a client at a point: ranked and chosen by the same calls as an answer.
    ///
    /// # Errors
    /// Says why the name is not routed.
    pub fn explain_at(&self, name: &str, at: Location, family: Family) -> Result<Placed, String> {
        let site_index = self.routed_site(name)?;
        let site = self.sites.get(site_index).ok_or("the site is gone")?;
        let place = Place::at(at, None);
        let list = self.compiled.rank(&self.topology, &self.learned(), place);
        // Nobody is answered: there is no scope.
        let mapped = Mapped { number: usize::MAX, list: &list, scopes: Scopes { first: 0, second: 0, whole: 0 } };
        let fitness = self.fitness.load();
        let wanted = Wanted { site: site_index, hash: site.hash, family, answers: self.answers, turn: 0 };
        let choice = mapping::choose(&self.topology, &fitness, mapped, None, wanted);
        let (pop, edges) = match choice.chosen {
            Chosen::Edges { pop, edges } | Chosen::FailOpen { pop, edges } => (Some(pop), edges),
            Chosen::NoAddress => (None, Vec::new()),
        };
        let candidate = |ranked: &mapping::Ranked| self.candidate(*ranked, (place, None), &fitness, site_index);
        Ok(Placed {
            name: name.to_owned(),
            at: tenths(at),
            site: site.id.to_string(),
            basis: BASIS.to_owned(),
            pop: pop.map(|pop| self.pop_name(pop)),
            edges: edges.iter().filter_map(|edge| self.edges.get(*edge)).map(ToString::to_string).collect(),
            addresses: self.addresses(&edges, family),
            candidates: list.ranked.iter().map(candidate).collect(),
            further: self.pops.len().saturating_sub(list.ranked.len()),
            unfit: self.unfit(&list, &fitness, site_index),
        })
    }

    /// Where a client is on a map: a point, degrees north and east, and its country where it is known. None before databases
    /// are read.
    #[must_use]
    pub fn whereabouts(&self, client: IpAddr) -> Option<(Location, Option<config::CountryCode>)> {
        let (place, _) = self.compiled.place_of(client)?;
        Some((self.compiled.centre_of(place), place.country()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::tests::view;

    #[test]
    fn a_client_at_a_pop_is_sent_there_and_every_term_is_told() {
        let view = view();
        let from = view.explain("www.shop.example", [83, 1, 2, 3].into(), Family::V4).unwrap();
        let [latitude, longitude] = from.location.unwrap();
        let placed = view.explain_at("www.shop.example", Location { latitude, longitude }, Family::V4).unwrap();
        assert_eq!((placed.at, placed.site.as_str()), ([latitude, longitude], from.site.as_str()));
        assert!(placed.basis.starts_with("geography alone"), "{}", placed.basis);
        assert!(!placed.candidates.is_empty() && placed.pop.is_some() && !placed.addresses.is_empty(), "{placed:?}");
        let costs: Vec<f64> = placed.candidates.iter().map(|one| one.cost_ms).collect();
        assert!(costs.is_sorted() && placed.candidates.iter().all(|one| one.edges > 0), "{placed:?}");
        let missing = view.explain_at("nothing.shop.example", Location { latitude, longitude }, Family::V4);
        assert!(missing.unwrap_err().contains("does not exist"));
    }
}
