//! What is asked: one name, plainly, with EDNS, or each time for another client.

/// A kind of query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Without EDNS, of a zone's own record.
    Plain,
    /// The same with EDNS and a payload of 1,232.
    Edns,
    /// A name that depends on the client, with a random /24.
    Geo,
    /// With EDNS and the DO bit.
    Signed,
    /// One of many names, and of many sites.
    Many,
}

/// What [`Kind::Many`] asks for.
pub(crate) const NAMES: usize = 100_000;
pub(crate) const SITES: usize = 1_000;

impl Kind {
    pub(crate) const ALL: [Self; 5] = [Self::Plain, Self::Edns, Self::Geo, Self::Signed, Self::Many];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "static",
            Self::Edns => "with EDNS",
            Self::Geo => "geo with ECS",
            Self::Signed => "with EDNS and DO",
            Self::Many => "100,000 names and 1,000 sites, with EDNS",
        }
    }

    /// How many distinct ones there are.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Plain | Self::Edns | Self::Signed => 1,
            Self::Geo => 50_000,
            Self::Many => NAMES + SITES - 1,
        }
    }

    fn host(self, number: usize) -> String {
        let label = match self {
            Self::Plain | Self::Edns | Self::Signed => "www".to_owned(),
            Self::Geo => "geo".to_owned(),
            Self::Many if number < NAMES => format!("n{number}"),
            Self::Many => format!("s{}", number - NAMES + 1),
        };
        format!("{label}.bench.example")
    }

    /// All of them as bytes, in any order; their ids are the generator's.
    pub(crate) fn queries(self) -> Vec<Vec<u8>> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        let count = self.count();
        // A step that has no divisor in common with the count comes by each once.
        (0..count).map(|at| self.query(at * 7_919 % count, &mut state)).collect()
    }

    fn query(self, number: usize, state: &mut u64) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(self != Self::Plain)];
        for label in self.host(number).split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes());
        }
        bytes.extend([0, 0, 1, 0, 1]);
        match self {
            Self::Plain => {}
            Self::Edns | Self::Many => bytes.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]),
            Self::Signed => bytes.extend([0, 0, 41, 4, 0xd0, 0, 0, 0x80, 0, 0, 0]),
            Self::Geo => {
                // Xorshift (Marsaglia 2003): any /24 of 1.0.0.0 to 223.255.255.0.
                *state ^= *state << 13;
                *state ^= *state >> 7;
                *state ^= *state << 17;
                let [a, b, c, ..] = state.to_be_bytes();
                bytes.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 11, 0, 8, 0, 7, 0, 1, 24, 0, 1 + a % 223, b, c]);
            }
        }
        bytes
    }
}
