//! The last map on disk: with it a restarted name server answers before databases are read again.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use config::{Config, limits};
use mapping::Map;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_128};

use crate::compiled::Compiled;
use crate::geo::World;
use crate::view::View;

/// A file begins with this; another version of what follows has another.
const MAGIC: [u8; 8] = *b"hmap\0\0\0\x01";
/// Magic, what it was made of, checksum.
const HEADER: usize = 8 + 16 + 8;

/// The file of a name server's map.
#[derive(Clone, Debug)]
pub struct KeptMap {
    path: PathBuf,
}

impl KeptMap {
    /// In this directory.
    #[must_use]
    pub fn new(home: &Path) -> Self {
        Self { path: home.join("map.bin") }
    }

    /// A view around the map that was written, if that is what this config would be compiled into; a damaged file is none.
    #[must_use]
    pub fn view(&self, config: &Config) -> Option<View> {
        View::restore(config, self.read(config)?).ok()
    }

    fn read(&self, config: &Config) -> Option<Arc<Compiled>> {
        let bytes = config::read_bounded(&self.path, limits::MAP_BYTES).ok()?;
        let (header, rest) = bytes.split_first_chunk::<HEADER>()?;
        let expected = header_of(config, xxh3_64(rest));
        if *header != expected {
            return None;
        }
        Some(Arc::new(Compiled::restored(config, Map::from_bytes(rest)?)))
    }

    /// Writes down the map of a view that was built of this config.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, config: &Config, view: &View) -> io::Result<()> {
        let pieces = view.compiled.map.pieces();
        let mut sum = Xxh3::new();
        pieces.iter().for_each(|piece| sum.update(piece));
        let beside = self.path.with_extension("bin.tmp");
        let mut file = BufWriter::new(File::create(&beside)?);
        file.write_all(&header_of(config, sum.digest()))?;
        for piece in &pieces {
            file.write_all(piece)?;
        }
        // Lost in a crash, it is compiled as without it.
        file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        fs::rename(&beside, &self.path)
    }
}

fn header_of(config: &Config, sum: u64) -> [u8; HEADER] {
    let network = &config.network;
    let pops: Vec<_> = network.pops.iter().map(|pop| (&pop.id, pop.location)).collect();
    // Where clients are, what PoPs there are, and the operator's word; what was learned is learned again at once.
    let made_of = format!(
        "{} {:?} {pops:?} {:?} {:?} {:?}",
        env!("CARGO_PKG_VERSION"),
        World::stamps(&network.geo),
        network.geo.home,
        config.routes.routes,
        config.sites.iter().map(|site| &site.id).collect::<Vec<_>>(),
    );
    let mut header = [0; HEADER];
    let parts = [&MAGIC[..], &xxh3_128(made_of.as_bytes()).to_le_bytes(), &sum.to_le_bytes()].concat();
    header.iter_mut().zip(parts).for_each(|(byte, part)| *byte = part);
    header
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;
    use crate::view::tests::{POPS, config_of, view_of};

    #[test]
    fn a_map_is_read_as_it_was_written_and_only_for_the_same_config() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, config, view) = (KeptMap::new(dir.path()), config_of(POPS), view_of(POPS));
        assert!(kept.view(&config).is_none(), "nothing is there yet");
        kept.write(&config, &view).unwrap();
        let restored = kept.view(&config).unwrap();
        assert_eq!(restored.size(), view.size());
        for number in 0..100_000_u32 {
            let address = IpAddr::from(number.wrapping_mul(2_654_435_761).to_be_bytes());
            let found = |view: &View| {
                let mapped = view.compiled.map.find(address, 32, 0).unwrap();
                (mapped.list.clone(), mapped.scopes)
            };
            assert_eq!(found(&restored), found(&view), "{address}");
        }
        let mut other = config_of(POPS);
        other.network.pops[0].location.latitude += 1.0;
        assert!(kept.view(&other).is_none(), "a PoP has moved");

        let path = dir.path().join("map.bin");
        let whole = std::fs::read(&path).unwrap();
        for at in (0..whole.len()).step_by(9_973).chain([0, 8, 24, 32, whole.len() - 1]) {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(&path, &damaged).unwrap();
            assert!(kept.view(&config).is_none(), "byte {at}");
        }
        std::fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(kept.view(&config).is_none(), "half of it");
    }
}
