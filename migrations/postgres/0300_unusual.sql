-- The end of an ordinary message must touch no index: a row whose indexed columns stay as they are is updated within its page, if the
-- page has room. `status` moves with every message; this column moves only with those whose status operators look for.
-- PostgreSQL writes the tables anew for it and keeps everybody out meanwhile: 300,000 rows took 1.5 s on two cores.
ALTER TABLE messages ADD COLUMN unusual smallint GENERATED ALWAYS AS (CASE WHEN status IN (1, 6, 7, 8, 9, 10) THEN status END) STORED;
CREATE INDEX messages_by_unusual ON messages (unusual, id) WHERE unusual IS NOT NULL;
DROP INDEX messages_unusual;
