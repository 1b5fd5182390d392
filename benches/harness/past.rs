//! A past that a server did not have: tasks and instances beside those that are there, as the program
//! would have them.

use super::server::Server;
use rusqlite::{Connection, params};
use std::time::Duration;

/// More instances, like the first one.
pub fn instances(server: &Server, count: i64) {
    copy(
        &open(server),
        "instances",
        (0, count),
        1,
        &[
            ("ip", "'10.' || (n / 250) || '.7.' || (n % 250)"),
            ("tag", "'Server ' || n || ' in rack ' || (n % 40)"),
        ],
    );
}

/// More tasks, like one that has ended, on the first 2,000 instances: those from one number to
/// another of a past of a million. Some have failed, and the last two days have some thousands.
pub fn tasks(server: &Server, like: i64, from: i64, to: i64) {
    let store = open(server);
    copy(
        &store,
        "tasks",
        (from, to),
        like,
        &[
            ("name", "'Nightly backup ' || (n % 500)"),
            ("tag", "'Every night'"),
            ("instance", "1 + n % 2000"),
            (
                "script",
                "'#!/bin/sh\n# backup of volume ' || (n % 500) || ', run ' || n || '\nset -eu\ntar -c /srv/data | gzip > /backup/data.tgz\n'",
            ),
            ("state", "iif(n % 50 = 0, 'ABORT', 'DONE')"),
            ("outcome", "iif(n % 50 = 0, 'timed_out', 'exited')"),
            ("rc", "iif(n % 50 = 0, NULL, n % 30 = 0)"),
            ("start", "unixepoch() - (1000000 - n) * 20"),
            ("end", "unixepoch() - (1000000 - n) * 20 + n % 300"),
            ("created", "unixepoch() - (1000000 - n) * 20"),
            ("stdout_bytes", "0"),
        ],
    );
    store
        .execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
        .expect("it is written");
}

fn open(server: &Server) -> Connection {
    let store = Connection::open(server.path("data/wsexec.db")).expect("the store");
    store
        .busy_timeout(Duration::from_secs(30))
        .expect("a setting");
    store
}

/// Rows as one of them, but for some columns, which may depend on the number `n`.
fn copy(
    store: &Connection,
    table: &str,
    (from, to): (i64, i64),
    like: i64,
    other: &[(&str, &str)],
) {
    let sql = format!("SELECT name FROM pragma_table_info('{table}') WHERE name <> 'id'");
    let mut names = store.prepare(&sql).expect("a query");
    let names = names
        .query_map([], |row| row.get::<_, String>(0))
        .expect("columns");
    let names: Vec<String> = names.collect::<Result<_, _>>().expect("columns");
    let values: Vec<String> = names
        .iter()
        .map(|name| match other.iter().find(|it| it.0 == name) {
            Some((_, value)) => (*value).to_owned(),
            None => format!("\"{name}\""),
        })
        .collect();
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    let sql = format!(
        "WITH RECURSIVE n (n) AS (SELECT ?1 + 1 UNION ALL SELECT n + 1 FROM n WHERE n < ?2)
         INSERT INTO {table} ({}) SELECT {} FROM n, {table} WHERE id = ?3",
        names.join(", "),
        values.join(", ")
    );
    store.execute(&sql, params![from, to, like]).expect("rows");
}
