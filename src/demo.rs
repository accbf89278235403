//! The demo directory: written once, then the operator's to edit.

use std::fs;
use std::path::Path;

use config::{Config, write_private};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use crate::exit::Failure;
use crate::secrets::{private_dir, random_token};

const FILES: [(&str, &str); 7] = [
    ("hither.toml", include_str!("../deploy/demo/hither.toml")),
    ("routes.toml", include_str!("../deploy/demo/routes.toml")),
    ("sites/shop.toml", include_str!("../deploy/demo/sites/shop.toml")),
    ("zones/shop.example", include_str!("../deploy/demo/zones/shop.example")),
    ("origin/index.html", include_str!("../deploy/demo/origin/index.html")),
    ("origin/assets/shop.css", include_str!("../deploy/demo/origin/assets/shop.css")),
    ("origin/news/today.html", include_str!("../deploy/demo/origin/news/today.html")),
];

/// Names on the sample site's certificate.
const HOSTS: [&str; 3] = ["www.shop.example", "shop.example", "shop.cdn.example"];

/// Where the demo's own authority is, for `curl --cacert`.
pub(crate) const AUTHORITY: &str = ".state/demo-ca.pem";

/// Writes what is missing of the demo; files that are there are kept.
pub(crate) fn write(dir: &Path) -> Result<(), Failure> {
    let next = "call it in a directory that you may write to, or name your own: `hither init DIR` writes one";
    let fail = |error: std::io::Error| Failure::file("write the demo to", dir, &error, next);
    for (name, text) in FILES {
        let path = dir.join(name);
        if !path.exists() {
            fs::create_dir_all(path.parent().unwrap_or(dir)).map_err(fail)?;
            fs::write(path, text).map_err(fail)?;
        }
    }
    for private in ["secrets", ".state"] {
        private_dir(&dir.join(private)).map_err(fail)?;
    }
    for secret in ["admin.token", "fleet.key"] {
        let path = dir.join("secrets").join(secret);
        if !path.exists() {
            write_private(&path, &random_token()?).map_err(fail)?;
        }
    }
    let certificate = dir.join("secrets/shop.pem");
    if !certificate.exists() || !dir.join(AUTHORITY).exists() {
        let made = make_certificate().map_err(Failure::ours)?;
        fs::write(dir.join(AUTHORITY), made.authority).map_err(fail)?;
        fs::write(certificate, made.certificate).map_err(fail)?;
        write_private(&dir.join("secrets/shop.key"), &made.key).map_err(fail)?;
    }
    Ok(())
}

/// The sample origin's directory and address, if this config is the demo's or made from it.
pub(crate) fn sample_origin(config: &Config) -> Option<(std::path::PathBuf, std::net::SocketAddr)> {
    let files = config.dir.join("origin");
    let shop = config.sites.iter().find(|site| site.id.as_str() == "shop")?;
    let server = shop.origin.servers.first()?;
    let address: std::net::IpAddr = server.host.parse().ok()?;
    (files.is_dir() && address.is_loopback()).then(|| (files, std::net::SocketAddr::new(address, server.port)))
}

struct Made {
    authority: String,
    certificate: String,
    key: String,
}

/// An authority of the demo's own, and the sample site's certificate signed by it.
fn make_certificate() -> Result<Made, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.distinguished_name.push(DnType::CommonName, "hither demo authority");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority.self_signed(&authority_key)?.pem();
    let issuer = Issuer::new(authority, authority_key);
    let mut site = CertificateParams::new(HOSTS.map(str::to_owned).to_vec())?;
    site.distinguished_name.push(DnType::CommonName, HOSTS[0]);
    let key = KeyPair::generate()?;
    let certificate = site.signed_by(&key, &issuer)?.pem();
    Ok(Made { authority: authority_pem, certificate, key: key.serialize_pem() })
}
