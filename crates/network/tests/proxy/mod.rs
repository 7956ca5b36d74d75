//! A reverse proxy that gives a gateway a path prefix, as a web server before it does.

use std::net::SocketAddr;

use quorate_network::NetworkDescriptor;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

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

/// The network behind other gateways.
pub(crate) fn behind(network: &NetworkDescriptor, gateways: &[&str]) -> NetworkDescriptor {
    let urls = gateways.iter().map(|gateway| gateway.parse().unwrap()).collect();
    network.clone().with_gateways(urls).unwrap()
}
