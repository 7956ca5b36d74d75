//! Networks that have free keys from the beginning. Making one keeps every core busy for seconds: a program makes some once, and each
//! of its networks begins with a copy of the files.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::{LocalNetwork, free_address};

/// How many keys a network begins with: as many as most tests ask for.
const KEYS: usize = 4;

/// All files of a network that does not run.
pub(super) struct Stock {
    files: Vec<(PathBuf, Vec<u8>)>,
    /// Where its nodes go to.
    gateway: SocketAddr,
}

impl Stock {
    pub(super) async fn of_this_program() -> &'static Self {
        static STOCK: OnceCell<Stock> = OnceCell::const_new();
        STOCK.get_or_init(Self::make).await
    }

    async fn make() -> Self {
        let gateway = free_address();
        let mut network = LocalNetwork::new(gateway, gateway).serve(gateway, |it| it.free_keys = KEYS).await;
        let made = async {
            while network.free_keys().await != Some(KEYS as u64) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), made).await.expect("the nodes make keys");
        for index in 1..=5 {
            network.stop(index).await;
        }
        network.stop_gateway().await;
        let mut files = Vec::new();
        read(network.folder.path(), Path::new(""), &mut files);
        Self { files, gateway }
    }

    /// Writes the files into a folder, for nodes that go to another address.
    pub(super) fn copy(&self, folder: &Path, nodes_go_to: SocketAddr) {
        for (name, bytes) in &self.files {
            let file = folder.join(name);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            let text = str::from_utf8(bytes)
                .map(|text| text.replace(&self.gateway.to_string(), &nodes_go_to.to_string()));
            let bytes = text.as_ref().map_or(&bytes[..], |text| text.as_bytes());
            let mut private = fs::OpenOptions::new();
            let mut written = private.write(true).create_new(true).mode(0o600).open(file).unwrap();
            std::io::Write::write_all(&mut written, bytes).unwrap();
        }
    }
}

/// Reads the files under a folder, by their names there.
fn read(folder: &Path, name: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(folder.join(name)).unwrap() {
        let entry = entry.unwrap();
        let name = name.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            read(folder, &name, files);
        } else {
            files.push((name, fs::read(entry.path()).unwrap()));
        }
    }
}
