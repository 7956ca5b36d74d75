//! Several processes with one database, and processes that are killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use std::env;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use alloy_primitives::B256;
use quorate_store::{Answer, Change, Operation, RootChange, SealingKey, Session, SqliteStore, Store};
use sessions::{Contents, Database, account, id, leaves, operation, root, session};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

const DATABASE: &str = "STORE_TEST_DATABASE";
const TASK: &str = "STORE_TEST_TASK";
const FAIL_POINT: &str = "STORE_TEST_FAIL_POINT";
const PASSES: &str = "STORE_TEST_PASSES";

/// This very program, with one of the tasks below. It is killed at the fail point after as many passes of it.
fn start(database: &Database, task: &str, fail_point: Option<(&str, usize)>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]);
    command.env(DATABASE, database.path()).env(TASK, task);
    if let Some((name, passes)) = fail_point {
        command.env(FAIL_POINT, name).env(PASSES, passes.to_string());
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Not a test of its own: what the other tests' processes do.
#[tokio::test]
async fn child() {
    let Ok(task) = env::var(TASK) else { return };
    if let Ok(name) = env::var(FAIL_POINT) {
        let passes: usize = env::var(PASSES).unwrap().parse().unwrap();
        let passed = AtomicUsize::new(0);
        let pass = move || {
            if passed.fetch_add(1, Ordering::Relaxed) == passes {
                std::process::abort();
            }
        };
        fail::cfg_callback(name, pass).unwrap();
    }
    let open = async || {
        let path = env::var(DATABASE).unwrap();
        SqliteStore::open(path, SealingKey::from([5; 32])).await.unwrap()
    };
    match task.split_once(' ').unwrap_or((&task, "")) {
        ("open", _) => drop(open().await),
        ("grant", _) => open().await.apply(account(), grant()).await.unwrap(),
        ("settle", _) => open().await.apply(account(), settle()).await.unwrap(),
        ("ten", name) => {
            println!("\nready");
            std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
            let store = open().await;
            for number in 0..10 {
                store.add(session(&format!("{name}-{number}"))).await.unwrap();
            }
        }
        ("endless", _) => {
            let store = open().await;
            for number in 0.. {
                store.add(session(&number.to_string())).await.unwrap();
                println!("\nadded {number}");
            }
        }
        _ => panic!("no task {task}"),
    }
}

/// What stands in the store before a grant: the session `a` in its tree, a tree before that, two operations.
fn given() -> Vec<Change> {
    vec![
        Change::AddSession(Box::new(session("a"))),
        Change::AddTree(leaves(1)),
        Change::AddTree(leaves(2)),
        Change::AddOperation(Box::new(operation(1))),
        Change::AddOperation(Box::new(operation(2))),
    ]
}

fn grant() -> Vec<Change> {
    let root_change = Some(RootChange { replaces: root(&leaves(2)), sets: root(&leaves(3)) });
    let operation = Operation { session: Some(id("b")), root_change, ..operation(3) };
    vec![
        Change::AddSession(Box::new(session("b"))),
        Change::AddTree(leaves(3)),
        Change::AddOperation(Box::new(operation)),
    ]
}

fn settle() -> Vec<Change> {
    vec![
        Change::SetLanded { session: id("a"), block: Some(7) },
        Change::RemoveTree(root(&leaves(1))),
        Change::RemoveOperation(B256::repeat_byte(1)),
        Change::SetClosed { user_op_hash: B256::repeat_byte(2), block: Some(8) },
        Change::SetAnswer { user_op_hash: B256::repeat_byte(2), answer: Answer::Taken },
    ]
}

/// Reads a child's lines up to the next that begins with `start`, and gives the rest of it.
fn line(output: &mut impl std::io::BufRead, start: &str) -> String {
    let mut lines = output.lines().map(Result::unwrap);
    lines.find_map(|line| line.strip_prefix(start).map(ToOwned::to_owned)).unwrap()
}

/// Every session is whole, and so is the database.
async fn sessions_of(database: &Database) -> Vec<Session> {
    let store = database.open().await;
    let sessions = store.sessions(account()).await.unwrap();
    for stored in &sessions {
        assert_eq!(stored.leaves, session(stored.id.as_str()).leaves);
        store.key(account(), &stored.id).await.unwrap();
    }
    store.close().await;

    let mut connection = SqliteConnectOptions::new().filename(database.path()).connect().await.unwrap();
    let integrity: String =
        sqlx::query_scalar("PRAGMA integrity_check").fetch_one(&mut connection).await.unwrap();
    assert_eq!(integrity, "ok");
    let orphans = sqlx::query("PRAGMA foreign_key_check").fetch_all(&mut connection).await.unwrap();
    assert!(orphans.is_empty());
    connection.close().await.unwrap();
    sessions
}

#[tokio::test]
async fn processes_that_make_a_store_at_once_lose_no_session() {
    let database = Database::new();
    let mut children: Vec<_> =
        (0..6).map(|number| start(&database, &format!("ten {number}"), None)).collect();
    for child in &mut children {
        line(&mut BufReader::new(child.stdout.as_mut().unwrap()), "ready");
    }
    for child in &mut children {
        drop(child.stdin.take());
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }

    let stored = sessions_of(&database).await;
    assert_eq!(stored.len(), 60);
    for name in 0..6 {
        let of_one = stored.iter().filter(|session| session.id.as_str().starts_with(&format!("{name}-")));
        let expected = (0..10).map(|number| format!("{name}-{number}"));
        assert!(of_one.map(|session| session.id.to_string()).eq(expected), "in the order they were added");
    }
}

/// Runs a task until it is killed at a fail point.
fn kill(database: &Database, task: &str, fail_point: &str, passes: usize) {
    let status = start(database, task, Some((fail_point, passes))).wait().unwrap();
    assert_eq!(status.code(), None, "`{task}` was to be killed at `{fail_point}`, and ended with {status}");
}

#[tokio::test]
async fn a_process_killed_while_it_makes_a_store_leaves_one_to_be_made() {
    for fail_point in ["set up: before", "set up: after"] {
        let database = Database::new();
        kill(&database, "open", fail_point, 0);
        assert!(sessions_of(&database).await.is_empty());
        database.open().await.add(session("a")).await.unwrap();
        assert_eq!(sessions_of(&database).await.len(), 1);
    }
}

#[tokio::test]
async fn a_process_killed_while_it_writes_leaves_all_or_nothing() {
    const ADDED: &str = "add session: without leaves";
    let grant_ends = [(ADDED, 1), ("apply: half", 2), ("apply: before", 1)];
    let settle_ends = [("apply: half", 4), ("apply: before", 1)];
    for (task, changes, before_the_commit) in
        [("grant", grant(), grant_ends.as_slice()), ("settle", settle(), settle_ends.as_slice())]
    {
        let untouched = Database::new();
        let store = untouched.open().await;
        store.apply(account(), given()).await.unwrap();
        let nothing = Contents::of(&store, account()).await;
        store.apply(account(), changes.clone()).await.unwrap();
        let all = Contents::of(&store, account()).await;
        assert_ne!(nothing, all);

        let kills =
            before_the_commit.iter().flat_map(|(name, times)| (0..*times).map(|n| (*name, n, &nothing)));
        for (fail_point, passes, expected) in kills.chain([("apply: after", 0, &all)]) {
            let database = Database::new();
            database.open().await.apply(account(), given()).await.unwrap();
            kill(&database, task, fail_point, passes);

            sessions_of(&database).await;
            let store = database.open().await;
            let found = Contents::of(&store, account()).await;
            assert_eq!(found, *expected, "`{task}` killed at `{fail_point}` after {passes} passes");
            if expected == &nothing {
                store.apply(account(), changes.clone()).await.unwrap();
                assert_eq!(Contents::of(&store, account()).await, all, "the next process does it");
            }
        }
    }
}

#[tokio::test]
async fn what_was_stored_survives_a_kill_at_any_moment() {
    let database = Database::new();
    for _ in 0..3 {
        let mut child = start(&database, "endless", None);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut last = String::new();
        while last != "12" {
            last = line(&mut output, "added ");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let told = output.lines().map_while(Result::ok).filter(|line| line.starts_with("added ")).count();
        let stored = sessions_of(&database).await.len();
        assert!(stored == 13 + told || stored == 14 + told, "{stored} stored, {} told", 13 + told);
        for file in std::fs::read_dir(database.folder.path()).unwrap() {
            std::fs::remove_file(file.unwrap().path()).unwrap();
        }
    }
}
