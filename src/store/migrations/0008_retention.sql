-- Whether it stays whatever the retention says.
ALTER TABLE tasks ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
-- How many bytes of output go when it goes; null for what may not go by itself: it has not ended, or
-- is pinned.
ALTER TABLE tasks ADD COLUMN expendable INTEGER GENERATED ALWAYS AS (
    CASE WHEN "end" IS NULL OR pinned THEN NULL
         ELSE stdout_bytes - coalesce(stdout_gap_length, 0) + stderr_bytes - coalesce(stderr_gap_length, 0)
    END) VIRTUAL;

-- The oldest of what may go on an instance comes first.
CREATE INDEX tasks_expendable ON tasks (instance, "end", id, expendable) WHERE expendable IS NOT NULL;
CREATE INDEX tasks_pinned ON tasks (id) WHERE pinned = 1;

-- How much of it there is on each instance, so that nothing is counted to find out. The triggers
-- keep it right, however a task is written.
CREATE TABLE expendable (
    instance INTEGER PRIMARY KEY,
    tasks    INTEGER NOT NULL,
    bytes    INTEGER NOT NULL
) STRICT;
INSERT INTO expendable (instance, tasks, bytes)
SELECT instance, count(*), sum(expendable) FROM tasks INDEXED BY tasks_expendable
WHERE expendable IS NOT NULL GROUP BY instance;

CREATE TRIGGER tasks_expendable_at_once AFTER INSERT ON tasks WHEN new.expendable IS NOT NULL
BEGIN
    INSERT INTO expendable (instance, tasks, bytes) VALUES (new.instance, 1, new.expendable)
    ON CONFLICT (instance) DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
END;
CREATE TRIGGER tasks_expendable_changes
AFTER UPDATE OF "end", pinned, stdout_bytes, stdout_gap_length, stderr_bytes, stderr_gap_length ON tasks
WHEN new.expendable IS NOT old.expendable
BEGIN
    UPDATE expendable SET tasks = tasks - 1, bytes = bytes - old.expendable
    WHERE instance = old.instance AND old.expendable IS NOT NULL;
    INSERT INTO expendable (instance, tasks, bytes)
    SELECT new.instance, 1, new.expendable WHERE new.expendable IS NOT NULL
    ON CONFLICT (instance) DO UPDATE SET tasks = tasks + 1, bytes = bytes + excluded.bytes;
    DELETE FROM expendable WHERE instance = old.instance AND tasks = 0;
END;
CREATE TRIGGER tasks_expendable_gone AFTER DELETE ON tasks WHEN old.expendable IS NOT NULL
BEGIN
    UPDATE expendable SET tasks = tasks - 1, bytes = bytes - old.expendable WHERE instance = old.instance;
    DELETE FROM expendable WHERE instance = old.instance AND tasks = 0;
END;

-- What removed instances were labelled with, for as long as they have tasks: a rule for a label goes
-- on counting for them.
CREATE TABLE removed_instances (
    id     INTEGER PRIMARY KEY,
    labels TEXT    NOT NULL
) STRICT;
CREATE TRIGGER instances_removed AFTER DELETE ON instances
WHEN old.labels <> '{}' AND EXISTS (SELECT 1 FROM tasks WHERE instance = old.id)
BEGIN
    INSERT INTO removed_instances (id, labels) VALUES (old.id, old.labels);
END;
CREATE TRIGGER removed_instances_gone AFTER DELETE ON tasks
WHEN EXISTS (SELECT 1 FROM removed_instances WHERE id = old.instance)
BEGIN
    DELETE FROM removed_instances
    WHERE id = old.instance AND NOT EXISTS (SELECT 1 FROM tasks WHERE instance = old.instance);
END;
