-- Where a text may stand: of each 64 tasks in a row, all that they are called, tagged and run, so
-- that what many have in common is in it once. It says where to look, and the tasks what is there.
-- `upto` is the last id that it knows of; the few that follow are looked at themselves.
CREATE VIRTUAL TABLE task_search USING fts5 (
    text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram case_sensitive 1'
);
CREATE VIRTUAL TABLE task_search_terms USING fts5vocab (task_search, row);
CREATE TABLE task_searched (upto INTEGER NOT NULL) STRICT;
INSERT INTO task_searched (upto) SELECT coalesce(max(id), 0) / 64 * 64 FROM tasks;

-- LIKE knows ASCII letters in either case, as lower() does. Two characters behind each text, so that
-- three begin at each of its own.
INSERT INTO task_search (rowid, text)
SELECT block, group_concat(t, char(31, 31)) || char(31, 31) FROM (
    SELECT (id - 1) / 64 AS block, lower(name) AS t FROM tasks
    UNION SELECT (id - 1) / 64, lower(tag) FROM tasks
    UNION SELECT (id - 1) / 64, lower(script) FROM tasks
) WHERE block < (SELECT upto / 64 FROM task_searched) GROUP BY block;

CREATE TRIGGER tasks_searched AFTER INSERT ON tasks
WHEN new.id > (SELECT upto + 64 FROM task_searched)
BEGIN
    INSERT INTO task_search (rowid, text)
    SELECT upto / 64, (
        SELECT group_concat(t, char(31, 31)) || char(31, 31) FROM (
            SELECT lower(name) AS t FROM tasks WHERE id > upto AND id <= upto + 64
            UNION SELECT lower(tag) FROM tasks WHERE id > upto AND id <= upto + 64
            UNION SELECT lower(script) FROM tasks WHERE id > upto AND id <= upto + 64
        )
    ) FROM task_searched;
    UPDATE task_searched SET upto = upto + 64;
END;
-- A new name or tag, by the negative id of its task.
CREATE TRIGGER tasks_searched_again AFTER UPDATE OF name, tag ON tasks
WHEN (new.name, new.tag) IS NOT (old.name, old.tag) AND new.id <= (SELECT upto FROM task_searched)
BEGIN
    INSERT OR REPLACE INTO task_search (rowid, text)
    VALUES (-new.id, lower(new.name) || char(31, 31) || lower(new.tag) || char(31, 31));
END;
CREATE TRIGGER tasks_searched_no_more AFTER DELETE ON tasks
BEGIN
    DELETE FROM task_search WHERE rowid = -old.id;
    DELETE FROM task_search WHERE rowid = (old.id - 1) / 64 AND NOT EXISTS (
        SELECT 1 FROM tasks WHERE id > (old.id - 1) / 64 * 64 AND id <= (old.id - 1) / 64 * 64 + 64
    );
END;

-- Who has logged in where, once each: what a scope holds is found by it.
CREATE TABLE logins (
    instance INTEGER NOT NULL,
    user     TEXT    NOT NULL,
    PRIMARY KEY (instance, user)
) STRICT, WITHOUT ROWID;
INSERT INTO logins (instance, user) SELECT DISTINCT instance, user FROM tasks;
CREATE TRIGGER tasks_log_in AFTER INSERT ON tasks
BEGIN
    INSERT OR IGNORE INTO logins (instance, user) VALUES (new.instance, new.user);
END;

-- Tasks that need a second person are few.
CREATE INDEX tasks_by_approval ON tasks (approval, id) WHERE approval IS NOT NULL;
