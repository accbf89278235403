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
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::Plain, Self::Edns, Self::Geo];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Plain => "static",
            Self::Edns => "with EDNS",
            Self::Geo => "geo with ECS",
        }
    }

    pub(crate) fn host(self) -> &'static str {
        match self {
            Self::Plain | Self::Edns => "www.bench.example",
            Self::Geo => "geo.bench.example",
        }
    }

    /// So many queries as bytes; their ids are the generator's.
    pub(crate) fn queries(self, count: usize) -> Vec<Vec<u8>> {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        (0..count).map(|_| self.query(&mut state)).collect()
    }

    fn query(self, state: &mut u64) -> Vec<u8> {
        let mut bytes = vec![0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(self != Self::Plain)];
        for label in self.host().split('.') {
            bytes.push(label.len() as u8);
            bytes.extend(label.bytes());
        }
        bytes.extend([0, 0, 1, 0, 1]);
        match self {
            Self::Plain => {}
            Self::Edns => bytes.extend([0, 0, 41, 4, 0xd0, 0, 0, 0, 0, 0, 0]),
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
