//! Several processes with one database, and processes that are killed.

#![allow(clippy::unwrap_used, reason = "a test that cannot set up has failed")]

mod sessions;

use std::env;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use quorate_store::{SealingKey, Session, SessionId, SqliteStore, Status, Store};
use sessions::{Database, account, session};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

const DATABASE: &str = "STORE_TEST_DATABASE";
const TASK: &str = "STORE_TEST_TASK";
const FAIL_POINT: &str = "STORE_TEST_FAIL_POINT";

/// This very program, with one of the tasks below.
fn start(database: &Database, task: &str, fail_point: Option<&str>) -> Child {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture"]);
    command.env(DATABASE, database.path()).env(TASK, task);
    command.envs(fail_point.map(|name| (FAIL_POINT, name)));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Not a test of its own: what the other tests' processes do.
#[tokio::test]
async fn child() {
    let Ok(task) = env::var(TASK) else { return };
    if let Ok(name) = env::var(FAIL_POINT) {
        fail::cfg_callback(name, || std::process::abort()).unwrap();
    }
    let open = async || {
        let path = env::var(DATABASE).unwrap();
        SqliteStore::open(path, SealingKey::from([5; 32])).await.unwrap()
    };
    match task.split_once(' ').unwrap_or((&task, "")) {
        ("open", _) => drop(open().await),
        ("add", id) => open().await.add(session(id)).await.unwrap(),
        ("activate", id) => open().await.set_status(account(), &self::id(id), Status::Active).await.unwrap(),
        ("remove", id) => open().await.remove(account(), &self::id(id)).await.unwrap(),
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

fn id(text: &str) -> SessionId {
    text.parse().unwrap()
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

/// How a task ends that is killed at a fail point, and whether it was done by then.
async fn kill(database: &Database, task: &str, fail_point: &str) {
    let status = start(database, task, Some(fail_point)).wait().unwrap();
    assert_eq!(status.code(), None, "`{task}` was to be killed at `{fail_point}`, and ended with {status}");
}

#[tokio::test]
async fn a_process_killed_while_it_makes_a_store_leaves_one_to_be_made() {
    for fail_point in ["set up: before", "set up: after"] {
        let database = Database::new();
        kill(&database, "open", fail_point).await;
        assert!(sessions_of(&database).await.is_empty());
        database.open().await.add(session("a")).await.unwrap();
        assert_eq!(sessions_of(&database).await.len(), 1);
    }
}

#[tokio::test]
async fn a_process_killed_while_it_writes_leaves_all_or_nothing() {
    for (task, fail_point, expected) in [
        ("add b", "add: without leaves", [("a", Status::Inactive)].as_slice()),
        ("add b", "add: before", &[("a", Status::Inactive)]),
        ("add b", "add: after", &[("a", Status::Inactive), ("b", Status::Pending)]),
        ("activate a", "set status: before", &[("a", Status::Inactive)]),
        ("activate a", "set status: after", &[("a", Status::Active)]),
        ("remove a", "remove: before", &[("a", Status::Inactive)]),
        ("remove a", "remove: after", &[]),
    ] {
        let database = Database::new();
        let mut first = session("a");
        first.status = Status::Inactive;
        database.open().await.add(first).await.unwrap();

        kill(&database, task, fail_point).await;
        let found = sessions_of(&database).await;
        let found: Vec<_> = found.iter().map(|session| (session.id.as_str(), session.status)).collect();
        assert_eq!(found, expected, "`{task}` killed at `{fail_point}`");
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
