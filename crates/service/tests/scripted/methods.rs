//! The document and the service say the same.

use serde_json::json;

use crate::document::DOCUMENT;
use crate::scene::Scene;

#[tokio::test]
async fn every_method_of_the_document_answers_and_the_document_has_every_method() {
    let scene = Scene::new().await;
    let (server, app) = scene.served().await;
    for name in DOCUMENT.names() {
        // The parameters are not those of every method; that there is the method is what counts.
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": name, "params": ["x"] });
        let (_, answer) = app.send(app.post().json(&body)).await;
        assert_ne!(answer["error"]["code"], -32601, "{name}");
    }
    // The names that a token's permissions may have are those of all methods.
    let error = quorate_service::TokenFile::new(scene.folder.path().join("other.toml"))
        .add("a", crate::server::permissions(&["nothing"]))
        .unwrap_err();
    let quorate_service::TokenFileError::Method { known, .. } = error else { panic!("{error}") };
    let mut known: Vec<_> = known.into_iter().filter(|name| *name != "quorate_events").collect();
    known.sort_unstable();
    assert_eq!(known, DOCUMENT.names().collect::<Vec<_>>());

    assert_eq!(app.ask("rpc.discover", json!([])).await, DOCUMENT.text);
    let published = reqwest::get(format!("{}/openrpc.json", server.url)).await.unwrap();
    assert_eq!(published.json::<serde_json::Value>().await.unwrap(), DOCUMENT.text);
    server.shutdown().await;
}
