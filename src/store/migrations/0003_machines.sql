-- How an instance is reached, what its tasks are unless they say otherwise, and the key that it
-- has shown and that is not trusted.
ALTER TABLE instances ADD COLUMN jump INTEGER REFERENCES instances (id);
ALTER TABLE instances ADD COLUMN jump_user TEXT;
ALTER TABLE instances ADD COLUMN mode TEXT NOT NULL DEFAULT 'attached' CHECK (mode IN ('attached', 'detached'));
ALTER TABLE instances ADD COLUMN shown_algorithm TEXT;
ALTER TABLE instances ADD COLUMN shown_base64 TEXT;
ALTER TABLE instances ADD COLUMN shown_fingerprint TEXT;
ALTER TABLE instances ADD COLUMN shown_at INTEGER;
CREATE INDEX instances_by_jump ON instances (jump) WHERE jump IS NOT NULL;

-- Keys that an instance may never have while it stands for this machine.
CREATE TABLE revoked_host_keys (
    instance    INTEGER NOT NULL REFERENCES instances (id) ON DELETE CASCADE,
    fingerprint TEXT    NOT NULL,
    at          INTEGER NOT NULL,
    by          TEXT    NOT NULL,
    PRIMARY KEY (instance, fingerprint)
) STRICT, WITHOUT ROWID;

-- What the connections told; apart from the instances, as it changes all the time.
CREATE TABLE instance_health (
    instance   INTEGER PRIMARY KEY REFERENCES instances (id) ON DELETE CASCADE,
    seen       INTEGER,
    latency_ms INTEGER,
    error      TEXT,
    error_at   INTEGER,
    library    TEXT
) STRICT;

-- Who did what to what. `object` is a noun and an id, such as `instance/3`; `detail` is JSON. It
-- outlives what it tells of.
CREATE TABLE audit (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    at     INTEGER NOT NULL,
    by     TEXT    NOT NULL,
    action TEXT    NOT NULL,
    object TEXT    NOT NULL,
    detail TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_object ON audit (object, id);
CREATE TRIGGER audit_never_changes BEFORE UPDATE ON audit
BEGIN SELECT RAISE (ABORT, 'the audit trail is append-only'); END;
CREATE TRIGGER audit_never_goes BEFORE DELETE ON audit
BEGIN SELECT RAISE (ABORT, 'the audit trail is append-only'); END;
