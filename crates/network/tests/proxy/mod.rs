//! What stands before a gateway: a web server that gives it a path prefix, and what breaks.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use futures_util::{SinkExt as _, StreamExt as _};
use quorate_network::NetworkDescriptor;
use quorate_protocol::SUBPROTOCOL;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// Serves a gateway below `/quorate/one` of the URL that is given; anything else is not found.
pub(crate) async fn prefixed(gateway: SocketAddr) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(forward(stream, gateway));
        }
    });
    format!("ws://{address}/quorate/one")
}

async fn forward(client: TcpStream, gateway: SocketAddr) -> std::io::Result<()> {
    let mut client = BufReader::new(client);
    let mut head = String::new();
    client.read_line(&mut head).await?;
    let Some(path) = head.strip_prefix("GET /quorate/one/") else {
        return client.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await;
    };
    let mut gateway = TcpStream::connect(gateway).await?;
    gateway.write_all(format!("GET /{path}").as_bytes()).await?;
    tokio::io::copy_bidirectional(&mut client, &mut gateway).await?;
    Ok(())
}

/// What becomes of a client's socket.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// Nothing: all is relayed.
    None,
    /// It breaks after so many of the client's frames.
    Breaks(usize),
    /// It stays open, and nothing comes of it after so many of the client's frames.
    Hangs(usize),
    /// It is taken, and no handshake comes of it.
    Mute,
    /// It breaks before the handshake.
    Dead,
}

/// A way to a gateway, of which a test breaks what it likes.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) url: String,
    fault: Arc<Mutex<Fault>>,
}

impl Way {
    pub(crate) async fn to(gateway: &str) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("ws://{}/", listener.local_addr().unwrap());
        let way = Self { url, fault: Arc::new(Mutex::new(Fault::None)) };
        let (fault, gateway) = (Arc::clone(&way.fault), gateway.trim_end_matches('/').to_owned());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fault = *fault.lock().unwrap();
                tokio::spawn(relay(stream, gateway.clone(), fault));
            }
        });
        way
    }

    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }
}

async fn relay(stream: TcpStream, gateway: String, fault: Fault) {
    match fault {
        Fault::Dead => return,
        Fault::Mute => return std::future::pending().await,
        _ => {}
    }
    let mut path = String::new();
    let read_path = |request: &Request, mut response: Response| {
        path = request.uri().to_string();
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    let mut client = tokio_tungstenite::accept_hdr_async(stream, read_path).await.unwrap();
    let mut request = format!("{gateway}{path}").into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
    let Ok((mut server, _)) = tokio_tungstenite::connect_async(request).await else { return };
    let mut frames = 0;
    loop {
        match fault {
            Fault::Breaks(after) if frames == after => return,
            Fault::Hangs(after) if frames == after => return std::future::pending().await,
            _ => {}
        }
        let relayed = tokio::select! {
            Some(Ok(frame)) = client.next() => {
                frames += usize::from(frame.is_text());
                server.send(frame).await
            }
            Some(Ok(frame)) = server.next() => client.send(frame).await,
            else => return,
        };
        if relayed.is_err() {
            return;
        }
    }
}

/// The network behind other gateways.
pub(crate) fn behind(network: &NetworkDescriptor, gateways: &[&str]) -> NetworkDescriptor {
    let urls = gateways.iter().map(|gateway| gateway.parse().unwrap()).collect();
    network.clone().with_gateways(urls).unwrap()
}
