-- What may begin, and what waits for its next attempt: apart, so that neither is read to find the
-- other, however many of it there are.
CREATE INDEX tasks_ready ON tasks (instance, id) WHERE state = 'INIT' AND not_before IS NULL;
DROP INDEX tasks_delayed;
CREATE INDEX tasks_delayed ON tasks (instance, not_before, id) WHERE state = 'INIT' AND not_before IS NOT NULL;
