//! What the database adds: encryption, and doubt about what it reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use std::fs;
use std::path::Path;
use std::time::Instant;

use alloy_primitives::B256;
use quorate_store::{
    AccountId, Change, DatabaseError, Key, NewSession, Operation, Passphrase, SealingKey, SqliteStore, Store,
    StoreError,
};
use sessions::{Contents, Database, account, add_all, delegated_key, id, leaves, operation, root, session};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};

/// Changes the database behind the store's back.
async fn alter(path: &Path, statement: &str) {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    let mut connection = options.connect().await.unwrap();
    let done = sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap();
    assert_ne!(done.rows_affected(), 0, "{statement}");
    connection.close().await.unwrap();
}

fn contains(folder: &Path, secret: &[u8]) -> bool {
    let files = fs::read_dir(folder).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
}

#[tokio::test]
async fn no_secret_stands_in_the_files() {
    let database = Database::new();
    let store = database.open().await;
    let mut local = session("for minting");
    local.key = Key::Local((*b"thirty-two bytes of a local key!").into());
    store.add(local).await.unwrap();
    assert!(contains(database.folder.path(), b"for minting"), "the search finds what is there");
    assert!(!contains(database.folder.path(), b"thirty-two bytes"));
    store.close().await;
    assert!(!contains(database.folder.path(), b"thirty-two bytes"));
}

#[tokio::test]
async fn what_is_shown_for_debugging_holds_no_secret() {
    let database = Database::new();
    let secret = [0xab; 32];
    let key = Key::Distributed {
        key_id: "key 1".to_owned(),
        attested_key: String::new(),
        ephemeral: secret.into(),
    };
    let shown = format!(
        "{:?} {:?} {:?} {:?}",
        NewSession { key, ..session("a") },
        SealingKey::from(secret),
        Passphrase::new("hunter2").unwrap(),
        database.open().await,
    );
    for leak in ["171, 171", "abab", "hunter2"] {
        assert!(!shown.contains(leak), "{shown}");
    }
    assert!(shown.contains("[redacted]"), "{shown}");
}

#[tokio::test]
async fn another_key_opens_nothing_and_changes_nothing() {
    let database = Database::new();
    database.open().await.add(session("a")).await.unwrap();

    let error = SqliteStore::open(database.path(), SealingKey::from([6; 32])).await.unwrap_err();
    assert!(matches!(error, DatabaseError::WrongKey { .. }), "{error}");
    assert!(error.to_string().contains("does not open with this sealing key"), "{error}");
    let error = SqliteStore::open(database.path(), Passphrase::new("guess").unwrap()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::OtherSealing { .. }), "{error}");
    assert!(error.to_string().contains("made with a sealing key, but a passphrase"), "{error}");

    let stored = database.open().await.session(account(), &session("a").id).await.unwrap();
    assert_eq!(stored.leaves, session("a").leaves);
}

#[tokio::test]
async fn a_passphrase_opens_what_it_made() {
    let database = Database::new();
    let passphrase = |text: &str| Passphrase::new(text).unwrap();
    let store = SqliteStore::open(database.path(), passphrase("correct horse")).await.unwrap();
    store.add(session("a")).await.unwrap();
    store.close().await;

    let error = SqliteStore::open(database.path(), passphrase("correct hors")).await.unwrap_err();
    assert!(matches!(error, DatabaseError::WrongKey { given: "passphrase", .. }), "{error}");
    let error = SqliteStore::open(database.path(), database.key.clone()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::OtherSealing { expected: "passphrase", .. }), "{error}");
    let store = SqliteStore::open(database.path(), passphrase("correct horse")).await.unwrap();
    assert!(matches!(store.key(account(), &session("a").id).await.unwrap(), Key::Local(_)));

    alter(&database.path(), "UPDATE sealing SET memory = 1 << 30").await;
    let error = SqliteStore::open(database.path(), passphrase("correct horse")).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Passphrase { .. }), "{error}");
    assert!(Passphrase::new("").is_err());
}

#[tokio::test]
async fn an_altered_session_is_refused_by_name() {
    for statement in [
        "UPDATE sessions SET session_key = randomblob(20) WHERE id = 'a'",
        "UPDATE sessions SET key_id = 'key 1' WHERE id = 'a'",
        "UPDATE sessions SET created = created + 1 WHERE id = 'a'",
        "UPDATE sessions SET user_op_hash = NULL WHERE id = 'a'",
        "UPDATE sessions SET user_op_hash = randomblob(32) WHERE id = 'a'",
        "UPDATE sessions SET sealed = (SELECT sealed FROM sessions WHERE id = 'b') WHERE id = 'a'",
        "UPDATE sessions SET sealed = substr(sealed, 1, 30) WHERE id = 'a'",
        "UPDATE sessions SET sealed = x'' WHERE id = 'a'",
        "UPDATE leaves SET valid_until = 0 WHERE session = 1 AND place = 0",
        "UPDATE leaves SET valid_until = -1 WHERE session = 1 AND place = 0",
        "UPDATE leaves SET validation_module = randomblob(20) WHERE session = 1 AND place = 1",
        "UPDATE leaves SET session_key_data = x'00' WHERE session = 1 AND place = 1",
        "UPDATE leaves SET place = 2 WHERE session = 1 AND place = 0",
        "DELETE FROM leaves WHERE session = 1 AND place = 1",
        "DELETE FROM leaves WHERE session = 1",
        "INSERT INTO leaves SELECT 1, 7, valid_after, valid_until, validation_module, session_key_data FROM leaves \
         WHERE session = 2 AND place = 0",
    ] {
        let database = Database::new();
        let store = database.open().await;
        add_all(&store, ["a", "b"].map(session)).await;
        alter(&database.path(), statement).await;

        let id = session("a").id;
        for error in [
            store.session(account(), &id).await.unwrap_err(),
            store.key(account(), &id).await.unwrap_err(),
            store.sessions(account()).await.unwrap_err(),
        ] {
            let named = matches!(&error, StoreError::Altered { id, .. } if id == "a");
            assert!(named, "{statement}: {error}");
        }
    }
}

#[tokio::test]
async fn sessions_that_changed_names_are_refused() {
    let database = Database::new();
    let store = database.open().await;
    add_all(&store, ["a", "b"].map(session)).await;
    let swap = "UPDATE sessions SET id = 'c' WHERE id = 'b'; UPDATE sessions SET id = 'b' WHERE id = 'a'; \
                UPDATE sessions SET id = 'a' WHERE id = 'c'";
    alter(&database.path(), swap).await;
    for id in ["a", "b"] {
        let error = store.key(account(), &session(id).id).await.unwrap_err();
        assert!(matches!(error, StoreError::Altered { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_session_moved_to_another_account_is_refused() {
    for column in ["chain_id = 1", "account = x'9999999999999999999999999999999999999999'"] {
        let database = Database::new();
        let store = database.open().await;
        store.add(session("a")).await.unwrap();
        alter(&database.path(), &format!("UPDATE sessions SET {column}")).await;
        let mut thief = account();
        match column.starts_with("chain_id") {
            true => thief.chain_id = 1,
            false => thief.address = [0x99; 20].into(),
        }
        let error = store.key(thief, &session("a").id).await.unwrap_err();
        assert!(matches!(error, StoreError::Altered { .. }), "{column}: {error}");
    }
}

#[tokio::test]
async fn somebody_elses_database_is_refused_and_left_alone() {
    let database = Database::new();
    let path = database.path();
    SqliteConnectOptions::new().filename(&path).create_if_missing(true).connect().await.unwrap();
    let mut connection = SqliteConnectOptions::new().filename(&path).connect().await.unwrap();
    sqlx::raw_sql("CREATE TABLE theirs (a)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    let before = fs::read(&path).unwrap();

    let error = SqliteStore::open(&path, database.key.clone()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Foreign { .. }), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(fs::read_dir(database.folder.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let database = Database::new();
    let text = "my diary\n".repeat(1000);
    fs::write(database.path(), &text).unwrap();
    let error = SqliteStore::open(database.path(), database.key.clone()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Damaged { .. }), "{error}");
    assert_eq!(fs::read_to_string(database.path()).unwrap(), text);

    let error = SqliteStore::open(database.folder.path(), database.key.clone()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Io { .. }), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_refused() {
    let database = Database::new();
    let store = database.open().await;
    add_all(&store, (0..200).map(|number| session(&number.to_string()))).await;
    store.close().await;
    let whole = fs::read(database.path()).unwrap();
    assert!(whole.len() > 40_000);

    let mut overwritten = whole.clone();
    overwritten[4096..40_960].fill(0xa5);
    for damaged in [&whole[..whole.len() / 2], &whole[..5000], &overwritten] {
        fs::write(database.path(), damaged).unwrap();
        let error = match SqliteStore::open(database.path(), database.key.clone()).await {
            Ok(store) => store.sessions(account()).await.unwrap_err(),
            Err(error) => error.into(),
        };
        assert!(matches!(error, StoreError::Database(DatabaseError::Damaged { .. })), "{error:?}");
    }

    fs::write(database.path(), &whole).unwrap();
    assert_eq!(database.open().await.sessions(account()).await.unwrap().len(), 200, "the backup is good");
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let database = Database::new();
    database.open().await.close().await;
    let newer = "INSERT INTO _sqlx_migrations SELECT 9999, 'newer', installed_on, success, checksum, execution_time \
                 FROM _sqlx_migrations WHERE version = 1";
    alter(&database.path(), newer).await;
    let error = SqliteStore::open(database.path(), database.key.clone()).await.unwrap_err();
    assert!(matches!(error, DatabaseError::Schema { .. }), "{error}");
}

#[tokio::test]
#[cfg(unix)]
async fn the_files_are_their_owners_alone() {
    use std::os::unix::fs::PermissionsExt as _;

    let database = Database::new();
    let store = database.open().await;
    store.add(session("a")).await.unwrap();
    let files: Vec<_> = fs::read_dir(database.folder.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(files.len(), 3, "the database, its log and the log's index");
    for file in files {
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", file.path());
    }
}

#[tokio::test]
async fn the_schema_refuses_what_no_store_writes() {
    for statement in [
        "UPDATE operations SET nonce = x'00'",
        "UPDATE operations SET answer = 'yes'",
        "UPDATE operations SET sets = NULL",
        "UPDATE trees SET leaves = x'00'",
        "UPDATE trees SET leaves = x''",
        "INSERT INTO operations SELECT 7, chain_id, account, user_op_hash, nonce, session, replaces, sets, answer, \
         signed_at_block, closed_at_block, message FROM operations",
    ] {
        let database = Database::new();
        let store = database.open().await;
        let changes = vec![Change::AddTree(leaves(2)), Change::AddOperation(Box::new(operation(1)))];
        store.apply(account(), changes).await.unwrap();
        let mut connection = SqliteConnectOptions::new().filename(database.path()).connect().await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.unwrap_err();
        connection.close().await.unwrap();
    }
}

#[tokio::test]
async fn an_operation_that_cannot_be_read_is_a_damage() {
    for statement in [
        "UPDATE operations SET session = ''",
        "PRAGMA ignore_check_constraints = ON; UPDATE operations SET answer = 'yes'",
        "PRAGMA ignore_check_constraints = ON; UPDATE operations SET user_op_hash = x'00'",
    ] {
        let database = Database::new();
        let store = database.open().await;
        store.apply(account(), vec![Change::AddOperation(Box::new(operation(1)))]).await.unwrap();
        alter(&database.path(), statement).await;
        let error = store.operations(account()).await.unwrap_err();
        let damaged = matches!(error, StoreError::Database(DatabaseError::Damaged { .. }));
        assert!(damaged, "{statement}: {error:?}");
    }
}

#[tokio::test]
async fn all_is_there_when_the_store_is_opened_again() {
    let database = Database::new();
    let store = database.open().await;
    let changes = vec![
        Change::AddSession(Box::new(NewSession { landed: Some(5), ..session("a") })),
        Change::AddTree(leaves(2)),
        Change::AddOperation(Box::new(Operation { session: Some(id("a")), ..operation(1) })),
    ];
    store.apply(account(), changes).await.unwrap();
    let before = Contents::of(&store, account()).await;
    store.close().await;
    let store = database.open().await;
    assert_eq!(Contents::of(&store, account()).await, before);
    assert_eq!(before.operations.len(), 1);
}

/// A store of the schema before operations, which that version itself made.
#[tokio::test]
async fn a_store_of_the_schema_before_opens_as_it_was() {
    let database = Database::new();
    let options = SqliteConnectOptions::new().filename(database.path()).create_if_missing(true);
    let mut connection = options.connect().await.unwrap();
    let dump = include_str!("vectors/schema-2.sql");
    sqlx::raw_sql(AssertSqlSafe(dump)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let wrong = SqliteStore::open(database.path(), SealingKey::from([6; 32])).await.unwrap_err();
    assert!(matches!(wrong, DatabaseError::WrongKey { .. }), "{wrong}");
    // The first open changes the schema, the second one finds it changed.
    for _ in 0..2 {
        let store = database.open().await;
        let sessions = store.sessions(account()).await.unwrap();
        let landed: Vec<_> = sessions.iter().map(|session| (session.id.as_str(), session.landed)).collect();
        let expected = [
            ("pending", None),
            ("active", Some(0)),
            ("expired", Some(0)),
            ("revoked", Some(0)),
            ("inactive", None),
        ];
        assert_eq!(landed, expected);
        for stored in &sessions {
            let expected = session(stored.id.as_str());
            assert_eq!((&stored.leaves, stored.created), (&expected.leaves, expected.created));
            assert_eq!(stored.session_key, expected.session_key);
            let hash = expected.user_op_hash.filter(|_| stored.id.as_str() != "active");
            assert_eq!(stored.user_op_hash, hash);
        }
        assert!(matches!(store.key(account(), &id("pending")).await.unwrap(), Key::External));
        let distributed = store.key(account(), &id("active")).await.unwrap();
        assert!(matches!(&distributed, Key::Distributed { key_id, attested_key, ephemeral }
                if key_id == "key 1" && attested_key == "attestations" && *ephemeral.expose() == [8; 32]));
        for (name, byte) in [("expired", 3), ("revoked", 4), ("inactive", 5)] {
            let key = store.key(account(), &id(name)).await.unwrap();
            assert!(matches!(key, Key::Local(secret) if *secret.expose() == [byte; 32]));
        }

        let trees = [[2, 1].as_slice(), &[3, 1, 2]];
        let trees = trees.map(|leaves| leaves.iter().copied().map(B256::repeat_byte).collect::<Vec<_>>());
        let trees: Vec<_> = trees.into_iter().map(|leaves| (root(&leaves), leaves)).collect();
        let found = Contents::of(&store, account()).await;
        assert_eq!(found.trees, trees, "one without leaves is none");
        assert!(found.operations.is_empty());
        store.close().await;
    }

    let store = database.open().await;
    let changes = vec![
        Change::AddSession(Box::new(session("new"))),
        Change::SetLanded { session: id("pending"), block: Some(7) },
        Change::RemoveSession(id("revoked")),
        Change::AddTree(leaves(5)),
        Change::AddOperation(Box::new(operation(1))),
    ];
    store.apply(account(), changes).await.unwrap();
    let found = Contents::of(&store, account()).await;
    let last = found.sessions.last().unwrap();
    assert_eq!((last.0.as_str(), found.sessions.len()), ("new", 5));
    assert_eq!((found.trees.len(), found.trees.last()), (3, Some(&(root(&leaves(5)), leaves(5)))));
    assert_eq!(found.operations, [operation(1)]);
}

#[tokio::test]
async fn ten_thousand_sessions_stay_quick() {
    let database = Database::new();
    let store = database.open().await;
    let one_leaf = |number: u32| {
        let mut session = session(&number.to_string());
        session.leaves.truncate(1);
        session
    };
    let start = Instant::now();
    add_all(&store, (0..10_000).map(one_leaf)).await;
    told("add 10 000 in one step", start);
    store.close().await;

    let start = Instant::now();
    let store = database.open().await;
    told("open", start);
    for _ in 0..3 {
        let start = Instant::now();
        assert_eq!(store.sessions(account()).await.unwrap().len(), 10_000);
        told("list 10 000", start);
    }

    let start = Instant::now();
    store.key(account(), &id("5000")).await.unwrap();
    told("find one", start);

    let start = Instant::now();
    store.add(session("one more")).await.unwrap();
    told("add one", start);

    let start = Instant::now();
    let landed = Change::SetLanded { session: id("5000"), block: Some(1) };
    store.apply(account(), vec![landed]).await.unwrap();
    told("set landed", start);
}

/// Seen with `--nocapture`.
fn told(what: &str, start: Instant) {
    println!("{what}: {} ms", start.elapsed().as_millis());
}

#[tokio::test]
async fn a_key_to_which_an_account_delegates_is_sealed_with_what_it_may_sign() {
    let secret = *b"thirty-two bytes of a local key!";
    let add = || Change::AddDelegatedKey {
        key: Box::new(delegated_key(1)),
        secret: Box::new(Key::Distributed {
            key_id: "key 1".to_owned(),
            attested_key: "attested".to_owned(),
            ephemeral: secret.into(),
        }),
    };
    for column in [
        "permissions = '{\"wider\":true}'",
        "key_id = 'key 2'",
        "address = x'9999999999999999999999999999999999999999'",
        "created = created + 1",
        "sealed = substr(sealed, 1, 30)",
        "chain_id = 1",
    ] {
        let database = Database::new();
        let store = database.open().await;
        store.apply(account(), vec![add()]).await.unwrap();
        assert_eq!(store.delegated_keys(account()).await.unwrap(), [delegated_key(1)]);
        assert!(!contains(database.folder.path(), &secret[..16]));
        alter(&database.path(), &format!("UPDATE delegated_keys SET {column}")).await;
        let chain_id = if column.starts_with("chain_id") { 1 } else { account().chain_id };
        let delegator = AccountId { chain_id, ..account() };
        let error = store.delegated_keys(delegator).await.unwrap_err();
        assert!(matches!(error, StoreError::AlteredKey { .. }), "{column}: {error}");
        let error = store.delegated_key(delegator, delegated_key(1).address).await.unwrap_err();
        assert!(matches!(error, StoreError::AlteredKey { .. }), "{column}: {error}");
    }
}
