//! What only its owner may look into, and what is written there.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::exit::Failure;

/// Makes a directory that nobody else may look into, or closes one that is there.
pub(crate) fn private_dir(path: &Path) -> std::io::Result<()> {
    fs::create_dir_all(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// 32 random bytes in hexadecimal.
pub(crate) fn random_token() -> Result<String, Failure> {
    let mut bytes = [0_u8; 32];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    provider.secure_random.fill(&mut bytes).map_err(|_| Failure::ours("the system has no random numbers"))?;
    Ok(fleet::hex(&bytes))
}
