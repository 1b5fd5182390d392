-- Where the lines of kept output are: for each piece, the line of its stream that it begins in, from
-- 0, and the line ends in it. Beside the pieces and not in them, so that a line is found without
-- reading any output. What was kept before this table came is not in it.
CREATE TABLE output_lines (
    task     INTEGER NOT NULL REFERENCES tasks (id) ON DELETE CASCADE,
    stream   INTEGER NOT NULL CHECK (stream IN (1, 2)),
    "offset" INTEGER NOT NULL,
    line     INTEGER NOT NULL,
    ends     INTEGER NOT NULL,
    PRIMARY KEY (task, stream, "offset")
) STRICT, WITHOUT ROWID;
CREATE INDEX output_lines_by_line ON output_lines (task, stream, line, "offset");

-- The good runs of a script: few scripts share both a length and a beginning.
CREATE INDEX tasks_good ON tasks (length(script), substr(script, 1, 64), id)
WHERE state = 'DONE' AND rc = 0;
