//! What the database adds: encryption, and doubt about what it reads.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use quorate_store::{
    DatabaseError, Key, NewSession, Passphrase, SealingKey, SqliteStore, Status, Store, StoreError,
};
use sessions::{Database, account, session};
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
    let mut local = session("a");
    local.key = Key::Local((*b"thirty-two bytes of a local key!").into());
    store.add(local).await.unwrap();
    assert!(contains(database.folder.path(), b"\"session\": \"a\""), "the search finds what is there");
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
    assert_eq!(stored.record, session("a").record);
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
        "UPDATE sessions SET record = record || ' ' WHERE id = 'a'",
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
        "INSERT INTO leaves SELECT 1, 7, valid_after, valid_until, validation_module, session_key_data FROM leaves \
         WHERE session = 2 AND place = 0",
    ] {
        let database = Database::new();
        let store = database.open().await;
        store.add_all(["a", "b"].map(session).into()).await.unwrap();
        alter(&database.path(), statement).await;

        let id = session("a").id;
        for error in [
            store.session(account(), &id).await.unwrap_err(),
            store.key(account(), &id).await.unwrap_err(),
            store.sessions(account()).await.unwrap_err(),
            store.leaves(account()).await.unwrap_err(),
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
    store.add_all(["a", "b"].map(session).into()).await.unwrap();
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
    store.add_all((0..200).map(|number| session(&number.to_string())).collect()).await.unwrap();
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
async fn ten_thousand_sessions_stay_quick() {
    let database = Database::new();
    let store = database.open().await;
    store.add_all((0..10_000).map(|number| session(&number.to_string())).collect()).await.unwrap();
    store.close().await;

    let start = Instant::now();
    let store = database.open().await;
    quick("open", start, Duration::from_secs(1));

    let start = Instant::now();
    assert_eq!(store.sessions(account()).await.unwrap().len(), 10_000);
    quick("list", start, Duration::from_secs(2));

    let start = Instant::now();
    assert_eq!(store.leaves(account()).await.unwrap().len(), 20_000);
    quick("leaves", start, Duration::from_secs(2));

    let start = Instant::now();
    store.key(account(), &session("5000").id).await.unwrap();
    quick("find", start, Duration::from_millis(100));

    let start = Instant::now();
    store.add(session("one more")).await.unwrap();
    quick("add", start, Duration::from_millis(500));

    let start = Instant::now();
    store.set_status(account(), &session("5000").id, Status::Active).await.unwrap();
    quick("set status", start, Duration::from_millis(500));
}

/// The bounds are wide, so that only another order of growth breaks them.
fn quick(what: &str, start: Instant, bound: Duration) {
    let took = start.elapsed();
    println!("{what}: {took:?}");
    assert!(took < bound, "{what} took {took:?}");
}
