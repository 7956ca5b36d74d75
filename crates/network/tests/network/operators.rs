//! Five operators whose folders never meet: their cards and the descriptor are all that travels.

use crate::local::{ACCOUNT, LocalNetwork, free_address, mint_to, permissions};
use quorate_network::NetworkDescriptor;
use quorate_node::{init_node, join_network};
use quorate_protocol::NodeCard;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_of_five_operators_sign_once_each_has_joined() {
    let folder = tempfile::tempdir().unwrap();
    let home = |index: u8| folder.path().join(format!("node-{index}"));
    let cards = (1..=5).map(|index| init_node(&home(index), &format!("operator {index}")).unwrap().to_json());
    let identities = cards.map(|card| *NodeCard::from_json(&card).unwrap().identity()).collect();
    let gateway = format!("ws://{}", free_address()).parse().unwrap();
    let network = NetworkDescriptor::new(3, identities, vec![gateway]).unwrap();
    for index in 1..=5 {
        let received = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(received.path(), network.to_json()).unwrap();
        let (joined, _) = join_network(&home(index), received.path(), network.fingerprint()).unwrap();
        assert_eq!(joined.get(), index);
    }
    let network = LocalNetwork::of_operators(folder, network).await;
    let session = network.key(permissions).await;
    session.sign(&mint_to(ACCOUNT)).await.unwrap();
}
