-- What a user may do and on what; `access` counts what ends what the user is logged in with.
CREATE TABLE new_users (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    name          TEXT    NOT NULL UNIQUE,
    role          TEXT    NOT NULL CHECK (role IN ('admin', 'operator', 'runner', 'viewer')),
    -- Rules with a blank between them.
    scope         TEXT    NOT NULL DEFAULT '',
    disabled      INTEGER NOT NULL DEFAULT 0,
    password_hash TEXT,
    subject       TEXT UNIQUE,
    created       INTEGER NOT NULL,
    access        INTEGER NOT NULL DEFAULT 1,
    version       INTEGER NOT NULL DEFAULT 1
) STRICT;
INSERT INTO new_users (id, name, role, password_hash, created)
SELECT id, name, role, password_hash, created FROM users;
-- Numbers of users that were removed are not given again.
DELETE FROM sqlite_sequence WHERE name = 'new_users';
INSERT INTO sqlite_sequence (name, seq) SELECT 'new_users', seq FROM sqlite_sequence WHERE name = 'users';
DROP TABLE sessions;
DROP TABLE users;
ALTER TABLE new_users RENAME TO users;

-- A page's session, by the hash of its cookie. Whoever was logged in before logs in again.
CREATE TABLE sessions (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash BLOB    NOT NULL UNIQUE,
    user       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    method     TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    seen       INTEGER NOT NULL,
    confirmed  INTEGER NOT NULL,
    address    TEXT,
    agent      TEXT    NOT NULL
) STRICT;
CREATE INDEX sessions_by_user ON sessions (user);

CREATE TABLE tokens (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    token_hash BLOB    NOT NULL UNIQUE,
    user       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    scope      TEXT    NOT NULL,
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    used       INTEGER,
    used_from  TEXT,
    UNIQUE (user, name)
) STRICT;

-- The authenticator of a user, encrypted, and the last step of time whose code was taken: no code
-- is taken twice (RFC 6238 section 5.2). Not confirmed until its first code.
CREATE TABLE second_factors (
    user      INTEGER PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    key       TEXT    NOT NULL,
    sealed    BLOB    NOT NULL,
    confirmed INTEGER NOT NULL DEFAULT 0,
    last_step INTEGER NOT NULL DEFAULT 0,
    created   INTEGER NOT NULL
) STRICT;
CREATE TABLE recovery_codes (
    user      INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    code_hash BLOB    NOT NULL,
    PRIMARY KEY (user, code_hash)
) STRICT, WITHOUT ROWID;
-- A login whose password was right and whose code is still to come, by the hash of its cookie.
CREATE TABLE pending_logins (
    token_hash BLOB    PRIMARY KEY,
    user       INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    access     INTEGER NOT NULL,
    created    INTEGER NOT NULL,
    tries      INTEGER NOT NULL DEFAULT 0
) STRICT, WITHOUT ROWID;

-- Secrets by name. What is secret stands in `secrets`, encrypted.
CREATE TABLE identities (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT    NOT NULL UNIQUE,
    kind        TEXT    NOT NULL CHECK (kind IN ('ssh_key', 'become_password', 'secret')),
    scope       TEXT    NOT NULL,
    -- An array of fingerprints.
    host_keys   TEXT    NOT NULL DEFAULT '[]',
    public_key  TEXT,
    fingerprint TEXT,
    created     INTEGER NOT NULL,
    created_by  TEXT    NOT NULL,
    version     INTEGER NOT NULL DEFAULT 1
) STRICT;
-- One value of an identity: `value`, or the `passphrase` of a key. `key` names the master key.
CREATE TABLE secrets (
    identity INTEGER NOT NULL REFERENCES identities (id) ON DELETE CASCADE,
    field    TEXT    NOT NULL CHECK (field IN ('value', 'passphrase')),
    key      TEXT    NOT NULL,
    sealed   BLOB    NOT NULL,
    PRIMARY KEY (identity, field)
) STRICT, WITHOUT ROWID;

-- Labels are a JSON object; `identity` is the name of what is logged in with; `approval` whether a
-- second person is needed.
ALTER TABLE instances ADD COLUMN labels   TEXT    NOT NULL DEFAULT '{}';
ALTER TABLE instances ADD COLUMN identity TEXT;
ALTER TABLE instances ADD COLUMN approval INTEGER NOT NULL DEFAULT 0;
CREATE INDEX instances_by_address ON instances (ip COLLATE NOCASE, port);

-- Who posted it; null for the command line. Secrets are a JSON array of [name, identity]; `masked`
-- counts what was masked in its output.
ALTER TABLE tasks ADD COLUMN owner             INTEGER;
ALTER TABLE tasks ADD COLUMN secrets           TEXT;
ALTER TABLE tasks ADD COLUMN masked            INTEGER NOT NULL DEFAULT 0;
-- The second person that it needs; null where it needs none. Until somebody has approved it, it
-- may not begin before the end of time.
ALTER TABLE tasks ADD COLUMN approval          TEXT CHECK (approval IN ('waiting', 'approved', 'refused', 'expired', 'withdrawn'));
ALTER TABLE tasks ADD COLUMN approval_expires  INTEGER;
ALTER TABLE tasks ADD COLUMN approval_address  TEXT;
ALTER TABLE tasks ADD COLUMN approval_by       TEXT;
ALTER TABLE tasks ADD COLUMN approval_at       INTEGER;
ALTER TABLE tasks ADD COLUMN approval_comment  TEXT;
CREATE INDEX tasks_to_approve ON tasks (approval_expires, id) WHERE approval = 'waiting';

-- The audit trail: who did what to what. Numbered from 1 without a gap, each with a MAC over
-- itself and the one before. What stood in the trail before it had MACs, and what was amended, is
-- sealed at the first start, and the old tables go then.
DROP TRIGGER amendments_never_change;
DROP TRIGGER amendments_never_go;
ALTER TABLE amendments RENAME TO amendments_before;
DROP TRIGGER audit_never_changes;
DROP TRIGGER audit_never_goes;
ALTER TABLE audit RENAME TO audit_before;
DROP INDEX audit_by_object;
CREATE TABLE audit (
    n       INTEGER PRIMARY KEY,
    at      INTEGER NOT NULL,
    by      TEXT    NOT NULL,
    via     TEXT    NOT NULL,
    "from"  TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    object  TEXT    NOT NULL,
    count   INTEGER NOT NULL,
    detail  TEXT    NOT NULL,
    mac     BLOB    NOT NULL
) STRICT;
CREATE INDEX audit_by_object ON audit (object, n);
CREATE INDEX audit_by_name   ON audit (by, n);
CREATE INDEX audit_by_action ON audit (action, n);
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
BEGIN SELECT RAISE (ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_never_goes BEFORE DELETE ON audit
BEGIN SELECT RAISE (ABORT, 'the audit trail is append-only'); END;
