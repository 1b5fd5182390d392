CREATE TABLE users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL,
    password_hash TEXT    NOT NULL,
    created       INTEGER NOT NULL
) STRICT;

-- A page's session, by the hash of its cookie.
CREATE TABLE sessions (
    token_hash BLOB    PRIMARY KEY,
    user       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created    INTEGER NOT NULL,
    seen       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE instances (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT,
    ip                   TEXT    NOT NULL,
    tag                  TEXT    NOT NULL,
    state                TEXT    NOT NULL CHECK (state IN ('ACTIVE', 'DEACTIVATE')),
    port                 INTEGER NOT NULL CHECK (port BETWEEN 1 AND 65535),
    host_key_algorithm   TEXT,
    host_key_base64      TEXT,
    host_key_fingerprint TEXT,
    version              INTEGER NOT NULL
) STRICT;

-- No foreign key on the instance: its tasks stay readable when it is gone.
CREATE TABLE tasks (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,
    name              TEXT    NOT NULL,
    tag               TEXT    NOT NULL,
    instance          INTEGER NOT NULL,
    script            TEXT    NOT NULL,
    user              TEXT    NOT NULL,
    state             TEXT    NOT NULL CHECK (state IN ('INIT', 'CURRENT', 'DONE', 'ABORT')),
    outcome           TEXT,
    reason            TEXT,
    rc                INTEGER,
    signal            TEXT,
    created           INTEGER NOT NULL,
    created_by        TEXT    NOT NULL,
    start             INTEGER,
    "end"             INTEGER,
    timeout           INTEGER,
    cancel_requested  INTEGER NOT NULL DEFAULT 0,
    amended           INTEGER NOT NULL DEFAULT 0,
    stdout_bytes      INTEGER NOT NULL DEFAULT 0,
    stdout_gap_offset INTEGER,
    stdout_gap_length INTEGER,
    stderr_bytes      INTEGER NOT NULL DEFAULT 0,
    stderr_gap_offset INTEGER,
    stderr_gap_length INTEGER,
    version           INTEGER NOT NULL DEFAULT 1
) STRICT;
-- What the engine claims from and what it watches: small, whatever the history holds.
CREATE INDEX tasks_waiting ON tasks (instance, id) WHERE state = 'INIT';
CREATE INDEX tasks_running ON tasks (instance, id) WHERE state = 'CURRENT';
-- What lists are narrowed by.
CREATE INDEX tasks_by_state    ON tasks (state, id);
CREATE INDEX tasks_by_instance ON tasks (instance, id);
CREATE INDEX tasks_by_user     ON tasks (user, id);
CREATE INDEX tasks_by_tag      ON tasks (tag, id);
CREATE INDEX tasks_by_name     ON tasks (name, id);

-- A piece of one stream. `runs` tells how it lies among the bytes of both streams: null where it
-- is one run from `at`, else pairs of varints (bytes of the other stream before it, its length).
CREATE TABLE output (
    task     INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    stream   INTEGER NOT NULL CHECK (stream IN (1, 2)),
    "offset" INTEGER NOT NULL,
    length   INTEGER NOT NULL,
    at       INTEGER NOT NULL,
    runs     BLOB,
    data     BLOB    NOT NULL,
    UNIQUE (task, stream, "offset")
) STRICT;

-- What a stream is shown as since it was amended.
CREATE TABLE amended_output (
    task   INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    stream INTEGER NOT NULL CHECK (stream IN (1, 2)),
    text   TEXT    NOT NULL,
    PRIMARY KEY (task, stream)
) STRICT, WITHOUT ROWID;

-- What was changed after the end, by whom, and what the value was; null for what ran, which the
-- output table keeps. It outlives the task.
CREATE TABLE amendments (
    id    INTEGER PRIMARY KEY AUTOINCREMENT,
    task  INTEGER NOT NULL,
    at    INTEGER NOT NULL,
    by    TEXT    NOT NULL,
    field TEXT    NOT NULL,
    old   TEXT
) STRICT;
CREATE INDEX amendments_by_task ON amendments (task, id);
CREATE TRIGGER amendments_never_change BEFORE UPDATE ON amendments
BEGIN SELECT RAISE (ABORT, 'amendments are append-only'); END;
CREATE TRIGGER amendments_never_go BEFORE DELETE ON amendments
BEGIN SELECT RAISE (ABORT, 'amendments are append-only'); END;

CREATE TABLE idempotency (
    user        INTEGER NOT NULL,
    route       TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL,
    object      INTEGER NOT NULL,
    created     INTEGER NOT NULL,
    PRIMARY KEY (user, route, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_by_age ON idempotency (created);
