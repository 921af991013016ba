use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tonic::transport::server::Connected;

use super::incoming::Incoming;
use super::outgoing::Outgoing;
use crate::api::Peer;

/// A connection as the HTTP/2 library has it. No value stays in the library's own buffers: what it reads is overwritten
/// there, and what it writes has replies put in where the gate left room for them.
pub(crate) struct Http2<S> {
    stream: S,
    peer: Peer,
    incoming: Incoming,
    outgoing: Outgoing,
}

impl<S> Http2<S> {
    pub(super) fn new(stream: S, peer: Peer) -> Self {
        let outgoing = Outgoing::new(peer.cloakroom.clone());
        Self { stream, peer, incoming: Incoming::default(), outgoing }
    }
}

impl<S: AsyncWrite + Unpin> Http2<S> {
    /// Sends all that waits.
    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.to_send().is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(context, self.outgoing.to_send()))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.sent(sent);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http2<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // It has dealt with all that it read before.
        this.outgoing.reset(this.incoming.resets())?;
        if this.incoming.fill(buffer) {
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        match Pin::new(&mut this.stream).poll_read(context, buffer) {
            Poll::Ready(read) => {
                this.incoming.read(buffer.filled().get(before..).unwrap_or_default());
                Poll::Ready(read)
            }
            Poll::Pending if this.incoming.pause(buffer) => {
                this.incoming.fill(buffer);
                Poll::Ready(Ok(()))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http2<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.outgoing.room() == 0 {
            ready!(self.poll_send(context))?;
        }
        let mut written = 0;
        let room = self.outgoing.room();
        for part in parts {
            let taken = part.get(..part.len().min(room - written)).unwrap_or_default();
            self.outgoing.write(taken)?;
            written += taken.len();
        }
        // What can not be sent at once is sent when the library flushes.
        if let Poll::Ready(Err(error)) = self.poll_send(context) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outgoing.all_written();
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(context))?;
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<S> Connected for Http2<S> {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::duplex;

    use super::*;
    use crate::api::Cloakroom;

    /// However much the library gives at once, and however slowly the peer takes it.
    #[test]
    fn what_waits_is_bounded() {
        let (near, mut far) = duplex(1000);
        let mut http2 = Http2::new(near, Peer { address: None, cloakroom: Cloakroom::default() });
        let context = &mut Context::from_waker(Waker::noop());
        let frame = [&[0x20, 0, 0, 0, 0, 0, 0, 0, 1], &[7; 0x20_0000][..]].concat();
        let (mut written, mut read) = (0, Vec::new());
        while read.len() < frame.len() {
            let halves = frame[written..].split_at((frame.len() - written) / 2);
            let parts = [IoSlice::new(halves.0), IoSlice::new(halves.1)];
            if let Poll::Ready(taken) = Pin::new(&mut http2).poll_write_vectored(context, &parts) {
                written += taken.unwrap();
            }
            assert!(http2.outgoing.to_send().len() <= 0x1_0000);
            assert!(http2.outgoing.allocated() <= 0x2_0000);
            let mut buffer = [0; 1500];
            let mut buffer = ReadBuf::new(&mut buffer);
            if Pin::new(&mut far).poll_read(context, &mut buffer).is_ready() {
                read.extend_from_slice(buffer.filled());
            }
            if let Poll::Ready(flushed) = Pin::new(&mut http2).poll_send(context) {
                flushed.unwrap();
            }
        }
        assert!(read == frame, "what is read is what was written");
    }
}
