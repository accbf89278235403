//! Continents, and which country lies on which.

use schemars::JsonSchema;

use crate::id::CountryCode;
use crate::shape;
use crate::wrong::Wrong;

/// A continent by its two letters, as GeoNames and geo databases name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, JsonSchema)]
#[schemars(with = "String", transform = shape::text("continent `\"EU\"`", "^([Aa][FfNnSs]|[Ee][Uu]|[Nn][Aa]|[Oo][Cc]|[Ss][Aa])$"))]
pub enum Continent {
    /// AF.
    Africa,
    /// AN.
    Antarctica,
    /// AS.
    Asia,
    /// EU.
    Europe,
    /// NA, with Central America and the Caribbean.
    NorthAmerica,
    /// OC.
    Oceania,
    /// SA.
    SouthAmerica,
}

/// The continents' letters and countries, as GeoNames has them.
const TABLE: [(Continent, &str, &str); 7] = [
    (
        Continent::Africa,
        "AF",
        "AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY MA MG ML MR MU MW MZ NA \
         NE NG RE RW SC SD SH SL SN SO SS ST SZ TD TG TN TZ UG YT ZA ZM ZW",
    ),
    (Continent::Antarctica, "AN", "AQ BV GS HM TF"),
    (
        Continent::Asia,
        "AS",
        "AE AF AM AZ BD BH BN BT CC CN CX GE HK ID IL IN IO IQ IR JO JP KG KH KP KR KW KZ LA LB LK MM MN MO MV MY NP \
         OM PH PK PS QA SA SG SY TH TJ TM TR TW UZ VN YE",
    ),
    (
        Continent::Europe,
        "EU",
        "AD AL AT AX BA BE BG BY CH CY CZ DE DK EE ES FI FO FR GB GG GI GR HR HU IE IM IS IT JE LI LT LU LV MC MD ME \
         MK MT NL NO PL PT RO RS RU SE SI SJ SK SM UA VA XK",
    ),
    (
        Continent::NorthAmerica,
        "NA",
        "AG AI AW BB BL BM BQ BS BZ CA CR CU CW DM DO GD GL GP GT HN HT JM KN KY LC MF MQ MS MX NI PA PM PR SV SX TC \
         TT US VC VG VI",
    ),
    (Continent::Oceania, "OC", "AS AU CK FJ FM GU KI MH MP NC NF NR NU NZ PF PG PN PW SB TK TL TO TV UM VU WF WS"),
    (Continent::SouthAmerica, "SA", "AR BO BR CL CO EC FK GF GY PE PY SR UY VE"),
];

impl Continent {
    /// The continent of a country; none for codes that are no country's.
    #[must_use]
    pub fn of(country: CountryCode) -> Option<Self> {
        let lies = |countries: &str| countries.split(' ').any(|code| code == country.as_str());
        TABLE.iter().find(|(_, _, countries)| lies(countries)).map(|(continent, ..)| *continent)
    }

    pub(crate) fn read(text: &str) -> Result<Self, Wrong> {
        let found = TABLE.iter().find(|(_, letters, _)| letters.eq_ignore_ascii_case(text));
        found.map(|(continent, ..)| *continent).ok_or_else(|| {
            Wrong::new(format!("`{text}` is not a continent")).help("one of AF, AN, AS, EU, NA, OC and SA")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_country_lies_on_one_continent() {
        let all: Vec<&str> = TABLE.iter().flat_map(|(_, _, countries)| countries.split(' ')).collect();
        let distinct: std::collections::BTreeSet<&&str> = all.iter().collect();
        assert_eq!((distinct.len(), all.len()), (250, 250));
        for (country, expected) in [("DE", Some(Continent::Europe)), ("GU", Some(Continent::Oceania)), ("QQ", None)] {
            assert_eq!(Continent::of(CountryCode::parse(country).unwrap()), expected, "{country}");
        }
        assert_eq!(Continent::read("na"), Ok(Continent::NorthAmerica));
        assert!(Continent::read("EUR").is_err());
    }
}
