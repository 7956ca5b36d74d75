//! What an operator does with the files of a node: a backup, its restoration, another seal key.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use quorate_protocol::NodeIndex;
use quorate_seal::Seal;
use toml_edit::{DocumentMut, Item, value};

use crate::config::{ConfigError, NodeConfig};
use crate::node::{NodeError, load_member, load_seals};
use crate::seal::{create_key_file, create_private, read_key_file};
use crate::storage::{self, Restoration, Storage};

/// How a backup is put in the place of a node's database.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// Whether a database that is there is set aside, under a name of its own.
    pub replace: bool,
    /// Nodes that are lost for good: the restored node does not wait for them, and they count as bad.
    pub accept_missing: BTreeSet<NodeIndex>,
}

/// Copies a node's database to a new file. The node may run meanwhile; the shares stay sealed.
///
/// # Errors
/// A file that is there already, or a database that is damaged or another node's.
pub async fn back_up(config: &NodeConfig, to: &Path) -> Result<(), NodeError> {
    let member = load_member(config)?;
    Ok(storage::back_up(&config.database, (member.network.id(), member.index), to).await?)
}

/// Puts a backup in the place of a node's database. The node signs nothing until it has read from the others what it has
/// forgotten. The files that were set aside.
///
/// # Errors
/// A node that runs, a database that is there and not to be replaced, a lost node that is none of the others, or a backup
/// that is damaged, another node's or sealed with another key.
pub async fn restore(
    config: &NodeConfig,
    from: &Path,
    options: &RestoreOptions,
) -> Result<Vec<PathBuf>, NodeError> {
    let member = load_member(config)?;
    if let Some(&index) =
        options.accept_missing.iter().find(|lost| !member.peers().any(|peer| peer == **lost))
    {
        return Err(ConfigError::NoPeer { index, size: member.network.size() }.into());
    }
    let RestoreOptions { replace, accept_missing: lost } = options;
    let restoration = Restoration { from, to: &config.database, replace: *replace, lost };
    let set_aside = restoration.perform(load_seals(config)?, (member.network.id(), member.index)).await?;
    for lost in lost {
        tracing::warn!(node = %member.index, %lost, "the restored node does not wait for a lost one, which counts as bad");
    }
    Ok(set_aside)
}

/// Seals the shares of a node that does not run with another key: the one in the file, or a new one where there is no such
/// file. How many.
///
/// The node's configuration names both keys while the database changes over, and the database tells which one fits: after a
/// crash the node starts with either, and this can be called again. The old key opens older backups; it is not deleted.
///
/// # Errors
/// A node that runs, or files that cannot be read or written.
pub async fn rotate_seal(config_file: &Path, new: &Path) -> Result<usize, NodeError> {
    let config = NodeConfig::load(config_file)?;
    let member = load_member(&config)?;
    let network = (member.network.id(), member.index);
    let storage = Storage::open(&config.database, load_seals(&config)?, network.0, network.1).await?;
    let key = if new.exists() { read_key_file(new)? } else { create_key_file(new)? };
    let name = beside(config_file, new);
    let document = read(config_file)?;
    if document.get("seal").and_then(Item::as_str) != name.to_str() {
        let mut both = document.clone();
        both["seal_before"] = document["seal"].clone();
        both["seal"] = value(name.to_string_lossy().as_ref());
        replace(config_file, &both)?;
    }
    let resealed = storage.reseal(&Seal::new(&key)).await?;
    storage.close().await;
    let mut document = read(config_file)?;
    document.remove("seal_before");
    replace(config_file, &document)?;
    Ok(resealed)
}

/// A file's name in a configuration: relative to it where it is below its folder.
fn beside(config_file: &Path, file: &Path) -> PathBuf {
    let (Ok(config_file), Ok(file)) = (std::path::absolute(config_file), std::path::absolute(file)) else {
        return file.to_owned();
    };
    let below = config_file.parent().and_then(|folder| file.strip_prefix(folder).ok());
    below.map_or_else(|| file.clone(), Path::to_owned)
}

fn read(file: &Path) -> Result<DocumentMut, ConfigError> {
    let failed = |source| ConfigError::Io { path: file.display().to_string(), source };
    let text = fs::read_to_string(file).map_err(failed)?;
    text.parse().map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidData, error)))
}

/// Writes a configuration: a crash leaves the old one or the new one.
fn replace(file: &Path, document: &DocumentMut) -> Result<(), ConfigError> {
    let draft = storage::with_suffix(file, ".new");
    let replaced = storage::remove(&draft).and_then(|()| {
        let mut new = create_private(&draft)?;
        new.write_all(document.to_string().as_bytes())?;
        new.set_permissions(fs::metadata(file)?.permissions())?;
        new.sync_all()?;
        fs::rename(&draft, file)?;
        storage::sync_folder_of(file)
    });
    replaced.map_err(|source| ConfigError::Io { path: file.display().to_string(), source })
}

#[cfg(test)]
mod tests {
    use sqlx::sqlite::SqliteConnectOptions;
    use sqlx::{ConnectOptions as _, Connection as _};
    use tempfile::TempDir;

    use super::*;
    use crate::clock::ClockError;
    use crate::node::Node;
    use crate::seal::KeyFileError;
    use crate::storage::StorageError;
    use crate::{SealSource, Variable, init};

    /// The folders of three nodes that have run once.
    async fn network() -> TempDir {
        let folder = TempDir::new().unwrap();
        init(folder.path(), 2, 3, "127.0.0.1:7000".parse().unwrap(), 0, None).unwrap();
        for index in 1..=3 {
            close(Node::open(config(&folder, index)).await.unwrap()).await;
        }
        folder
    }

    fn file(folder: &TempDir, index: u8, name: &str) -> PathBuf {
        folder.path().join(format!("node-{index}")).join(name)
    }

    fn config(folder: &TempDir, index: u8) -> NodeConfig {
        NodeConfig::load(&file(folder, index, "node.toml")).unwrap()
    }

    async fn close(node: Node) {
        let stop = tokio_util::sync::CancellationToken::new();
        stop.cancel();
        node.serve(stop).await;
    }

    async fn execute(database: &Path, statement: &'static str) {
        let mut database = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
        sqlx::raw_sql(statement).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    }

    async fn journal_and_quarantine(database: &Path) -> (Vec<u8>, bool) {
        let mut database = SqliteConnectOptions::new().filename(database).connect().await.unwrap();
        let row =
            sqlx::query_as("SELECT journal, quarantined FROM node").fetch_one(&mut database).await.unwrap();
        database.close().await.unwrap();
        row
    }

    fn storage_error(error: NodeError) -> StorageError {
        match error {
            NodeError::Storage(error) => error,
            other => panic!("{other}"),
        }
    }

    #[tokio::test]
    async fn a_backup_is_made_while_the_node_runs_and_never_written_over() {
        let folder = network().await;
        let (config, backup) = (config(&folder, 1), file(&folder, 1, "backup.db"));
        let node = Node::open(config.clone()).await.unwrap();
        back_up(&config, &backup).await.unwrap();
        assert!(!crate::seal::is_exposed(&backup).unwrap());
        assert!(!file(&folder, 1, "backup.db.part").exists());
        let before = fs::read(&backup).unwrap();
        let refused = storage_error(back_up(&config, &backup).await.unwrap_err());
        assert!(matches!(refused, StorageError::Exists { .. }), "{refused}");
        assert_eq!(fs::read(&backup).unwrap(), before);
        close(node).await;
    }

    #[tokio::test]
    async fn a_backup_takes_the_place_of_a_database_that_is_lost_or_set_aside() {
        let folder = network().await;
        let (config, backup) = (config(&folder, 1), file(&folder, 1, "backup.db"));
        back_up(&config, &backup).await.unwrap();
        let (journal, _) = journal_and_quarantine(&backup).await;
        let options = RestoreOptions::default();
        let refused = storage_error(restore(&config, &backup, &options).await.unwrap_err());
        assert!(matches!(refused, StorageError::Exists { .. }), "{refused}");
        assert!(!journal_and_quarantine(&config.database).await.1);

        let replacing = RestoreOptions { replace: true, ..options };
        let running = Node::open(config.clone()).await.unwrap();
        let refused = storage_error(restore(&config, &backup, &replacing).await.unwrap_err());
        assert!(matches!(refused, StorageError::InUse { .. }), "{refused}");
        close(running).await;

        let set_aside = restore(&config, &backup, &replacing).await.unwrap();
        assert!(set_aside.iter().all(|file| file.exists()) && !set_aside.is_empty());
        let restored = journal_and_quarantine(&config.database).await;
        assert!(restored.1 && restored.0 != journal, "quarantined, with a journal of its own");
        close(Node::open(config.clone()).await.unwrap()).await;
        assert_eq!(journal_and_quarantine(&config.database).await, restored, "and it stays so");
        assert!(!file(&folder, 1, "node.db.restoring").exists());

        fs::remove_file(&config.database).unwrap();
        restore(&config, &backup, &RestoreOptions::default()).await.unwrap();
        assert!(journal_and_quarantine(&config.database).await.1);
    }

    #[tokio::test]
    async fn what_is_no_backup_of_this_node_changes_nothing() {
        let folder = network().await;
        let first = config(&folder, 1);
        let options = RestoreOptions { replace: true, ..RestoreOptions::default() };
        let of_2 = file(&folder, 2, "backup.db");
        back_up(&config(&folder, 2), &of_2).await.unwrap();
        let refused = storage_error(restore(&first, &of_2, &options).await.unwrap_err());
        assert!(matches!(refused, StorageError::Foreign { node: 2, .. }), "{refused}");

        let (backup, empty) = (file(&folder, 1, "backup.db"), file(&folder, 1, "empty.db"));
        back_up(&first, &backup).await.unwrap();
        let mut bytes = fs::read(&backup).unwrap();
        bytes[4096..4106].fill(0xff);
        fs::write(&backup, bytes).unwrap();
        let refused = storage_error(restore(&first, &backup, &options).await.unwrap_err());
        assert!(matches!(refused, StorageError::Corrupt { .. }), "{refused}");
        fs::write(&empty, "").unwrap();
        let refused = storage_error(restore(&first, &empty, &options).await.unwrap_err());
        assert!(matches!(refused, StorageError::Unknown { .. }), "{refused}");

        let accept_missing = [NodeIndex::new(1).unwrap()].into();
        let refused =
            restore(&first, &of_2, &RestoreOptions { accept_missing, ..options }).await.unwrap_err();
        assert!(matches!(refused, NodeError::Config(ConfigError::NoPeer { .. })), "{refused}");
        assert!(!journal_and_quarantine(&first.database).await.1);
        close(Node::open(first).await.unwrap()).await;
    }

    #[tokio::test]
    async fn a_rotated_seal_is_named_and_either_side_of_a_crash_starts() {
        let folder = network().await;
        let (toml, new) = (file(&folder, 1, "node.toml"), file(&folder, 1, "new.key"));
        let before = format!("# ours\n{}", fs::read_to_string(&toml).unwrap());
        fs::write(&toml, &before).unwrap();
        // A crash before the database changes over, and one after.
        let both = before.replace("seal = \"seal.key\"", "seal = \"new.key\"\nseal_before = \"seal.key\"");
        create_key_file(&new).unwrap();
        fs::write(&toml, &both).unwrap();
        close(Node::open(config(&folder, 1)).await.unwrap()).await;
        fs::write(&toml, &before).unwrap();
        rotate_seal(&toml, &new).await.unwrap();
        let after = fs::read_to_string(&toml).unwrap();
        assert_eq!(after, before.replace("seal.key", "new.key"), "comments stay, and one key is named");
        close(Node::open(config(&folder, 1)).await.unwrap()).await;
        fs::write(&toml, &both).unwrap();
        close(Node::open(config(&folder, 1)).await.unwrap()).await;
        rotate_seal(&toml, &new).await.unwrap();
        assert_eq!(fs::read_to_string(&toml).unwrap(), after);
        fs::write(&toml, &before).unwrap();
        let refused = storage_error(Node::open(config(&folder, 1)).await.unwrap_err());
        assert!(matches!(refused, StorageError::OtherSeal), "{refused}");
    }

    #[tokio::test]
    async fn a_clock_behind_the_database_is_refused_with_both_times() {
        const SHARE: &str = "INSERT INTO shares VALUES ('a key', x'00', x'00', 9999999999)";
        let folder = network().await;
        let config = config(&folder, 1);
        execute(&config.database, SHARE).await;
        let refused = Node::open(config).await.unwrap_err();
        let NodeError::Clock(ClockError::Behind { newest, .. }) = refused else { panic!("{refused}") };
        assert_eq!(newest, 9_999_999_999);
    }

    #[test]
    fn a_seal_key_is_read_from_a_file_or_from_the_environment() {
        const CHILD: &str = "QUORATE_TEST_SEAL";
        let variable = |name: &str| SealSource::Variable(Variable { environment: name.to_owned() });
        if std::env::var_os(CHILD).is_some() {
            variable(CHILD).read().unwrap();
            return;
        }
        // An environment is given to a process of its own.
        let test = "maintenance::tests::a_seal_key_is_read_from_a_file_or_from_the_environment";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", test])
            .env(CHILD, "07".repeat(32))
            .output()
            .unwrap();
        assert!(child.status.success(), "{child:?}");
        let error = |name| variable(name).read().err().unwrap();
        assert!(matches!(error("PATH"), KeyFileError::Variable { .. }));
        assert!(matches!(error("QUORATE_NO_SUCH_SEAL"), KeyFileError::NoVariable { .. }));

        #[derive(Debug, serde::Deserialize)]
        struct Named {
            seal: SealSource,
        }
        let named = |text: &str| toml::from_str::<Named>(text).map(|named| named.seal);
        assert_eq!(named("seal = \"seal.key\"").unwrap(), PathBuf::from("seal.key").into());
        assert_eq!(named("seal = { environment = \"QUORATE_SEAL\" }").unwrap(), variable("QUORATE_SEAL"));
        for wrong in ["seal = 1", "seal = { environment = \"A\", file = \"b\" }"] {
            let error = named(wrong).unwrap_err().to_string();
            assert!(error.contains("a file's path, or { environment"), "{error}");
        }
    }
}
