-- How a task has ended, in one of four words; null until then.
ALTER TABLE tasks ADD COLUMN fate TEXT GENERATED ALWAYS AS (
    CASE WHEN "end" IS NULL THEN NULL
         WHEN state = 'DONE' THEN iif(coalesce(rc, 0) = 0, 'succeeded', 'failed')
         WHEN outcome = 'cancelled' THEN 'cancelled'
         ELSE 'aborted' END) VIRTUAL;
-- The seconds that it ran; null where it never did.
ALTER TABLE tasks ADD COLUMN ran INTEGER GENERATED ALWAYS AS (max("end" - start, 0)) VIRTUAL;
-- The same with no more than two digits that are not zero, so that few different ones are counted.
ALTER TABLE tasks ADD COLUMN took INTEGER GENERATED ALWAYS AS (
    CASE WHEN ran < 100 THEN ran
         WHEN ran < 1000 THEN ran - ran % 10
         WHEN ran < 10000 THEN ran - ran % 100
         WHEN ran < 100000 THEN ran - ran % 1000
         ELSE ran - ran % 10000 END) VIRTUAL;

-- What ended badly, the latest of it first.
CREATE INDEX tasks_failed ON tasks ("end", id, instance, user) WHERE fate IN ('failed', 'aborted');

-- The last two days in two forms, so that a picture of the last one costs no look at a long history
-- of tasks. The triggers keep both right, however a task is written. For whoever sees everything:
-- how many tasks ended in an hour, by their fate and by how long they took (-1 where they never
-- ran).
CREATE TABLE ended_hours (
    hour INTEGER NOT NULL,
    fate TEXT    NOT NULL,
    took INTEGER NOT NULL,
    n    INTEGER NOT NULL,
    PRIMARY KEY (hour, fate, took)
) STRICT, WITHOUT ROWID;
-- For whoever sees some: each task, with what that is judged by.
CREATE TABLE ended_tasks (
    at       INTEGER NOT NULL,
    task     INTEGER NOT NULL,
    instance INTEGER NOT NULL,
    user     TEXT    NOT NULL,
    fate     TEXT    NOT NULL,
    took     INTEGER NOT NULL,
    PRIMARY KEY (at, task)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER ended_tasks_count AFTER INSERT ON ended_tasks
BEGIN
    INSERT INTO ended_hours (hour, fate, took, n) VALUES (new.at / 3600, new.fate, new.took, 1)
    ON CONFLICT (hour, fate, took) DO UPDATE SET n = n + 1;
    DELETE FROM ended_tasks WHERE at < new.at - 2 * 86400;
    DELETE FROM ended_hours WHERE hour < new.at / 3600 - 48;
END;
INSERT INTO ended_tasks (at, task, instance, user, fate, took)
SELECT "end", id, instance, user, fate, coalesce(took, -1) FROM tasks WHERE "end" >= unixepoch() - 2 * 86400;

CREATE TRIGGER tasks_end_at_once AFTER INSERT ON tasks WHEN new.fate IS NOT NULL
BEGIN
    INSERT INTO ended_tasks (at, task, instance, user, fate, took)
    VALUES (new."end", new.id, new.instance, new.user, new.fate, coalesce(new.took, -1));
END;
CREATE TRIGGER tasks_end AFTER UPDATE OF state, outcome, rc, start, "end" ON tasks
WHEN (new.fate, new.took, new."end") IS NOT (old.fate, old.took, old."end")
BEGIN
    -- An amended one is counted as what it is now.
    UPDATE ended_hours SET n = n - 1
    WHERE hour = old."end" / 3600 AND fate = old.fate AND took = coalesce(old.took, -1);
    DELETE FROM ended_tasks WHERE at = old."end" AND task = old.id;
    INSERT INTO ended_tasks (at, task, instance, user, fate, took)
    SELECT new."end", new.id, new.instance, new.user, new.fate, coalesce(new.took, -1)
    WHERE new.fate IS NOT NULL;
END;
CREATE TRIGGER tasks_end_gone AFTER DELETE ON tasks WHEN old.fate IS NOT NULL
BEGIN
    UPDATE ended_hours SET n = n - 1
    WHERE hour = old."end" / 3600 AND fate = old.fate AND took = coalesce(old.took, -1);
    DELETE FROM ended_tasks WHERE at = old."end" AND task = old.id;
END;

-- What waits for somebody to look at it.
CREATE INDEX instances_to_review ON instances (shown_at) WHERE shown_at IS NOT NULL;
CREATE INDEX instances_failing ON instance_health (error_at) WHERE error_at IS NOT NULL AND (seen IS NULL OR seen < error_at);
