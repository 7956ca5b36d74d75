//! What a node's database says of its keys, read beside the node that uses it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alloy_primitives::hex;
use quorate_ledger::{Dimension, KeyId, Timestamp};
use quorate_protocol::{NodeIndex, Says, Target};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions, SqliteRow};

use super::ledger::ledger_of;
use super::statements::says;
use super::{StorageError, unsigned};

/// A key, as one node has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct ListedKey {
    /// 64 hex digits.
    pub key_id: String,
    /// What has become of it.
    pub state: KeyState,
    /// An address; for a contract, with its chain. None for a key that is nobody's here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The nodes that are known here to attest to the owner.
    pub attested_by: BTreeSet<NodeIndex>,
    /// When it came into this state, in seconds since 1970.
    pub since: u64,
    /// What there is to do about it, in words; none where there is nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub way_out: Option<String>,
}

/// What has become of a key at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum KeyState {
    /// Not every node has confirmed it.
    Pending,
    /// It is nobody's.
    Free,
    /// It is somebody's here, and too few nodes are known to attest to that.
    HalfAssigned,
    /// It is somebody's.
    Assigned,
    /// Nobody can have it any more.
    Dead,
}

/// All that one node has of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InspectedKey {
    /// What has become of it.
    #[serde(flatten)]
    pub key: ListedKey,
    /// Whether its owner has ended it.
    pub revoked: bool,
    /// Who may ask for its signatures, or might once.
    pub ephemeral_keys: Vec<InspectedEphemeralKey>,
    /// The nodes that this one never uses it together with, and what they did.
    pub bans: BTreeMap<NodeIndex, String>,
    /// How many bytes of signed requests are kept of it.
    pub journal_bytes: u64,
    /// What its operations have come to here. Other nodes may count more.
    pub limits: Vec<InspectedLimit>,
}

/// An ephemeral key of a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InspectedEphemeralKey {
    /// 0x and 64 hex digits.
    pub key: String,
    /// Until when, in seconds since 1970; none for one that was revoked before it was registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Whether its owner has ended it.
    pub revoked: bool,
}

/// A limit of a key, and what counts against it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct InspectedLimit {
    /// What is counted.
    pub limited: String,
    /// What it has come to, in decimal.
    pub total: String,
    /// The most that it may come to, in decimal.
    pub limit: String,
}

impl KeyState {
    /// What can be done about a key in this state.
    fn way_out(self) -> Option<String> {
        let way_out = match self {
            Self::Pending => "all nodes have to be connected; after a week without them it is deleted",
            Self::HalfAssigned => {
                "its owner's client has to hand in the same request again, while enough nodes are connected"
            }
            Self::Dead => "needs a new signature of its owner, by which another key is given",
            Self::Free | Self::Assigned => return None,
        };
        Some(way_out.to_owned())
    }
}

/// All keys in a node's database. A key counts as assigned when `quorum` nodes are known to attest to its owner.
///
/// # Errors
/// No database, or one that cannot be read.
pub async fn list_keys(database: &Path, quorum: u8) -> Result<Vec<ListedKey>, StorageError> {
    let pool = open(database).await?;
    let keys = keys(&pool, quorum, None).await;
    pool.close().await;
    keys
}

/// All that a node's database has of a key at `now`, in seconds since 1970; none if it has nothing.
///
/// # Errors
/// No database, or one that cannot be read.
pub async fn inspect_key(
    database: &Path,
    quorum: u8,
    key_id: &str,
    now: u64,
) -> Result<Option<InspectedKey>, StorageError> {
    let pool = open(database).await?;
    let inspected = match keys(&pool, quorum, Some(key_id)).await?.pop() {
        Some(key) => Some(inspect(&pool, key, now).await?),
        None => None,
    };
    pool.close().await;
    Ok(inspected)
}

async fn open(database: &Path) -> Result<SqlitePool, StorageError> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    Ok(SqlitePoolOptions::new().max_connections(1).connect_with(options).await?)
}

async fn keys(pool: &SqlitePool, quorum: u8, only: Option<&str>) -> Result<Vec<ListedKey>, StorageError> {
    let rows = sqlx::query(
        "SELECT key_id, 0, NULL, created_at FROM pending_keys WHERE ?1 IS NULL OR key_id = ?1 UNION ALL \
         SELECT shares.key_id, CASE WHEN dead_keys.key_id IS NOT NULL THEN 2 WHEN keys.key_id IS NOT NULL THEN 3 ELSE 1 END, \
         owner, COALESCE(dead_keys.created_at, keys.created_at, shares.created_at) FROM shares \
         LEFT JOIN keys USING (key_id) LEFT JOIN dead_keys USING (key_id) WHERE ?1 IS NULL OR shares.key_id = ?1 \
         ORDER BY 4, 1",
    )
    .bind(only)
    .fetch_all(pool)
    .await?;
    let mut attesting = BTreeMap::<String, BTreeSet<NodeIndex>>::new();
    let attestations = sqlx::query("SELECT key_id, node FROM attestations WHERE ?1 IS NULL OR key_id = ?1");
    for row in attestations.bind(only).fetch_all(pool).await? {
        let key_id: String = row.try_get(0)?;
        let node = node(&row, 1)?.ok_or_else(|| damaged("attestation", &key_id))?;
        attesting.entry(key_id).or_default().insert(node);
    }
    let listed = |row: &SqliteRow| {
        let key_id: String = row.try_get(0)?;
        let attested_by = attesting.remove(&key_id).unwrap_or_default();
        let state = match row.try_get::<i64, _>(1)? {
            0 => KeyState::Pending,
            1 => KeyState::Free,
            2 => KeyState::Dead,
            _ if attested_by.len() < usize::from(quorum) => KeyState::HalfAssigned,
            _ => KeyState::Assigned,
        };
        let (owner, since) = (row.try_get(2)?, unsigned(row.try_get(3)?));
        Ok(ListedKey { key_id, state, owner, attested_by, since, way_out: state.way_out() })
    };
    rows.iter().map(listed).collect()
}

async fn inspect(pool: &SqlitePool, key: ListedKey, now: u64) -> Result<InspectedKey, StorageError> {
    let key_id = key.key_id.clone();
    let first = sqlx::query("SELECT ephemeral, ephemeral_until, permissions FROM keys WHERE key_id = ?");
    let first = first.bind(&key_id).fetch_optional(pool).await?;
    let (mut ephemeral_keys, mut permissions) = (BTreeMap::<_, (Option<u64>, bool)>::new(), None);
    if let Some(row) = first {
        ephemeral_keys.insert(
            hex::encode_prefixed(row.try_get::<&[u8], _>(0)?),
            (Some(unsigned(row.try_get(1)?)), false),
        );
        let written = row.try_get::<Option<&str>, _>(2)?.map(Target::from_json).transpose();
        permissions = match written.map_err(|_| damaged("permissions", &key_id))? {
            None => super::statements::permitted(pool, &key_id).await?,
            born_with => born_with,
        };
    }
    let mut revoked = false;
    let statements = sqlx::query("SELECT says FROM statements WHERE key_id = ?").bind(&key_id);
    for row in statements.fetch_all(pool).await? {
        match says(row.try_get(0)?, &key_id)? {
            Says::Registers { ephemeral, until } => {
                let known = ephemeral_keys.entry(hex::encode_prefixed(ephemeral)).or_default();
                known.0 = known.0.max(Some(until));
            }
            Says::Revokes { ephemeral } => {
                ephemeral_keys.entry(hex::encode_prefixed(ephemeral)).or_default().1 = true;
            }
            Says::RevokesKey => revoked = true,
            _ => {}
        }
    }
    let ephemeral = |(key, (until, revoked))| InspectedEphemeralKey { key, until, revoked };
    let mut bans = BTreeMap::new();
    let banned = sqlx::query("SELECT peer, reason FROM bans WHERE key_id = ?").bind(&key_id);
    for row in banned.fetch_all(pool).await? {
        bans.insert(node(&row, 0)?.ok_or_else(|| damaged("ban", &key_id))?, row.try_get(1)?);
    }
    let ledger = match key_id.parse::<KeyId>() {
        Ok(id) if permissions.is_some() => Some(ledger_of(pool, id).await?),
        _ => None,
    };
    let counters = permissions.map(|permissions| permissions.counters()).unwrap_or_default();
    let counted = counters.into_iter().filter_map(|counter| {
        let dimension = Dimension::try_from(counter.dimension).ok()?;
        let total = ledger.as_ref()?.kept_total(dimension, Timestamp::new(now));
        let (limited, limit) = (counter.dimension.to_string(), counter.limit.to_string());
        Some(InspectedLimit { limited, total: total.to_string(), limit })
    });
    Ok(InspectedKey {
        key,
        revoked,
        ephemeral_keys: ephemeral_keys.into_iter().map(ephemeral).collect(),
        bans,
        journal_bytes: ledger.as_ref().map_or(0, |ledger| ledger.bytes()),
        limits: counted.collect(),
    })
}

fn node(row: &SqliteRow, place: usize) -> Result<Option<NodeIndex>, StorageError> {
    Ok(u8::try_from(row.try_get::<i64, _>(place)?).ok().and_then(NodeIndex::new))
}

fn damaged(what: &'static str, key_id: &str) -> StorageError {
    StorageError::Damaged { what, key_id: key_id.to_owned() }
}
