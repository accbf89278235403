//! What is handed to the HTTP/2 library of a body: bytes, and who is told how many of them have gone.

use bytes::{Buf, Bytes};

use crate::activity::Open;
use crate::fast::Sent;

/// A piece of a body. The library keeps it until the client's window has let all of it go, or the stream has ended.
pub(crate) struct Piece {
    bytes: Bytes,
    told: Option<Told>,
}

/// Who is told of the only piece of a body, once the library lets go of it.
struct Told {
    teller: Box<dyn Sent>,
    sent: u64,
    /// Its request is open until then.
    _open: Open,
}

impl From<Bytes> for Piece {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, told: None }
    }
}

impl Piece {
    /// A whole body.
    pub(crate) fn whole(bytes: Bytes, teller: Box<dyn Sent>, open: Open) -> Self {
        Self { bytes, told: Some(Told { teller, sent: 0, _open: open }) }
    }
}

impl Buf for Piece {
    fn remaining(&self) -> usize {
        self.bytes.len()
    }

    fn chunk(&self) -> &[u8] {
        &self.bytes
    }

    fn advance(&mut self, count: usize) {
        self.bytes.advance(count);
        if let Some(told) = &mut self.told {
            told.sent += u64::try_from(count).unwrap_or(0);
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.teller.sent(self.sent);
    }
}
