//! A copy of a database, made while the node runs. Shares stay sealed in it.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use alloy_primitives::B256;
use quorate_protocol::NodeIndex;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::open::inspect;
use super::{StorageError, with_suffix};
use crate::seal::create_private;

/// Copies the database of a node to a new file that nobody but its owner may read, and that is on disk when this returns.
///
/// # Errors
/// A file that is there already, or no database of this node.
pub(crate) async fn back_up(path: &Path, owner: (B256, NodeIndex), to: &Path) -> Result<(), StorageError> {
    refuse_existing(to)?;
    inspect(path).await?;
    let part = with_suffix(to, ".part");
    let failed = |source| StorageError::File { path: part.display().to_string(), source };
    remove(&part).map_err(failed)?;
    create_private(&part).map_err(failed)?;
    let copied = async {
        copy(path, owner, &part).await?;
        inspect(&part).await?;
        publish(&part, to)
    };
    let copied = copied.await;
    remove(&part).map_err(failed)?;
    copied
}

/// Refuses to write over a file.
pub(super) fn refuse_existing(path: &Path) -> Result<(), StorageError> {
    if path.exists() { Err(StorageError::Exists { path: path.display().to_string() }) } else { Ok(()) }
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes it durable that a file has its name.
pub(crate) fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.map_or_else(|| PathBuf::from("."), Path::to_owned))?.sync_all()
}

async fn copy(path: &Path, (network, node): (B256, NodeIndex), part: &Path) -> Result<(), StorageError> {
    let mut database = SqliteConnectOptions::new().filename(path).connect().await?;
    let row = sqlx::query("SELECT network, node FROM node").fetch_one(&mut database).await?;
    let of = B256::try_from(row.try_get::<&[u8], _>(0)?).unwrap_or_default();
    let index = u8::try_from(row.try_get::<i64, _>(1)?).unwrap_or_default();
    if (of, index) != (network, node.get()) {
        return Err(StorageError::Foreign { network: of, node: index });
    }
    // One read transaction: what is written meanwhile is not in it.
    sqlx::query("VACUUM INTO ?").bind(part.to_string_lossy()).execute(&mut database).await?;
    Ok(database.close().await?)
}

/// Gives a finished file its name, unless that is taken by now.
fn publish(part: &Path, to: &Path) -> Result<(), StorageError> {
    let published = File::open(part)
        .and_then(|file| file.sync_all())
        .and_then(|()| fs::hard_link(part, to))
        .and_then(|()| sync_folder_of(to));
    published.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => StorageError::Exists { path: to.display().to_string() },
        _ => StorageError::File { path: to.display().to_string(), source },
    })
}
