//! Who has a port, as far as Linux tells (`/proc`).

use std::fs;
use std::net::{IpAddr, SocketAddr};

/// The program bound to an address, as `name (pid N)`; `None` where it cannot be known.
pub(crate) fn holder(address: SocketAddr, protocol: &str) -> Option<String> {
    let family = if address.is_ipv4() { "" } else { "6" };
    let table = fs::read_to_string(format!("/proc/net/{}{family}", protocol.to_lowercase())).ok()?;
    let inode = table.lines().skip(1).find_map(|line| inode_of(line, address))?;
    let wanted = format!("socket:[{inode}]");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let mut links = descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
        if links.any(|link| link.as_os_str() == wanted.as_str()) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (pid {pid})", name.trim()));
        }
    }
    None
}

/// The inode in a line of the table, if the line is the address's or the wildcard's on its port.
fn inode_of(line: &str, address: SocketAddr) -> Option<String> {
    let mut fields = line.split_whitespace().skip(1);
    let (local, port) = fields.next()?.split_once(':')?;
    let is_listening = matches!(fields.nth(1)?, "0A" | "07");
    let is_port = u16::from_str_radix(port, 16).ok()? == address.port();
    let is_here = match address.ip() {
        IpAddr::V4(v4) => {
            let own = u32::from_str_radix(local, 16).ok()?;
            own == 0 || own == u32::from_ne_bytes(v4.octets())
        }
        IpAddr::V6(_) => true,
    };
    (is_listening && is_port && is_here).then(|| fields.nth(5).map(str::to_owned)).flatten()
}
