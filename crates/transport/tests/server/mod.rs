//! An HTTP/1.1 server that gives one scripted reply to each request, each on a connection of its own.

use serde_json::{Value, json};
use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::watch,
    task::JoinHandle,
};
use url::Url;

#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A JSON-RPC response with the id of the request: status and members.
    Response { status: u16, members: Value, headers: Vec<String> },
    /// A status and a body as they are.
    Raw { status: u16, body: String, headers: Vec<String>, framing: Framing },
    /// The connection is closed without an answer.
    Close,
    /// Bytes that are not HTTP.
    Garbage,
    /// No answer at all.
    Silence,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Framing {
    Length,
    UntilClose,
    /// A length that promises more than comes.
    CutShort,
}

impl Reply {
    pub(crate) fn result(result: Value) -> Self {
        Self::Response { status: 200, members: json!({ "result": result }), headers: vec![] }
    }

    pub(crate) fn error(status: u16, error: Value) -> Self {
        Self::Response { status, members: json!({ "error": error }), headers: vec![] }
    }

    pub(crate) fn text(status: u16, body: &str) -> Self {
        Self::Raw { status, body: body.to_owned(), headers: vec![], framing: Framing::Length }
    }

    pub(crate) fn without_length(self) -> Self {
        self.framed(Framing::UntilClose)
    }

    pub(crate) fn cut_short(self) -> Self {
        self.framed(Framing::CutShort)
    }

    pub(crate) fn header(mut self, header: &str) -> Self {
        if let Self::Response { headers, .. } | Self::Raw { headers, .. } = &mut self {
            headers.push(header.to_owned());
        }
        self
    }

    fn framed(mut self, new: Framing) -> Self {
        if let Self::Raw { framing, .. } = &mut self {
            *framing = new;
        }
        self
    }
}

pub(crate) struct Server {
    port: u16,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
    events: watch::Receiver<(usize, usize)>,
    task: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self::start_on(0, replies).await
    }

    pub(crate) async fn start_on(port: u16, replies: impl IntoIterator<Item = Reply>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (sender, events) = watch::channel((0, 0));
        let task = tokio::spawn(serve(listener, replies.into_iter().collect(), seen.clone(), sender));
        Self { port, seen, events, task }
    }

    pub(crate) fn url(&self, target: &str) -> Url {
        format!("http://127.0.0.1:{}{target}", self.port).parse().unwrap()
    }

    /// The bodies of the requests so far.
    pub(crate) fn requests(&self) -> Vec<Value> {
        self.seen.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }

    /// The paths and queries of the requests so far.
    pub(crate) fn targets(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|(target, _)| target.clone()).collect()
    }

    pub(crate) async fn until_request(&self) {
        self.events.clone().wait_for(|(requests, _)| *requests > 0).await.unwrap();
    }

    pub(crate) async fn until_closed(&self) {
        self.events.clone().wait_for(|(_, closed)| *closed > 0).await.unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A port on which nobody listens. As long as the socket is there nobody is given the port who asks for any, while a
/// server that names it can have it.
pub(crate) fn unused_port() -> (TcpSocket, u16) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_reuseaddr(true).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

async fn serve(
    listener: TcpListener,
    replies: Vec<Reply>,
    seen: Arc<Mutex<Vec<(String, Value)>>>,
    events: watch::Sender<(usize, usize)>,
) {
    for reply in replies {
        let (mut stream, _) = listener.accept().await.unwrap();
        let (target, body) = read_request(&mut stream).await;
        let id = body["id"].clone();
        seen.lock().unwrap().push((target, body));
        events.send_modify(|(requests, _)| *requests += 1);
        answer(&mut stream, reply, id).await;
        drop(stream);
        events.send_modify(|(_, closed)| *closed += 1);
    }
}

async fn read_request(stream: &mut TcpStream) -> (String, Value) {
    let mut bytes = Vec::new();
    loop {
        assert_ne!(stream.read_buf(&mut bytes).await.unwrap(), 0, "the request is complete");
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length: usize = head
            .lines()
            .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse().ok())
            .unwrap();
        if body.len() >= length {
            let target = head.split(' ').nth(1).unwrap().to_owned();
            return (target, serde_json::from_str(body).unwrap());
        }
    }
}

async fn answer(stream: &mut TcpStream, reply: Reply, id: Value) {
    let (status, body, headers, framing) = match reply {
        Reply::Response { status, mut members, headers } => {
            members["jsonrpc"] = json!("2.0");
            members["id"] = id;
            (status, members.to_string(), headers, Framing::Length)
        }
        Reply::Raw { status, body, headers, framing } => (status, body, headers, framing),
        Reply::Close => return,
        Reply::Garbage => return stream.write_all(b"\x00\x01\x02\r\n\r\n").await.unwrap(),
        Reply::Silence => {
            // Returns when the client gives up.
            let _ = stream.read(&mut [0]).await;
            return;
        }
    };
    let mut head = format!("HTTP/1.1 {status} Scripted\r\nconnection: close\r\n");
    match framing {
        Framing::Length => head += &format!("content-length: {}\r\n", body.len()),
        Framing::CutShort => head += &format!("content-length: {}\r\n", body.len() + 1),
        Framing::UntilClose => {}
    }
    for header in headers {
        head += &header;
        head += "\r\n";
    }
    // A client that has read enough may close first.
    let _ = stream.write_all(format!("{head}\r\n{body}").as_bytes()).await;
    let _ = stream.shutdown().await;
}
