//! `HttpTransport` against a scripted HTTP server on a local port.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod server;

use quorate_transport::{
    BuildError, HttpTransport, HttpTransportBuilder, InvalidResponse, Repeat, Transport, TransportError,
    TransportExt,
};
use serde::Deserialize;
use serde_json::{Value, json};
use server::{Reply, Server};
use std::{
    error::Error,
    time::{Duration, Instant},
};

/// Longer than anything takes under load.
const PATIENCE: Duration = Duration::from_secs(300);

fn quick(server: &Server) -> HttpTransportBuilder {
    HttpTransport::builder(server.url("/")).first_delay(Duration::from_millis(1)).deadline(PATIENCE)
}

async fn outcome(replies: impl IntoIterator<Item = Reply>) -> (Result<Value, TransportError>, usize) {
    let server = Server::start(replies).await;
    let transport = quick(&server).build().unwrap();
    let result = transport.request("eth_chainId", json!([]), Repeat::Safe).await;
    (result, server.requests().len())
}

#[tokio::test]
async fn a_result_is_returned_and_ids_are_rising_numbers() {
    let server = Server::start([Reply::result(json!("0x7a69")), Reply::result(json!(null))]).await;
    let transport = quick(&server).build().unwrap();
    assert_eq!(transport.call::<String>("eth_chainId", ()).await.unwrap(), "0x7a69");
    assert_eq!(transport.call::<Option<u8>>("eth_x", ("a", 1)).await.unwrap(), None);

    let requests = server.requests();
    assert_eq!(requests[0], json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": []}));
    assert_eq!(requests[1], json!({"jsonrpc": "2.0", "id": 2, "method": "eth_x", "params": ["a", 1]}));
}

#[tokio::test]
async fn a_json_rpc_error_is_one_whatever_the_http_status() {
    for status in [200, 400, 401, 500, 502, 503] {
        let (result, requests) =
            outcome([Reply::error(status, json!({"code": -32521, "message": "AA21", "data": "0x01"}))]).await;
        let error = result.unwrap_err();
        let rpc = error.rpc().unwrap();
        assert!(matches!(error, TransportError::Rpc { .. }), "{status}: {error:?}");
        assert_eq!((rpc.code, rpc.message.as_str(), &rpc.data), (-32521, "AA21", &Some(json!("0x01"))));
        assert_eq!(error.to_string(), "eth_chainId: AA21 (JSON-RPC error -32521)");
        assert!(error.may_have_been_executed(), "a proxy may have answered");
        assert_eq!(requests, 1, "an answer is not asked for again");
    }
}

#[tokio::test]
async fn another_http_status_is_an_error() {
    for status in [302, 404, 500] {
        let (result, requests) = outcome([Reply::text(status, "<html>no</html>")]).await;
        match result.unwrap_err() {
            TransportError::Http { method, status: actual, .. } => {
                assert_eq!((method.as_str(), actual), ("eth_chainId", status));
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(requests, 1);
    }
}

#[tokio::test]
async fn malformed_answers_are_typed() {
    let reason = async |reply| match outcome([reply]).await {
        (Err(TransportError::InvalidResponse { method, reason }), 1) => {
            assert_eq!(method, "eth_chainId");
            reason
        }
        other => panic!("{other:?}"),
    };
    assert!(matches!(reason(Reply::text(200, "<html>")).await, InvalidResponse::NotJson(_)));
    assert!(matches!(reason(Reply::text(200, "")).await, InvalidResponse::NotJson(_)));
    assert!(matches!(reason(Reply::text(200, "3")).await, InvalidResponse::NotAResponse));
    assert!(matches!(reason(Reply::text(200, r#"{"id":1}"#)).await, InvalidResponse::Empty));
    assert!(matches!(
        reason(Reply::text(200, r#"{"id":1,"error":"x"}"#)).await,
        InvalidResponse::MalformedError
    ));
    assert!(matches!(
        reason(Reply::text(200, r#"{"id":2,"result":1}"#)).await,
        InvalidResponse::IdMismatch { expected: 1, actual } if actual == "2"
    ));
}

#[tokio::test]
async fn a_result_of_another_type_names_the_method_and_the_path() {
    #[derive(Debug, Deserialize)]
    struct Receipt {
        #[serde(rename = "logs")]
        _logs: Vec<Log>,
    }
    #[derive(Debug, Deserialize)]
    struct Log {
        #[serde(rename = "index")]
        _index: u64,
    }
    let server = Server::start([Reply::result(json!({"logs": [{"index": 1}, {"index": "two"}]}))]).await;
    let transport = quick(&server).build().unwrap();
    let error = transport.call::<Receipt>("eth_getReceipt", ("0x00",)).await.unwrap_err();
    assert_eq!(error.to_string(), "eth_getReceipt: the answer is invalid");
    assert_eq!(error.source().unwrap().to_string(), "the result is not as expected at `logs[1].index`");
    assert!(error.source().unwrap().source().unwrap().to_string().contains("expected u64"));
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_with_and_without_a_length() {
    let body = json!({"id": 1, "result": "x".repeat(2000)}).to_string();
    for reply in [Reply::text(200, &body), Reply::text(200, &body).without_length()] {
        let server = Server::start([reply]).await;
        let transport = quick(&server).longest_response(1000).build().unwrap();
        match transport.call::<String>("eth_x", ()).await.unwrap_err() {
            TransportError::InvalidResponse { reason: InvalidResponse::TooLong { limit }, .. } => {
                assert_eq!(limit, 1000);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_safe_to_repeat_is_repeated() {
    for failure in [
        Reply::text(502, ""),
        Reply::text(503, ""),
        Reply::text(504, ""),
        Reply::text(429, ""),
        Reply::Close,
        Reply::text(200, r#"{"id":1"#).cut_short(),
    ] {
        let (result, requests) = outcome([failure.clone(), Reply::result(json!(1))]).await;
        assert_eq!(result.unwrap(), json!(1), "{failure:?}");
        assert_eq!(requests, 2, "{failure:?}");
    }
}

#[tokio::test]
async fn the_number_of_repetitions_is_bounded() {
    let server = Server::start(vec![Reply::text(503, ""); 9]).await;
    let transport = quick(&server).retries(2).build().unwrap();
    let error = transport.call::<Value>("eth_x", ()).await.unwrap_err();
    assert!(matches!(error, TransportError::Http { status: 503, .. }), "{error:?}");
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn what_acts_is_sent_once() {
    for failure in [
        Reply::text(503, ""),
        Reply::text(429, "").header("Retry-After: 0"),
        Reply::text(403, ""),
        Reply::error(200, json!({"code": -32603, "message": "upstream timed out"})),
        Reply::error(504, json!({"code": -32000, "message": "upstream timed out"})),
        Reply::text(200, "<html>"),
        Reply::Close,
        Reply::text(200, "").cut_short(),
    ] {
        let server = Server::start([failure.clone(), Reply::result(json!(1))]).await;
        let transport = quick(&server).build().unwrap();
        let error = transport.call_once::<Value>("eth_send", ()).await.unwrap_err();
        assert!(error.may_have_been_executed(), "{error:?}");
        assert_eq!(server.requests().len(), 1, "{failure:?}");
    }
}

#[tokio::test]
async fn a_connection_that_was_never_made_is_tried_again_even_for_what_acts() {
    let (_socket, port) = server::unused_port();
    let transport = HttpTransport::builder(format!("http://127.0.0.1:{port}/").parse().unwrap())
        .first_delay(Duration::from_millis(50))
        .retries(20)
        .deadline(PATIENCE)
        .build()
        .unwrap();
    let call = tokio::spawn(async move { transport.call_once::<u8>("eth_send", ()).await });
    // The first attempt finds nobody listening, a later one does.
    tokio::task::yield_now().await;
    let server = Server::start_on(port, [Reply::result(json!(1))]).await;
    assert_eq!(call.await.unwrap().unwrap(), 1);
    assert_eq!(server.requests().len(), 1);
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let (_socket, port) = server::unused_port();
    let transport = HttpTransport::builder(format!("http://127.0.0.1:{port}/").parse().unwrap())
        .retries(1)
        .first_delay(Duration::from_millis(1))
        .deadline(PATIENCE)
        .build()
        .unwrap();
    let error = transport.call_once::<u8>("eth_send", ()).await.unwrap_err();
    assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
    assert_eq!(error.to_string(), format!("eth_send: cannot connect to http://127.0.0.1:{port}/"));
    assert!(!error.may_have_been_executed());
}

#[tokio::test]
async fn the_deadline_ends_a_call_that_gets_no_answer() {
    let server = Server::start([Reply::Silence]).await;
    let transport = quick(&server).deadline(Duration::from_millis(100)).build().unwrap();
    let error = transport.call::<Value>("eth_x", ()).await.unwrap_err();
    assert!(matches!(error, TransportError::Timeout { after, .. } if after == Duration::from_millis(100)));
    assert!(error.may_have_been_executed());
    assert_eq!(error.to_string(), format!("eth_x: no answer from {} within 100ms", server.url("/")));
}

#[tokio::test]
async fn dropping_a_call_closes_its_connection() {
    let server = Server::start([Reply::Silence]).await;
    let transport = quick(&server).build().unwrap();
    let call = tokio::spawn(async move { transport.call::<Value>("eth_x", ()).await });
    server.until_request().await;
    call.abort();
    server.until_closed().await;
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    for status in [429, 503] {
        let server =
            Server::start([Reply::text(status, "").header("Retry-After: 1"), Reply::result(json!(1))]).await;
        let transport = quick(&server).build().unwrap();
        let start = Instant::now();
        assert_eq!(transport.call::<u8>("eth_x", ()).await.unwrap(), 1);
        assert!(start.elapsed() >= Duration::from_secs(1));
    }
}

#[tokio::test]
async fn a_wait_beyond_the_deadline_is_not_begun() {
    let reply = Reply::error(429, json!({"code": 429, "message": "over capacity"}));
    let server = Server::start([reply.header("Retry-After: 3600")]).await;
    let transport = quick(&server).build().unwrap();
    let start = Instant::now();
    let error = transport.call::<u8>("eth_x", ()).await.unwrap_err();
    assert!(start.elapsed() < PATIENCE);
    match &error {
        TransportError::RateLimited { status: 429, retry_after, answer, .. } => {
            assert_eq!(*retry_after, Some(Duration::from_secs(3600)));
            assert_eq!(answer.as_ref().unwrap().message, "over capacity");
        }
        other => panic!("{other:?}"),
    }
    assert!(error.to_string().ends_with("(HTTP status 429, again in 3600s)"), "{error}");
}

#[tokio::test]
async fn a_wait_of_any_length_is_compared_with_the_time_left() {
    for wait in ["18446744073709551615", "99999999999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        for status in [429, 503] {
            let (result, requests) =
                outcome([Reply::text(status, "").header(&format!("Retry-After: {wait}"))]).await;
            let error = result.unwrap_err();
            assert!(
                matches!(error, TransportError::RateLimited { retry_after: Some(_), .. }),
                "{wait}: {error:?}"
            );
            assert!(!error.to_string().is_empty());
            assert_eq!(requests, 1, "{wait}");
        }
    }
}

#[tokio::test]
async fn a_deadline_and_a_delay_without_end_are_no_panic() {
    let server = Server::start([Reply::text(503, ""), Reply::result(json!(1))]).await;
    let transport = quick(&server).deadline(Duration::MAX).build().unwrap();
    assert_eq!(transport.call::<u8>("eth_x", ()).await.unwrap(), 1);

    for deadline in [PATIENCE, Duration::MAX] {
        let reply = Reply::text(429, "").header("Retry-After: 18446744073709551615");
        let server = Server::start([reply]).await;
        let transport = quick(&server).deadline(deadline).first_delay(Duration::MAX).build().unwrap();
        let error = transport.call::<u8>("eth_x", ()).await.unwrap_err();
        assert!(matches!(error, TransportError::RateLimited { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn other_schemes_are_refused() {
    let error = HttpTransport::builder("ws://example.org".parse().unwrap()).build().unwrap_err();
    assert!(matches!(error, BuildError::Scheme { scheme } if scheme == "ws"));
}

#[tokio::test]
async fn secrets_of_the_url_appear_nowhere() {
    const SECRETS: [&str; 4] = ["Us3rSecret", "Pa55Secret", "k3yIn7hePath", "k3yInQuery"];
    let target = "/v2/k3yIn7hePath?apikey=k3yInQuery";
    let echo = format!("no such key: {target} Us3rSecret:Pa55Secret");
    let replies = [
        Reply::error(403, json!({"code": -32000, "message": echo, "data": {"url": [echo]}})),
        Reply::error(429, json!({"code": -32000, "message": echo, "data": echo})),
        Reply::error(200, json!(echo)),
        Reply::text(200, &echo),
        Reply::text(200, &json!({"id": echo, "result": 1}).to_string()),
        Reply::text(404, &echo),
        Reply::text(302, "").header(&format!("Location: {target}")),
        Reply::Close,
        Reply::text(200, &echo).cut_short(),
        Reply::Garbage,
        Reply::Silence,
    ];
    let deadline = Duration::from_secs(3600);
    let mut seen = 0;
    for reply in replies {
        let server = Server::start([reply.clone()]).await;
        let mut url = server.url(target);
        url.set_username("Us3rSecret").unwrap();
        url.set_password(Some("Pa55Secret")).unwrap();
        let builder = HttpTransport::builder(url).retries(0).deadline(deadline);
        assert_free_of(&SECRETS, &format!("{builder:?} {builder:#?}"));
        let transport = builder.build().unwrap();
        assert_free_of(&SECRETS, &format!("{transport:?} {transport:#?} {}", transport.endpoint()));

        let pass_deadline = async {
            if matches!(reply, Reply::Silence) {
                server.until_request().await;
                tokio::time::pause();
                tokio::time::advance(deadline).await;
                tokio::time::resume();
            }
        };
        let (answer, ()) = tokio::join!(transport.call::<u8>("eth_x", ()), pass_deadline);
        let error = answer.unwrap_err();
        assert_free_of(&SECRETS, &everything(&error));
        assert_eq!(server.targets(), [target], "{reply:?}: the key is sent all the same");
        seen += 1;
    }
    assert_eq!(seen, 11);

    let (_socket, port) = server::unused_port();
    for host in [format!("127.0.0.1:{port}"), "no-such-host.invalid".to_owned()] {
        let url = format!("http://Us3rSecret:Pa55Secret@{host}{target}").parse().unwrap();
        let transport = HttpTransport::builder(url).retries(0).deadline(PATIENCE).build().unwrap();
        let error = transport.call::<u8>("eth_x", ()).await.unwrap_err();
        assert!(matches!(error, TransportError::Unreachable { .. }), "{error:?}");
        assert_free_of(&SECRETS, &everything(&error));
    }
}

/// An error and all its sources, in every way that they can be printed.
fn everything(error: &dyn Error) -> String {
    let mut text = String::new();
    let mut next = Some(error);
    while let Some(error) = next {
        text += &format!("{error}\n{error:?}\n{error:#?}\n");
        next = error.source();
    }
    text
}

fn assert_free_of(secrets: &[&str], text: &str) {
    for secret in secrets {
        assert!(!text.contains(secret), "{secret} is in: {text}");
    }
}
