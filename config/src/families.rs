//! PoPs without a family of addresses that others have.

use crate::network::{Network, Pop};
use crate::problem::Problem;
use crate::register::{Kind, Register};

/// A warning for every PoP that lacks a family which another PoP has. A network of one family alone is a choice.
pub(crate) fn check(register: &Register, network: &Network) -> Vec<Problem> {
    let lacking = |pop: &Pop| {
        let name = [Family::V4, Family::V6].into_iter().find(|family| !family.is_of(pop))?;
        let other = network.pops.iter().find(|other| name.is_of(other))?;
        let place = register.place(Kind::Pop, pop.id.as_str())?;
        let message = format!("PoP `{}` has no {name} address, and `{}` has", pop.id, other.id);
        let help = format!("give one of its edges one: {name} clients near it may be sent further away, or nowhere");
        Some(Problem::warning(place.clone(), message).help(help))
    };
    network.pops.iter().filter(|pop| !pop.edges.is_empty()).filter_map(lacking).collect()
}

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn is_of(self, pop: &Pop) -> bool {
        pop.edges.iter().flat_map(|edge| edge.addresses.all()).any(|address| address.is_ipv4() == (self == Self::V4))
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use crate::load;

    #[test]
    fn a_pop_without_a_family_that_others_have_is_warned_of() {
        let dir = tempfile::tempdir().unwrap();
        let (four, six, both) = ("192.0.2.N", "2001:db8::N", "192.0.2.N\", \"2001:db8::N");
        let lacks = |pop: &str, family: &str| format!("PoP `{pop}` has no {family} address");
        for (pops, expected) in [
            (&[four][..], vec![]),
            (&[both, both], vec![]),
            (&[four, four], vec![]),
            (&[six, six], vec![]),
            (&[both, four], vec![lacks("p1", "IPv6")]),
            (&[six, both, both], vec![lacks("p0", "IPv4")]),
            (&[four, six], vec![lacks("p0", "IPv6"), lacks("p1", "IPv4")]),
        ] {
            let mut network =
                "zone = \"cdn.example\"\n[[nameserver]]\nid = \"ns1\"\naddresses = [\"192.0.2.254\"]\n".to_owned();
            for (number, addresses) in pops.iter().enumerate() {
                let addresses = addresses.replace('N', &(number + 1).to_string());
                network += &format!(
                    "[[pop]]\nid = \"p{number}\"\nlocation = [{number}.0, 8.0]\n\
                     [[pop.edge]]\nid = \"e{number}\"\naddresses = [\"{addresses}\"]\n"
                );
            }
            fs::write(dir.path().join("hither.toml"), network).unwrap();
            let said: Vec<String> = load(dir.path()).unwrap().warnings.iter().map(|one| one.message.clone()).collect();
            assert_eq!(said.len(), expected.len(), "{pops:?}: {said:?}");
            assert!(
                said.iter().zip(&expected).all(|(said, expected)| said.starts_with(expected)),
                "{pops:?}: {said:?}"
            );
        }
    }
}
