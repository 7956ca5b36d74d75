//! A backup in the place of a node's database. What the node has done since the backup is not in it: the database is
//! quarantined before it has its name.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use quorate_protocol::NodeIndex;
use sqlx::sqlite::SqlitePool;

use super::backup::{refuse_existing, remove, sync_folder_of};
use super::life::Life;
use super::open::{Kind, claim, connect, inspect};
use super::{Storage, StorageError, Write, commit, random, seconds, with_suffix};
use crate::clock;
use crate::seal::{SealKeys, create_private};

/// What becomes of a node's database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Restoration<'a> {
    /// The backup.
    pub(crate) from: &'a Path,
    /// The node's database.
    pub(crate) to: &'a Path,
    /// Whether a database that is there is set aside.
    pub(crate) replace: bool,
    /// The nodes that are not waited for.
    pub(crate) lost: &'a BTreeSet<NodeIndex>,
}

impl Restoration<'_> {
    /// Checks the backup and puts it in the place of the node's database, with a journal of its own and quarantined. The
    /// files that were set aside.
    ///
    /// # Errors
    /// A node that runs, a database that is there, or a backup that is damaged, another node's or sealed with another key.
    pub(crate) async fn perform(
        &self,
        seals: SealKeys,
        owner: (B256, NodeIndex),
    ) -> Result<Vec<PathBuf>, StorageError> {
        if !self.replace {
            refuse_existing(self.to)?;
        }
        let life = Life::begin(self.to)?;
        let draft = with_suffix(self.to, ".restoring");
        let prepared = self.prepare(&draft, seals, owner, &life).await;
        let failed = |source| StorageError::File { path: self.to.display().to_string(), source };
        if let Err(error) = prepared {
            remove_all(&draft).map_err(failed)?;
            return Err(error);
        }
        self.put_in_place(&draft).map_err(failed)
    }

    /// Makes of the backup what the node will open.
    async fn prepare(
        &self,
        draft: &Path,
        seals: SealKeys,
        owner: (B256, NodeIndex),
        life: &Life,
    ) -> Result<(), StorageError> {
        let failed = |path: &Path| {
            let path = path.display().to_string();
            move |source| StorageError::File { path, source }
        };
        remove_all(draft).map_err(failed(draft))?;
        let mut backup = File::open(self.from).map_err(failed(self.from))?;
        let mut file = create_private(draft).map_err(failed(draft))?;
        io::copy(&mut backup, &mut file).map_err(failed(draft))?;
        drop(file);
        if inspect(draft).await? == Kind::Empty {
            return Err(StorageError::Unknown { path: self.from.display().to_string() });
        }
        let pool = connect(draft, owner.1).await?;
        let quarantined = async {
            let opened = claim(&pool, seals, owner, life).await?;
            quarantine(&pool, opened.starts.max(life.starts()), self.lost, owner.1).await
        };
        let quarantined = quarantined.await;
        // The last connection takes the log into the file.
        pool.close().await;
        quarantined?;
        File::open(draft).and_then(|file| file.sync_all()).map_err(failed(draft))
    }

    fn put_in_place(&self, draft: &Path) -> io::Result<Vec<PathBuf>> {
        let now = clock::now();
        let mut set_aside = Vec::new();
        // The database before its log: without it, the log is nobody's.
        for suffix in ["", "-wal", "-shm"] {
            let old = with_suffix(self.to, suffix);
            let aside = with_suffix(self.to, &format!(".replaced-{now}{suffix}"));
            match fs::rename(&old, &aside) {
                Ok(()) => set_aside.push(aside),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        fs::rename(draft, self.to)?;
        sync_folder_of(self.to)?;
        Ok(set_aside)
    }
}

async fn quarantine(
    pool: &SqlitePool,
    starts: u64,
    lost: &BTreeSet<NodeIndex>,
    node: NodeIndex,
) -> Result<(), StorageError> {
    let mut transaction = pool.begin_with("BEGIN IMMEDIATE").await?;
    sqlx::query("UPDATE node SET journal = ?, quarantined = 1, starts = ?")
        .bind(random()?.as_slice())
        .bind(seconds(starts))
        .execute(&mut *transaction)
        .await?;
    sqlx::query("DELETE FROM lost_nodes").execute(&mut *transaction).await?;
    for lost in lost {
        sqlx::query("INSERT INTO lost_nodes (node) VALUES (?)")
            .bind(i64::from(lost.get()))
            .execute(&mut *transaction)
            .await?;
    }
    Ok(commit(transaction, Write::Restored, node).await?)
}

fn remove_all(database: &Path) -> io::Result<()> {
    ["", "-wal", "-shm"].into_iter().try_for_each(|suffix| remove(&with_suffix(database, suffix)))
}

impl Storage {
    /// The nodes that the operator gave up for lost when this database was restored.
    pub(crate) async fn lost_nodes(&self) -> Result<BTreeSet<NodeIndex>, StorageError> {
        let nodes: Vec<i64> = sqlx::query_scalar("SELECT node FROM lost_nodes").fetch_all(&self.pool).await?;
        Ok(nodes.into_iter().filter_map(|node| NodeIndex::new(u8::try_from(node).ok()?)).collect())
    }

    /// Ends the quarantine for good.
    pub(crate) async fn release(&self) -> Result<(), StorageError> {
        let mut transaction = self.begin().await?;
        sqlx::query("UPDATE node SET quarantined = 0").execute(&mut *transaction).await?;
        self.commit(transaction, Write::Release).await?;
        self.set_released();
        Ok(())
    }
}
