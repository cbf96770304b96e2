-- How much waits, where that is much: counted now and then by one node for all of them.
CREATE TABLE queue_counts (
    lane       smallint PRIMARY KEY,
    messages   bigint NOT NULL,
    counted_at timestamptz NOT NULL,
    took       interval NOT NULL
);
