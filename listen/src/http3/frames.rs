//! Frames of HTTP/3 (RFC 9114 §7.1) as they pass by: only those of bodies may be long, and none ends early.
//!
//! The library behind us gathers every other frame whole before it looks at it, however long it says it is.

use std::collections::VecDeque;

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// A stream's frames. What may be read further is handed on: data as it comes, other frames once they are whole.
#[derive(Debug)]
pub(crate) struct Frames {
    held: BytesMut,
    state: State,
}

/// Why what comes is not read further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLong;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// What a stream that is sent on only is for (RFC 9114 §6.2).
    Kind,
    /// A frame's type and length.
    Head,
    /// So much of a body is to come.
    Data(u64),
    /// So much of another frame is.
    Other(u64),
    /// Of a stream without frames so much may still come.
    Plain(u64),
}

/// The longest frame but data: a head of the largest size that is taken, encoded.
const LONGEST: u64 = 64 << 10;
/// What a stream without frames may bring: of QPACK's, where no table is used, next to nothing.
const MOST_PLAIN: u64 = 1 << 20;
const DATA: u64 = 0;
const CONTROL: u64 = 0;

impl Frames {
    /// Those of a request.
    pub(crate) fn of_request() -> Self {
        Self { held: BytesMut::new(), state: State::Head }
    }

    /// Those of a stream that its client alone sends on.
    pub(crate) fn one_way() -> Self {
        Self { held: BytesMut::new(), state: State::Kind }
    }

    /// Whether the stream may end here.
    pub(crate) fn is_between(&self) -> bool {
        self.held.is_empty() && !matches!(self.state, State::Data(_) | State::Other(_))
    }

    /// Takes what has come, and hands on what may be read.
    pub(crate) fn push(&mut self, mut come: Bytes, on: &mut VecDeque<Bytes>) -> Result<(), TooLong> {
        while !come.is_empty() {
            match self.state {
                State::Kind => {
                    self.held.put_u8(come.get_u8());
                    if let Some((kind, _)) = integer(&self.held) {
                        on.push_back(self.held.split().freeze());
                        self.state = if kind == CONTROL { State::Head } else { State::Plain(MOST_PLAIN) };
                    }
                }
                State::Head => {
                    self.held.put_u8(come.get_u8());
                    self.begin(on)?;
                }
                State::Data(left) => {
                    let piece = come.split_to(least(left, come.len()));
                    self.state = next(left, piece.len(), State::Data);
                    on.push_back(piece);
                }
                State::Other(left) => {
                    let piece = come.split_to(least(left, come.len()));
                    self.state = next(left, piece.len(), State::Other);
                    self.held.extend_from_slice(&piece);
                    if self.state == State::Head {
                        on.push_back(self.held.split().freeze());
                    }
                }
                State::Plain(left) => {
                    let left = left.checked_sub(u64::try_from(come.len()).unwrap_or(u64::MAX)).ok_or(TooLong)?;
                    self.state = State::Plain(left);
                    on.push_back(std::mem::take(&mut come));
                }
            }
        }
        Ok(())
    }

    /// Begins a frame, if its type and length are there.
    fn begin(&mut self, on: &mut VecDeque<Bytes>) -> Result<(), TooLong> {
        let Some((kind, length)) = integer(&self.held).and_then(|(kind, used)| {
            let (length, _) = integer(self.held.get(used..)?)?;
            Some((kind, length))
        }) else {
            return Ok(());
        };
        match (kind, length) {
            (DATA, _) | (_, 0) => {
                on.push_back(self.held.split().freeze());
                self.state = if length == 0 { State::Head } else { State::Data(length) };
            }
            (_, 1..=LONGEST) => self.state = State::Other(length),
            _ => return Err(TooLong),
        }
        Ok(())
    }
}

fn least(left: u64, come: usize) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(come)
}

fn next(left: u64, taken: usize, more: impl FnOnce(u64) -> State) -> State {
    match left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX)) {
        0 => State::Head,
        left => more(left),
    }
}

/// A variable-length integer at the front (RFC 9000 §16), and how many bytes it takes.
fn integer(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1_usize << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte));
    Some((value, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        let length = u16::try_from(payload.len()).unwrap() | 0x4000;
        [&[kind][..], &length.to_be_bytes(), payload].concat()
    }

    /// What is handed on of pieces of these sizes, and whether the stream may end then.
    fn passed(mut frames: Frames, bytes: &[u8], sizes: &[usize]) -> Result<(Vec<Bytes>, bool), TooLong> {
        let (mut on, mut rest) = (VecDeque::new(), Bytes::copy_from_slice(bytes));
        for size in sizes.iter().copied().cycle() {
            let piece = rest.split_to(size.min(rest.len()));
            if piece.is_empty() {
                break;
            }
            frames.push(piece, &mut on)?;
        }
        Ok((on.into(), frames.is_between()))
    }

    proptest! {
        #[test]
        fn what_is_handed_on_is_what_came_and_other_frames_are_whole(
            payloads in prop::collection::vec((0..4_u8, prop::collection::vec(any::<u8>(), 0..600)), 1..6),
            sizes in prop::collection::vec(1..200_usize, 1..8),
        ) {
            let all: Vec<u8> = payloads.iter().flat_map(|(kind, payload)| frame(*kind, payload)).collect();
            let (on, is_between) = passed(Frames::of_request(), &all, &sizes).unwrap();
            prop_assert_eq!(on.concat(), all);
            prop_assert!(is_between);
            for (kind, payload) in payloads.iter().filter(|(kind, payload)| *kind != 0 && !payload.is_empty()) {
                let whole = frame(*kind, payload);
                prop_assert!(on.iter().any(|piece| piece[..] == whole), "in one piece");
            }
        }
    }

    #[test]
    fn a_frame_that_says_it_is_long_is_not_waited_for() {
        // A head, a reserved frame and settings of a gigabyte; data may be.
        for (kind, expected) in [(1, Err(TooLong)), (0x21, Err(TooLong)), (4, Err(TooLong)), (0, Ok(false))] {
            let begun = [&[kind, 0x80 | 0x3f, 0xff, 0xff, 0xff][..], &[0; 100]].concat();
            let passed = passed(Frames::of_request(), &begun, &[7]);
            assert_eq!(passed.map(|(_, is_between)| is_between), expected, "{kind}");
        }
        // On the control stream, too, and what has no frames may only bring so much.
        let control = [&[0, 4, 0xbf, 0xff, 0xff, 0xff][..], &[0; 100]].concat();
        assert_eq!(passed(Frames::one_way(), &control, &[3]), Err(TooLong));
        let encoder = [&[2][..], &vec![0; 2 << 20]].concat();
        assert_eq!(passed(Frames::one_way(), &encoder, &[1_000]), Err(TooLong));
        let settings = [&[0][..], &frame(4, &[1, 2, 3])].concat();
        assert_eq!(passed(Frames::one_way(), &settings, &[1]).map(|(on, _)| on.concat()), Ok(settings));
    }

    #[test]
    fn an_end_within_a_frame_is_seen() {
        let whole = frame(0, b"ten bytes.");
        for length in 0..=whole.len() {
            let (_, is_between) = passed(Frames::of_request(), &whole[..length], &[4]).unwrap();
            assert_eq!(is_between, length == 0 || length == whole.len(), "{length}");
        }
    }
}
