//! What our client makes of a gateway that loses, spoils and refuses: it asks again within its deadline, and no longer.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use alloy_primitives::{Address, U256};
use ed25519_dalek::SigningKey;
use futures_util::{SinkExt as _, StreamExt as _};
use quorate_core::UserOperation;
use quorate_network::{EphemeralKey, NetworkDescriptor, NetworkError, Refusal, SigningNetwork};
use quorate_protocol::{Answer, ClientError, OperationMessage, SUBPROTOCOL};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;

/// What the gateway does with a client.
#[derive(Clone)]
enum Service {
    /// It is away before the handshake.
    Gone,
    /// It is away after the setup.
    Lost,
    /// It gives something that is no challenge.
    Spoilt,
    /// It gives a challenge, and this instead of a signature.
    Answer(String),
}

fn refusal(refusal: Refusal) -> Service {
    Service::Answer(Answer::Refused(refusal).to_json())
}

fn revoked() -> Refusal {
    Refusal::Revoked { key_id: "7e".into() }
}

/// A gateway that serves each client by the next service, and the later ones by the last.
async fn gateway(services: Vec<Service>) -> SigningNetwork {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let last = services.last().cloned();
        let mut services = services.into_iter();
        while let (Ok((stream, _)), Some(service)) =
            (listener.accept().await, services.next().or(last.clone()))
        {
            serve(stream, service).await;
        }
    });
    let identities = (1..=3).map(|byte| SigningKey::from_bytes(&[byte; 32]).verifying_key()).collect();
    SigningNetwork::new(NetworkDescriptor::new(2, identities, vec![url]).unwrap())
}

async fn serve(stream: TcpStream, service: Service) {
    if matches!(service, Service::Gone) {
        return;
    }
    let with_protocol = |_: &Request, mut response: Response| {
        response.headers_mut().insert("Sec-WebSocket-Protocol", HeaderValue::from_static(SUBPROTOCOL));
        Ok(response)
    };
    let mut socket = accept_hdr_async(stream, with_protocol).await.unwrap();
    socket.next().await.unwrap().unwrap();
    match service {
        Service::Gone | Service::Lost => {}
        Service::Spoilt => socket.send(Message::text("no challenge")).await.unwrap(),
        Service::Answer(answer) => {
            socket.send(Message::text("5a".repeat(32))).await.unwrap();
            socket.next().await.unwrap().unwrap();
            socket.send(Message::text(answer)).await.unwrap();
        }
    }
}

async fn sign(client: &SigningNetwork) -> NetworkError {
    let operation = UserOperation {
        sender: Address::ZERO,
        nonce: U256::ZERO,
        init_code: Vec::new(),
        call_data: Vec::new(),
        call_gas_limit: U256::ZERO,
        verification_gas_limit: U256::ZERO,
        pre_verification_gas: U256::ZERO,
        max_fee_per_gas: U256::ZERO,
        max_priority_fee_per_gas: U256::ZERO,
        paymaster_and_data: Vec::new(),
    };
    let message = OperationMessage { operation, entry_point: Address::ZERO, chain_id: 1 };
    let ephemeral = EphemeralKey::random().unwrap();
    client.sign(&"7e".repeat(32), Address::ZERO, &message, &ephemeral).await.unwrap_err()
}

/// The client, and how often it asks again.
pub(crate) fn counted(client: SigningNetwork) -> (SigningNetwork, Arc<AtomicUsize>) {
    let retries = Arc::new(AtomicUsize::new(0));
    let counter = retries.clone();
    let client = client.with_retry_listener(move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    (client, retries)
}

fn is_refusal(error: &NetworkError, expected: &Refusal) -> bool {
    matches!(error, NetworkError::Client(ClientError::Refused(refusal)) if refusal == expected)
}

#[tokio::test]
async fn what_was_lost_spoilt_or_may_change_is_asked_for_again() {
    let answers = [
        Service::Gone,
        Service::Lost,
        Service::Spoilt,
        Service::Answer("no answer".to_owned()),
        refusal(Refusal::Challenge),
        refusal(Refusal::Busy),
        refusal(revoked()),
    ];
    let retried = answers.len() - 1;
    let (client, retries) = counted(gateway(answers.into()).await);
    let error = sign(&client).await;
    assert!(is_refusal(&error, &revoked()), "{error:?}");
    assert_eq!(retries.load(Ordering::Relaxed), retried);
}

#[tokio::test]
async fn at_the_deadline_the_last_refusal_is_the_answer() {
    let (client, retries) = counted(gateway(vec![refusal(Refusal::Busy)]).await);
    for seconds in [1, 4, 16, 64] {
        let error = sign(&client.clone().with_signing_deadline(Duration::from_secs(seconds))).await;
        // A slow machine may not come to a second question within the shortest of them.
        if retries.load(Ordering::Relaxed) > 0 {
            assert!(is_refusal(&error, &Refusal::Busy), "{error:?}");
            return;
        }
    }
    panic!("nothing is asked again");
}

#[tokio::test]
async fn a_client_without_retries_asks_once() {
    let (client, retries) = counted(gateway(vec![refusal(Refusal::Busy), refusal(revoked())]).await);
    let error = sign(&client.without_retries()).await;
    assert!(is_refusal(&error, &Refusal::Busy), "{error:?}");
    assert_eq!(retries.load(Ordering::Relaxed), 0);
}
