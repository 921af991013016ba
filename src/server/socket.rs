//! The bytes of a connection: TCP, or TLS over it. It fails, and so is closed, when its peer is silent for too long, or sends
//! too many frames that carry nothing. All bytes pass as they are, until the connection is overloaded (see [`super::shedding`]).

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::Frames;
use super::shedding::Shedding;
use super::windows::Windows;
use crate::api::{Closing, Connection};

/// The time within which a new connection must send the preface of HTTP/2.
const BEGIN: Duration = Duration::from_secs(10);
/// The length of that preface, in bytes (RFC 9113, section 3.4).
pub(super) const PREFACE: usize = 24;
/// The longest silence of a connection after that. The server sends a ping every 30 s, which a live client answers.
const SILENCE: Duration = Duration::from_secs(90);

/// A byte stream of a peer: TCP, or TLS over it.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Duplex for S {}

/// How much is read before others have their turn, in bytes. The HTTP/2 library reads all that has come before it hands on the
/// first request. A peer that sends faster than the server works would fill its memory so, with requests that it resets again.
const TURN: usize = 16 * 1024;

/// How much is read at once where the library does not read by itself, in bytes.
const PIECE: usize = 8 * 1024;

/// How many bytes that are left out, as refused requests, count like one of the others in a turn.
const LEFT_OUT: usize = 4;

/// How many bytes of replies do not wait for more.
const LARGE: usize = 8 * 1024;

/// The bytes of a connection. Reading and writing fail with `TimedOut` when it is silent for too long.
pub(super) struct Socket {
    stream: Box<dyn Duplex>,
    connection: Arc<Connection>,
    /// Set once the connection is overloaded.
    shedding: Option<Box<Shedding>>,
    /// What it reads. Empty before.
    inbox: Vec<u8>,
    /// How many bytes the peer has sent.
    received: usize,
    /// The frames in them.
    frames: Frames,
    /// How much was read in this turn, in bytes.
    in_turn: usize,
    /// Whether the tasks that were ready have run since the last flush.
    gathered: bool,
    /// The last time when the peer is known to have been there.
    heard: Instant,
    /// Wakes the task at the next limit.
    limit: Pin<Box<Sleep>>,
}

impl Socket {
    /// The bytes of a connection that begins now.
    pub(super) fn new(stream: Box<dyn Duplex>, connection: Arc<Connection>) -> Self {
        let now = Instant::now();
        let frames = Frames::new(connection.most(), now);
        let limit = Box::pin(sleep_until(now + BEGIN));
        Self {
            stream,
            connection,
            shedding: None,
            inbox: Vec::new(),
            received: 0,
            frames,
            in_turn: 0,
            gathered: false,
            heard: now,
            limit,
        }
    }

    /// How much the peer lets the server send.
    pub(super) fn windows(&self) -> &Arc<Windows> {
        self.frames.windows()
    }

    /// Notes that the peer sent something. Setting the timer is not free, so that is done once in a while only.
    fn hear(&mut self, bytes: &[u8]) -> io::Result<()> {
        let begun = self.received >= PREFACE;
        self.received = self.received.saturating_add(bytes.len());
        let now = Instant::now();
        if self.received >= PREFACE && (!begun || now.duration_since(self.heard) > SILENCE / 9) {
            self.heard = now;
            self.limit.as_mut().reset(now + SILENCE);
        }
        let connection = &self.connection;
        self.frames.read(bytes, now).map_err(|flood| {
            connection.close(Closing::Flood);
            io::Error::other(flood)
        })
    }

    /// Ready once the tasks that were ready have run. Their small replies then leave in one write: a write for each costs more than
    /// the reads that they answer, here and at the client. The library flushes after data of 1 KiB and more, so that each frame of a
    /// large reply waits so.
    fn poll_gathered(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.gathered, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Notes that the library looks at what was read before it reads on. `is_drained`: all that had come was read.
    fn end_turn(&mut self, is_drained: bool) {
        self.in_turn = 0;
        if let Some(shedding) = &mut self.shedding {
            shedding.end_turn(is_drained);
        }
    }

    /// Reads what is left of the peer's frames.
    fn poll_read_shedding(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            let Some(shedding) = &mut self.shedding else { return Poll::Ready(Ok(())) };
            let ready = shedding.ready();
            if !ready.is_empty() {
                let taken = ready.len().min(buffer.remaining());
                buffer.put_slice(ready.get(..taken).unwrap_or_default());
                ready.advance(taken);
                return Poll::Ready(Ok(()));
            }
            ready!(shedding.poll_rested(context));
            if shedding.is_full() && self.poll_replies(context)?.is_pending() {
                self.end_turn(false);
                return Poll::Pending; // until the peer takes some
            }
            if self.in_turn >= TURN {
                self.end_turn(false);
                context.waker().wake_by_ref();
                return self.poll_refused(context);
            }
            match self.poll_read_piece(context) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Ok(())), // the peer sends no more
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    self.end_turn(true);
                    return self.poll_refused(context);
                }
            }
        }
    }

    /// Reads some bytes of the peer's frames. Gives their number.
    fn poll_read_piece(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut inbox = std::mem::take(&mut self.inbox);
        inbox.resize(PIECE, 0);
        let mut read = ReadBuf::new(&mut inbox);
        let ended = Pin::new(&mut self.stream).poll_read(context, &mut read);
        let length = read.filled().len();
        let heard = match inbox.get(..length) {
            Some(bytes) if !bytes.is_empty() => self.hear_shedding(bytes),
            _ => Ok(()),
        };
        self.inbox = inbox;
        ended.map(|ended| ended.and(heard).map(|()| length))
    }

    /// Notes that the peer sent something, and keeps what is left of it.
    fn hear_shedding(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.hear(bytes)?;
        let Some(shedding) = &mut self.shedding else { return Ok(()) };
        let connection = &self.connection;
        shedding.read(bytes).map_err(|broken| {
            connection.close(Closing::Broken);
            io::Error::other(broken)
        })?;
        // What is left out takes no room.
        self.in_turn += shedding.ready().len().max(bytes.len() / LEFT_OUT);
        Ok(())
    }

    /// Nothing is to be read now. Refusals leave at once: the turn of this connection after the next one may be far.
    fn poll_refused(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.poll_replies(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            _ => self.poll_limit(context),
        }
    }

    /// Writes what waits for the peer while the connection sheds requests.
    fn poll_replies(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(shedding) = &mut self.shedding
            && !shedding.replies().is_empty()
        {
            let written = Pin::new(&mut self.stream).poll_write(context, shedding.replies());
            let written = ready!(self.limited(written, context))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            if let Some(shedding) = &mut self.shedding {
                self.frames.wrote(shedding.replies().get(..written).unwrap_or_default());
                shedding.wrote(written);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Ready with an error once a limit is reached.
    fn poll_limit<T>(&mut self, context: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.limit.as_mut().poll(context));
        self.connection.close(if self.received < PREFACE { Closing::NotBegun } else { Closing::Silent });
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// The same while a write waits.
    fn limited(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        if written.is_pending() { self.poll_limit(context) } else { written }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.shedding.is_none() && self.connection.is_overloaded() && self.frames.is_settled() {
            self.shedding =
                self.frames.hand_over().map(|frames| Shedding::begin(self.connection.clone(), frames).into());
        }
        if self.shedding.is_some() {
            return self.poll_read_shedding(context, buffer);
        }
        if self.in_turn >= TURN {
            self.end_turn(false);
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                let bytes = buffer.filled().get(before..).unwrap_or_default();
                self.in_turn += bytes.len();
                let heard = self.hear(bytes);
                if heard.is_err() {
                    buffer.set_filled(before); // a read that fails reads nothing
                }
                Poll::Ready(heard)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.end_turn(true);
                self.poll_limit(context)
            }
        }
    }
}

/// The HTTP/2 library does not read while it cannot write, so a write that waits is limited too.
impl AsyncWrite for Socket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(shedding) = &mut self.shedding {
            if shedding.is_full_for_the_library() {
                ready!(self.poll_replies(context))?;
            }
            if let Some(shedding) = &mut self.shedding {
                shedding.write(bytes);
            }
            return Poll::Ready(Ok(bytes.len()));
        }
        if bytes.len() < LARGE {
            ready!(self.poll_gathered(context));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        let written = ready!(self.limited(written, context))?;
        self.frames.wrote(bytes.get(..written).unwrap_or_default());
        Poll::Ready(Ok(written))
    }

    /// Where this is false, the HTTP/2 library copies data of less than 1 KiB into one buffer. Otherwise it gives all data from 256
    /// bytes on to a write of its own.
    fn is_write_vectored(&self) -> bool {
        false
    }

    /// The library flushes at the end of a frame.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if let Some(shedding) = &mut self.shedding
            && !shedding.replies().is_empty()
        {
            if shedding.replies().len() < LARGE {
                ready!(self.poll_gathered(context));
            }
            ready!(self.poll_replies(context))?;
        }
        match Pin::new(&mut self.stream).poll_flush(context) {
            Poll::Pending => self.poll_limit(context),
            flushed => {
                self.gathered = false;
                flushed
            }
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match Pin::new(&mut self.stream).poll_shutdown(context) {
            Poll::Pending => self.poll_limit(context),
            shut_down => shut_down,
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    async fn pair() -> (TcpStream, Socket) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        let connection = Connection::new(([127, 0, 0, 1], 1).into(), 10, 1);
        (peer, Socket::new(Box::new(stream), Arc::new(connection)))
    }

    #[tokio::test]
    async fn tasks_that_are_ready_run_before_a_write() {
        let (mut peer, mut socket) = pair().await;
        for reply in [b"one", b"two"] {
            let turn = tokio::spawn(async {});
            socket.write_all(reply).await.unwrap();
            assert!(turn.is_finished());
            let next = tokio::spawn(async {});
            socket.write_all(b", and the rest").await.unwrap();
            assert!(!next.is_finished(), "what belongs to one flush waits once");
            socket.flush().await.unwrap();
        }
        let mut read = [0; 34];
        peer.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"one, and the resttwo, and the rest");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_does_not_begin_is_closed() {
        let (mut peer, mut socket) = pair().await;
        peer.write_all(&[0; PREFACE - 1]).await.unwrap();
        let begun = Instant::now();
        let ended = socket.read_to_end(&mut Vec::new()).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!((BEGIN..BEGIN * 2).contains(&begun.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_goes_on_is_kept_until_it_is_silent() {
        let (mut peer, mut socket) = pair().await;
        let mut buffer = [0; PREFACE];
        for _ in 0..20 {
            peer.write_all(&buffer).await.unwrap();
            socket.read_exact(&mut buffer).await.unwrap();
            tokio::time::advance(SILENCE / 3).await;
        }
        let ended = socket.read(&mut buffer).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
    }

    /// The HTTP/2 library then waits for the write alone.
    #[tokio::test(start_paused = true)]
    async fn a_connection_whose_peer_takes_nothing_is_closed() {
        let (mut peer, mut socket) = pair().await;
        peer.write_all(&[0; PREFACE]).await.unwrap();
        socket.read_exact(&mut [0; PREFACE]).await.unwrap();
        let begun = Instant::now();
        let ended = socket.write_all(&vec![0; 64 << 20]).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::TimedOut);
        assert!((SILENCE / 2..SILENCE * 2).contains(&begun.elapsed()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_of_nothing_but_pings_is_closed() {
        let (mut peer, mut socket) = pair().await;
        let sending = tokio::spawn(async move {
            peer.write_all(&[0; PREFACE]).await?;
            let ping = [0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
            peer.write_all(&ping.repeat(100_000)).await
        });
        let mut read = Vec::new();
        let ended = socket.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(ended.kind(), io::ErrorKind::Other);
        assert!(read.len() < 100_000 * 17 / 2, "{} bytes", read.len());
        drop(socket);
        // The system may have taken all that was sent.
        let _ = sending.await.unwrap();
    }
}
