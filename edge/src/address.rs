//! Addresses as they are written.

use std::io::Write as _;
use std::net::IpAddr;

/// Writes an address. IPv4's takes no formatter: one is written twice for nearly every request.
pub(crate) fn write_address(address: IpAddr, out: &mut Vec<u8>) {
    match address {
        IpAddr::V4(v4) => {
            let [first, rest @ ..] = v4.octets();
            let mut digits = itoa::Buffer::new();
            out.extend_from_slice(digits.format(first).as_bytes());
            for octet in rest {
                out.push(b'.');
                out.extend_from_slice(digits.format(octet).as_bytes());
            }
        }
        IpAddr::V6(v6) => {
            // It is written to memory.
            let _ = write!(out, "{v6}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_ever() {
        for text in
            ["0.0.0.0", "192.0.2.7", "100.64.10.200", "255.255.255.255", "::", "2001:db8::7", "::ffff:192.0.2.7"]
        {
            let mut out = b"before ".to_vec();
            write_address(text.parse().unwrap(), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("before {text}"));
        }
    }
}
