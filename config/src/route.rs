//! `routes.toml`: the operator's mapping rules.

use schemars::JsonSchema;

use crate::continent::Continent;
use crate::id::{CountryCode, PopId, SiteId};
use crate::limits;
use crate::prefix::Prefix;
use crate::problem::Problem;
use crate::register::Kind;
use crate::shape;
use crate::source::Place;
use crate::table::{Table, Value};
use crate::wrong::Wrong;

/// `routes.toml`: mapping rules, the first that matches a client and site counts.
#[derive(Clone, Debug, Default, JsonSchema)]
pub struct Routes {
    /// The rules in order, each a `[[route]]`. Default: none.
    #[schemars(rename = "route")]
    pub routes: Vec<Route>,
}

/// One mapping rule: all conditions written must hold; exactly one of `pin`, `prefer`, `forbid`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Route {
    /// Only clients in this prefix; `check` warns of one longer than /24 or /56, which few resolvers
    /// tell. Default: any. A reload takes it.
    pub prefix: Option<Prefix>,
    /// Only clients of this AS; needs `[geo] asn`. Default: any. A reload takes it.
    #[schemars(transform = shape::integer(&limits::ASN))]
    pub asn: Option<u32>,
    /// Only clients in this country. Default: any. A reload takes it.
    pub country: Option<CountryCode>,
    /// Only clients on this continent: AF, AN, AS, EU, NA, OC or SA, as GeoNames has them. Default: any. A reload takes it.
    pub continent: Option<Continent>,
    /// Only for these sites. Default: all. A reload takes it.
    pub sites: Option<Vec<SiteId>>,
    /// `pin = "fra"`: only this PoP while it is fit. `prefer = ["lhr", "fra"]`: these in order,
    /// then the map. `forbid = ["syd"]`: never these while another is fit.
    #[schemars(flatten)]
    pub act: Act,
    /// Where it stands in `routes.toml`.
    #[schemars(skip)]
    pub line: usize,
}

/// What a rule does to the ranked PoPs.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum Act {
    /// Only this PoP while it is fit; then as without the rule. A reload takes it.
    Pin(PopId),
    /// These PoPs in this order while they are fit; then as without the rule. A reload takes it.
    Prefer(Vec<PopId>),
    /// Never these PoPs while another is fit. A reload takes it.
    Forbid(Vec<PopId>),
}

/// Whether the network has an AS database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AsNumbers {
    Known,
    Unknown,
}

/// Reads `routes.toml`.
pub(crate) fn read(mut table: Table<'_>, as_numbers: AsNumbers) -> Option<Routes> {
    let context = table.context();
    let routes = table.list("route", |v| {
        let place = v.place();
        Some((v.table(|table| read_route(table, as_numbers))?, place))
    });
    table.finish();
    warn_of_hidden(&routes).into_iter().for_each(|problem| context.add(problem));
    Some(Routes { routes: routes.into_iter().map(|(route, _)| route).collect() })
}

/// The first that matches counts: a rule all of whose clients an earlier one matches is never used.
fn warn_of_hidden(routes: &[(Route, Place)]) -> Vec<Problem> {
    let hidden = routes.iter().enumerate().filter_map(|(number, (route, place))| {
        let earlier = routes.iter().take(number).find(|(earlier, _)| earlier.covers(route));
        let (earlier, _) = earlier?;
        let message =
            format!("this route is never used: the one at line {} matches all its clients first", earlier.line);
        let help = if earlier.act == route.act { "remove it" } else { "put the narrower one first, or remove one" };
        Some(Problem::warning(place.clone(), message).help(help))
    });
    hidden.collect()
}

impl Route {
    /// Whether it matches whatever another matches.
    fn covers(&self, other: &Self) -> bool {
        let is_of = |own| other.continent.or_else(|| other.country.and_then(Continent::of)) == Some(own);
        let of_sites =
            |own: &Vec<SiteId>| other.sites.as_ref().is_some_and(|sites| sites.iter().all(|site| own.contains(site)));
        self.prefix.is_none_or(|own| other.prefix.is_some_and(|prefix| own.holds(&prefix)))
            && self.asn.is_none_or(|own| other.asn == Some(own))
            && self.country.is_none_or(|own| other.country == Some(own))
            && self.continent.is_none_or(is_of)
            && self.sites.as_ref().is_none_or(of_sites)
    }
}

fn read_route(mut table: Table<'_>, as_numbers: AsNumbers) -> Option<Route> {
    let (line, _) = table.place().line_and_column();
    let prefix = table.optional("prefix", |v| v.parse(Prefix::parse));
    let asn = table.optional("asn", |v| v.integer(&limits::ASN));
    let country = table.optional("country", |v| v.parse(CountryCode::read));
    let continent = table.optional("continent", |v| v.parse(Continent::read));
    let sites = table.optional("sites", |v| v.list(|v| refer(v, Kind::Site, SiteId::parse)));
    let pin = table.optional("pin", pop).map(Act::Pin);
    let prefer = table.optional("prefer", |v| v.list(pop)).map(Act::Prefer);
    let forbid = table.optional("forbid", |v| v.list(pop)).map(Act::Forbid);
    if asn.is_some() && as_numbers == AsNumbers::Unknown {
        let problem = Problem::fault(table.place_of("asn"), "a route names an AS, but there is no AS database");
        table.context().add(problem.help("set `asn = \"….mmdb\"` in [geo] of hither.toml"));
    }
    if let Some(problem) = warn_of_length(&table, prefix) {
        table.context().add(problem);
    }
    let mut acts: Vec<Act> = [pin, prefer, forbid].into_iter().flatten().collect();
    if ["pin", "prefer", "forbid"].into_iter().filter(|act| table.has(act)).count() != 1 {
        let help = "write exactly one of `pin`, `prefer` and `forbid`";
        table.context().add(table.fault("a route does one thing").help(help));
    }
    table.finish();
    acts.pop().map(|act| Route { prefix, asn, country, continent, sites, act, line })
}

/// Scopes end at /24 and /56: what is longer works for resolver addresses and long sources only.
fn warn_of_length(table: &Table<'_>, prefix: Option<Prefix>) -> Option<Problem> {
    let prefix = prefix?;
    let longest = if prefix.address().is_ipv4() { 24 } else { 56 };
    if prefix.length() <= longest {
        return None;
    }
    let problem = Problem::warning(table.place_of("prefix"), format!("`{prefix}` is longer than /{longest}"));
    Some(problem.help("most resolvers send no more of a client's address: it will match resolvers and few clients"))
}

fn pop(value: Value<'_>) -> Option<PopId> {
    refer(value, Kind::Pop, PopId::parse)
}

/// Reads an id and notes that something of that name must exist.
pub(crate) fn refer<T: ToString>(
    value: Value<'_>,
    kind: Kind,
    parse: impl FnOnce(&str) -> Result<T, Wrong>,
) -> Option<T> {
    let (context, place) = (value.context(), value.place());
    let id = value.parse(parse)?;
    context.register(|register| {
        register.refer(kind, &id.to_string(), place);
        None
    });
    Some(id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Source;
    use crate::table::{Context, read_document};
    use std::path::Path;

    #[test]
    fn warnings_are_no_faults_however_many() {
        let context = Context::default();
        let route =
            |net: usize| format!("[[route]]\nprefix = \"10.0.{}.{}/25\"\npin = \"fra\"\n", net / 2, net % 2 * 128);
        let text: String = (0..150).map(route).collect();
        let source =
            Source::new(Path::new("routes.toml"), format!("{text}[[route]]\nprefix = \"10.0.0.0/33\"\npin = 3\n"));
        read_document(&context, &source, |table| read(table, AsNumbers::Known));
        let told = context.finish();
        let of = |severity| told.iter().filter(|problem| problem.severity == severity).count();
        assert_eq!(of(crate::problem::Severity::Warning), limits::PROBLEMS + 1);
        assert!(told.iter().any(|problem| problem.to_string().contains("/33")), "what is wrong is told too");
    }

    #[test]
    fn a_route_behind_a_wider_one_is_named() {
        let rows = [
            ("prefix = \"10.0.0.0/8\"", "prefix = \"10.1.0.0/16\"", true),
            ("prefix = \"10.1.0.0/16\"", "prefix = \"10.0.0.0/8\"", false),
            ("country = \"DE\"", "country = \"DE\"", true),
            ("continent = \"EU\"", "country = \"DE\"", true),
            ("continent = \"AS\"", "country = \"DE\"", false),
            ("country = \"DE\"", "continent = \"EU\"", false),
            ("country = \"DE\"", "country = \"DE\"\nasn = 64500", true),
            ("country = \"DE\"\nasn = 64500", "country = \"DE\"", false),
            ("country = \"DE\"\nsites = [\"shop\"]", "country = \"DE\"", false),
            ("country = \"DE\"\nsites = [\"shop\", \"blog\"]", "country = \"DE\"\nsites = [\"blog\"]", true),
        ];
        for (first, second, is_hidden) in rows {
            let context = Context::default();
            let text = format!("[[route]]\n{first}\npin = \"fra\"\n[[route]]\n{second}\nforbid = [\"fra\"]\n");
            let source = Source::new(Path::new("routes.toml"), text);
            read_document(&context, &source, |table| read(table, AsNumbers::Known));
            let said: Vec<String> = context.finish().iter().map(ToString::to_string).collect();
            let found = said.iter().any(|said| said.contains("never used: the one at line 1 matches"));
            assert_eq!(found, is_hidden, "{first} before {second}: {said:?}");
        }
    }
}
