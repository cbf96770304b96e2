//! As much HTTP/1.1 as a load and a vendor need: messages with a `Content-Length`, over and over on one connection.

use std::io;

use tokio::{
    io::{AsyncRead, AsyncReadExt},
    net::TcpStream,
};

/// No request or answer of a bench is longer.
const MAX_BYTES: usize = 32 * 1024 * 1024;
const PIECE: usize = 16 * 1024;

/// Reads one message after the other; what came too early is kept for the next.
pub struct Messages<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
    /// Where the message read last ends.
    end: usize,
}

/// One message, borrowed from the buffer.
pub struct Message<'a> {
    pub head: &'a [u8],
    pub body: &'a [u8],
}

impl Message<'_> {
    /// Of an answer.
    pub fn status(&self) -> u16 {
        self.head.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).unwrap_or(0)
    }
}

impl<S: AsyncRead + Unpin> Messages<S> {
    pub const fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), end: 0 }
    }

    pub const fn stream(&mut self) -> &mut S {
        &mut self.stream
    }

    /// The next message; `None` where the other side has ended.
    pub async fn next(&mut self) -> io::Result<Option<Message<'_>>> {
        self.buffer.drain(..self.end);
        self.end = 0;
        loop {
            if let Some((head, whole)) = measure(&self.buffer)?
                && self.buffer.len() >= whole
            {
                self.end = whole;
                return Ok(Some(Message { head: &self.buffer[..head], body: &self.buffer[head..whole] }));
            }
            if self.buffer.len() > MAX_BYTES {
                return Err(io::ErrorKind::InvalidData.into());
            }
            self.buffer.reserve(PIECE);
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }
}

/// The lengths of the head and of the whole message, once the head is there.
fn measure(bytes: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(head) = bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4) else { return Ok(None) };
    let length = match header(&bytes[..head], b"content-length:") {
        None => 0,
        Some(value) => value.parse::<usize>().map_err(|_| io::ErrorKind::InvalidData)?,
    };
    Ok(Some((head, head + length)))
}

fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let line = head.split(|byte| *byte == b'\n').find(|line| line.len() > name.len() && line[..name.len()].eq_ignore_ascii_case(name))?;
    std::str::from_utf8(&line[name.len()..]).ok().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_told_apart_wherever_they_are_cut() {
        let bytes: &[u8] =
            b"HTTP/1.1 202 A\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 500 B\r\n\r\nHTTP/1.1 200 C\r\ncontent-length: 1\r\n\r\nx";
        let mut messages = Messages::new(tokio_test_reader(bytes));
        let mut seen = Vec::new();
        while let Some(message) = messages.next().await.unwrap() {
            seen.push((message.status(), message.body.to_vec()));
        }
        assert_eq!(seen, [(202, b"hi".to_vec()), (500, Vec::new()), (200, b"x".to_vec())]);
    }

    /// Gives three bytes at a time.
    fn tokio_test_reader(bytes: &'static [u8]) -> impl AsyncRead + Unpin {
        struct Drops(&'static [u8]);
        impl AsyncRead for Drops {
            fn poll_read(
                mut self: std::pin::Pin<&mut Self>,
                _: &mut std::task::Context<'_>,
                out: &mut tokio::io::ReadBuf<'_>,
            ) -> std::task::Poll<io::Result<()>> {
                let (now, later) = self.0.split_at(self.0.len().min(3));
                out.put_slice(now);
                self.0 = later;
                std::task::Poll::Ready(Ok(()))
            }
        }
        Drops(bytes)
    }
}
