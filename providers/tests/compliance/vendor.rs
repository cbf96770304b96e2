//! A vendor of one connection handler: it reads a whole request, then does what the case says with the connection.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What happens to a request once it has been read.
#[derive(Clone, Debug)]
pub enum Wire {
    Answer {
        status: u16,
        headers: &'static str,
        body: &'static str,
    },
    /// The connection stays open and silent.
    Silence,
    /// A reset before any answer.
    Reset,
    /// An orderly end before any answer.
    Close,
    /// A head that promises more than follows.
    CutShort,
    /// A head, a piece of the body, a reset.
    ResetInside,
    /// A head, a piece of the body, silence.
    SilenceInside,
    /// Bytes that are not HTTP.
    Noise,
    /// An acceptance that never ends.
    Flood,
}

pub struct Vendor {
    pub address: SocketAddr,
    /// Requests that were read to their end: what a real vendor may have processed.
    read: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Vendor {
    pub async fn that_does(wire: Wire) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (read, requests) = (Arc::<AtomicUsize>::default(), Arc::<Mutex<Vec<String>>>::default());
        let (counter, log) = (Arc::clone(&read), Arc::clone(&requests));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, wire.clone(), Arc::clone(&counter), Arc::clone(&log)));
            }
        });
        Self { address, read, requests, task }
    }

    pub fn processed(&self) -> usize {
        self.read.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

impl Drop for Vendor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, wire: Wire, read: Arc<AtomicUsize>, log: Arc<Mutex<Vec<String>>>) {
    while let Some(request) = read_request(&mut stream).await {
        read.fetch_add(1, Ordering::SeqCst);
        log.lock().unwrap().push(request);
        let promise = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"id\": \"m";
        match &wire {
            Wire::Answer { status, headers, body } => {
                let length = body.len();
                let answer = format!("HTTP/1.1 {status} S\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
                stream.write_all(answer.as_bytes()).await.unwrap();
                continue;
            }
            Wire::Silence => std::future::pending().await,
            Wire::Reset => stream.set_zero_linger().unwrap(),
            Wire::Close => {}
            Wire::CutShort => stream.write_all(promise.as_bytes()).await.unwrap(),
            Wire::ResetInside => {
                // What has arrived is read before the reset that follows it.
                stream.write_all(promise.as_bytes()).await.unwrap();
                stream.set_zero_linger().unwrap();
            }
            Wire::SilenceInside => {
                stream.write_all(promise.as_bytes()).await.unwrap();
                std::future::pending::<()>().await;
            }
            Wire::Noise => stream.write_all(b"\x16\x03\x01 nothing that is HTTP\r\n\r\n").await.unwrap(),
            Wire::Flood => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
                while stream.write_all(&[b' '; 8_192]).await.is_ok() {}
            }
        }
        return;
    }
}

async fn read_request(stream: &mut TcpStream) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let mut piece = [0; 4_096];
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => return None,
            Ok(count) => request.extend_from_slice(&piece[..count]),
        }
        let text = String::from_utf8_lossy(&request);
        let Some(head_end) = text.find("\r\n\r\n") else { continue };
        let length = text[..head_end]
            .to_ascii_lowercase()
            .lines()
            .find_map(|line| line.strip_prefix("content-length: ").map(|n| n.trim().parse::<usize>().unwrap()));
        if request.len() >= head_end + 4 + length.unwrap_or(0) {
            return Some(text.into_owned());
        }
    }
}
