//! Readiness of streams: whether something can be read, without a buffer and without a poll.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll};

use rustix::buffer::spare_capacity;
use tokio::io::{Empty, Interest};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::{client, server};
use tokio_util::either::Either;

/// A stream that can tell without a buffer whether something can be read.
pub(crate) trait Readiness {
    /// Ready when a read may return something; until then, the task is woken when it may.
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()>;

    /// Whether a read may return something now, as far as the runtime knows; wakes no task.
    fn is_readable(&self) -> bool {
        true
    }

    /// Reads into the spare capacity of a buffer, if that can be done without a poll.
    fn read_now(&self, _: &mut Vec<u8>) -> Option<io::Result<usize>> {
        None
    }

    /// Writes at once, if that can be done without a poll.
    fn write_now(&self, _: &[u8]) -> Option<io::Result<usize>> {
        None
    }
}

/// Reads from a socket; [`io::ErrorKind::WouldBlock`] if it is drained, so that the runtime waits for readiness next.
fn receive(socket: impl AsFd, buffer: &mut Vec<u8>, read: &mut Option<usize>) -> io::Result<()> {
    let room = buffer.capacity() - buffer.len();
    let bytes = rustix::io::read(socket, spare_capacity(buffer))?;
    *read = Some(bytes);
    match (1..room).contains(&bytes) {
        // The next read waits for readiness instead of asking the kernel in vain.
        true => Err(io::ErrorKind::WouldBlock.into()),
        false => Ok(()),
    }
}

/// `None` for [`io::ErrorKind::WouldBlock`].
fn none_if_blocked<T>(tried: io::Result<T>) -> Option<io::Result<T>> {
    match tried {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => None,
        tried => Some(tried),
    }
}

impl Readiness for TcpStream {
    #[inline]
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        // The read returns the error again.
        self.poll_read_ready(context).map(|_| ())
    }

    #[inline]
    fn is_readable(&self) -> bool {
        self.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    #[inline]
    fn read_now(&self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        let mut read = None;
        let tried = self.try_io(Interest::READABLE, || receive(self, buffer, &mut read));
        read.map(Ok).or_else(|| none_if_blocked(tried.map(|()| 0)))
    }

    #[inline]
    fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        none_if_blocked(self.try_write(bytes))
    }
}

impl Readiness for UnixStream {
    #[inline]
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        self.poll_read_ready(context).map(|_| ())
    }

    fn is_readable(&self) -> bool {
        self.try_io(Interest::READABLE, || Ok(())).is_ok()
    }

    fn read_now(&self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        let mut read = None;
        let tried = self.try_io(Interest::READABLE, || receive(self, buffer, &mut read));
        read.map(Ok).or_else(|| none_if_blocked(tried.map(|()| 0)))
    }

    fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        none_if_blocked(self.try_write(bytes))
    }
}

/// A closed stream: its end can be read.
impl Readiness for Empty {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl<L: Readiness, R: Readiness> Readiness for Either<L, R> {
    #[inline]
    fn poll_readable(&self, context: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Left(stream) => stream.poll_readable(context),
            Self::Right(stream) => stream.poll_readable(context),
        }
    }

    #[inline]
    fn is_readable(&self) -> bool {
        match self {
            Self::Left(stream) => stream.is_readable(),
            Self::Right(stream) => stream.is_readable(),
        }
    }

    #[inline]
    fn read_now(&self, buffer: &mut Vec<u8>) -> Option<io::Result<usize>> {
        match self {
            Self::Left(stream) => stream.read_now(buffer),
            Self::Right(stream) => stream.read_now(buffer),
        }
    }

    #[inline]
    fn write_now(&self, bytes: &[u8]) -> Option<io::Result<usize>> {
        match self {
            Self::Left(stream) => stream.write_now(bytes),
            Self::Right(stream) => stream.write_now(bytes),
        }
    }
}

/// Only a read tells what TLS has decrypted already.
impl<S> Readiness for Box<server::TlsStream<S>> {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}

impl<S> Readiness for Box<client::TlsStream<S>> {
    fn poll_readable(&self, _: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }
}
