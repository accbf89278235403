//! Weighted lists: `a, b;q=0.5` (RFC 9110 §12.4.2).

use crate::field;

/// One member of a weighted list.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Weighted {
    /// The member in lower case.
    pub(crate) name: Vec<u8>,
    /// Its weight in thousandths.
    pub(crate) weight: u16,
}

const FULL: u16 = 1000;

/// Reads a weighted list whose members have no parameter but their weight; `None` if it is another
/// thing.
pub(crate) fn weighted(line: &[u8]) -> Option<Vec<Weighted>> {
    let members = line.split(|byte| *byte == b',').map(field::trim).filter(|member| !member.is_empty());
    members.map(member).collect()
}

fn member(member: &[u8]) -> Option<Weighted> {
    let mut parts = member.split(|byte| *byte == b';').map(field::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let weight = match parts.next() {
        None => FULL,
        Some([b'q' | b'Q', b'=', value @ ..]) => thousandths(value)?,
        Some(_) => return None,
    };
    let lawful = parts.next().is_none() && !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    lawful.then_some(Weighted { name, weight })
}

/// A qvalue: 0 to 1 with at most three decimals.
fn thousandths(value: &[u8]) -> Option<u16> {
    let (whole, decimals) = match value {
        [whole, b'.', decimals @ ..] => (whole, decimals),
        [whole] => (whole, [].as_slice()),
        _ => return None,
    };
    let lawful = decimals.len() <= 3 && decimals.iter().all(u8::is_ascii_digit);
    let below_one =
        decimals.iter().chain(b"000").take(3).fold(0, |sum, digit| sum * 10 + u16::from(digit.wrapping_sub(b'0')));
    match (lawful, whole) {
        (true, b'0') => Some(below_one),
        (true, b'1') if below_one == 0 => Some(FULL),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Plain = &'static [(&'static str, u16)];

    #[test]
    fn weights_are_thousandths() {
        let table: [(&str, Option<Plain>); 11] = [
            ("a", Some(&[("a", 1000)])),
            ("A;q=0.5, b ; Q=1.000,", Some(&[("a", 500), ("b", 1000)])),
            ("a;q=0", Some(&[("a", 0)])),
            ("a;q=0.123", Some(&[("a", 123)])),
            ("a;q=1.", Some(&[("a", 1000)])),
            ("", Some(&[])),
            ("a;q=1.1", None),
            ("a;q=0.1234", None),
            ("a;q=x", None),
            ("a;b=c", None),
            ("a b", None),
        ];
        for (line, expected) in table {
            let found = weighted(line.as_bytes());
            let plain = |list: Plain| -> Vec<Weighted> {
                list.iter().map(|(name, weight)| Weighted { name: name.as_bytes().to_vec(), weight: *weight }).collect()
            };
            assert_eq!(found, expected.map(plain), "{line}");
        }
    }
}
