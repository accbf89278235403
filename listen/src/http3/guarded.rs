//! QUIC streams as HTTP/3 reads them, with an eye on their frames.

use std::collections::VecDeque;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::quic::{
    BidiStream, Connection, ConnectionErrorIncoming, OpenStreams, RecvStream, SendStream, StreamErrorIncoming,
    StreamId, WriteBuf,
};

use super::frames::Frames;

/// A connection whose streams are read through [`Frames`].
pub(crate) struct Guarded<C>(pub(crate) C);

/// A stream that is read so, and written as it is.
pub(crate) struct GuardedStream<S> {
    stream: S,
    frames: Frames,
    come: VecDeque<Bytes>,
}

impl<S: RecvStream> GuardedStream<S> {
    fn new(stream: S, frames: Frames) -> Self {
        Self { stream, frames, come: VecDeque::new() }
    }
}

impl<S: RecvStream> RecvStream for GuardedStream<S> {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        loop {
            if let Some(piece) = self.come.pop_front() {
                return Poll::Ready(Ok(Some(piece)));
            }
            match ready!(self.stream.poll_data(cx))? {
                Some(mut data) => {
                    let data = data.copy_to_bytes(data.remaining());
                    if self.frames.push(data, &mut self.come).is_err() {
                        let connection_error = ConnectionErrorIncoming::InternalError("a frame is too long".to_owned());
                        return Poll::Ready(Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error }));
                    }
                }
                None if self.frames.is_between() => return Poll::Ready(Ok(None)),
                // It says more than it brings: as if it had been broken off.
                None => {
                    let error_code = Code::H3_FRAME_ERROR.value();
                    return Poll::Ready(Err(StreamErrorIncoming::StreamTerminated { error_code }));
                }
            }
        }
    }

    fn stop_sending(&mut self, error_code: u64) {
        self.stream.stop_sending(error_code);
    }

    fn recv_id(&self) -> StreamId {
        self.stream.recv_id()
    }
}

impl<S: SendStream<Bytes>> SendStream<Bytes> for GuardedStream<S> {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.stream.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.stream.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.stream.poll_finish(cx)
    }

    fn reset(&mut self, reset_code: u64) {
        self.stream.reset(reset_code);
    }

    fn send_id(&self) -> StreamId {
        self.stream.send_id()
    }
}

impl<S: BidiStream<Bytes>> BidiStream<Bytes> for GuardedStream<S> {
    type SendStream = S::SendStream;
    type RecvStream = GuardedStream<S::RecvStream>;

    fn split(self) -> (Self::SendStream, Self::RecvStream) {
        let (sending, receiving) = self.stream.split();
        (sending, GuardedStream { stream: receiving, frames: self.frames, come: self.come })
    }
}

impl<C: OpenStreams<Bytes>> OpenStreams<Bytes> for Guarded<C> {
    type BidiStream = GuardedStream<C::BidiStream>;
    type SendStream = C::SendStream;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::BidiStream, StreamErrorIncoming>> {
        self.0.poll_open_bidi(cx).map_ok(|stream| GuardedStream::new(stream, Frames::of_request()))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::SendStream, StreamErrorIncoming>> {
        self.0.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.0.close(code, reason);
    }
}

impl<C: Connection<Bytes>> Connection<Bytes> for Guarded<C> {
    type RecvStream = GuardedStream<C::RecvStream>;
    type OpenStreams = Guarded<C::OpenStreams>;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::RecvStream, ConnectionErrorIncoming>> {
        self.0.poll_accept_recv(cx).map_ok(|stream| GuardedStream::new(stream, Frames::one_way()))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<Self::BidiStream, ConnectionErrorIncoming>> {
        self.0.poll_accept_bidi(cx).map_ok(|stream| GuardedStream::new(stream, Frames::of_request()))
    }

    fn opener(&self) -> Self::OpenStreams {
        Guarded(self.0.opener())
    }
}
