-- This store's own name, in everything that it leaves on machines: a random UUID.
CREATE TABLE store (
    id TEXT NOT NULL
) STRICT;
INSERT INTO store (id)
SELECT substr(h, 1, 8) || '-' || substr(h, 9, 4) || '-4' || substr(h, 14, 3) || '-a' || substr(h, 18, 3) || '-' || substr(h, 21, 12)
FROM (SELECT lower(hex(randomblob(16))) AS h);

ALTER TABLE tasks ADD COLUMN mode               TEXT    NOT NULL DEFAULT 'attached' CHECK (mode IN ('attached', 'detached'));
-- An array of [name, value]; null where there is none.
ALTER TABLE tasks ADD COLUMN env                TEXT;
ALTER TABLE tasks ADD COLUMN cwd                TEXT;
ALTER TABLE tasks ADD COLUMN interpreter        TEXT;
ALTER TABLE tasks ADD COLUMN become_method      TEXT;
ALTER TABLE tasks ADD COLUMN become_user        TEXT;
ALTER TABLE tasks ADD COLUMN become_password    TEXT;
ALTER TABLE tasks ADD COLUMN pty                INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN stdin_bytes        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN retries            INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN retry_delay        INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN attempt            INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tasks ADD COLUMN not_before         INTEGER;
ALTER TABLE tasks ADD COLUMN run                TEXT;
ALTER TABLE tasks ADD COLUMN process_pid        INTEGER;
ALTER TABLE tasks ADD COLUMN process_started    INTEGER;
ALTER TABLE tasks ADD COLUMN process_boot       TEXT;
ALTER TABLE tasks ADD COLUMN process_connection TEXT;
UPDATE tasks SET attempt = 1 WHERE start IS NOT NULL;
-- What may begin, and what waits for its next attempt: apart, so that neither is read to find the
-- other, however many of it there are.
CREATE INDEX tasks_ready ON tasks (instance, id) WHERE state = 'INIT' AND not_before IS NULL;
CREATE INDEX tasks_delayed ON tasks (instance, not_before, id) WHERE state = 'INIT' AND not_before IS NOT NULL;

-- What a task's script reads. Apart, as it is long and read once.
CREATE TABLE stdin (
    task INTEGER PRIMARY KEY REFERENCES tasks (id) ON DELETE CASCADE,
    data BLOB    NOT NULL
) STRICT;

-- Runs that could not begin, before the last one.
CREATE TABLE attempts (
    task    INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    number  INTEGER NOT NULL,
    start   INTEGER NOT NULL,
    "end"   INTEGER NOT NULL,
    outcome TEXT    NOT NULL,
    reason  TEXT,
    PRIMARY KEY (task, number)
) STRICT, WITHOUT ROWID;
