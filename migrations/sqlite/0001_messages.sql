-- A message's row is its queue entry too: `due_at` says when somebody has to look at it next, NULL that nobody has to.
-- A lease moves `due_at` into the future and names its owner.
-- Look-ups by recipient, reference, provider message id and idempotency key are sorted merges (see `lookups`), because
-- indexes on random values would cost more than everything else together.
CREATE TABLE messages (
    id               BLOB    NOT NULL PRIMARY KEY,  -- UUIDv7: grows at its end
    app              BLOB    NOT NULL,
    status           INTEGER NOT NULL,              -- index into Status::ALL
    channel          INTEGER NOT NULL,
    category         INTEGER NOT NULL,              -- also the lane
    test             INTEGER NOT NULL,
    accepted_at      INTEGER NOT NULL,              -- milliseconds since 1970, as all times
    expires_at       INTEGER NOT NULL,
    send_at          INTEGER,
    due_at           INTEGER,
    owner            INTEGER,
    in_flight        INTEGER NOT NULL DEFAULT 0,    -- 1 while the last attempt is open
    template         TEXT,
    template_version INTEGER,
    provider         TEXT,                          -- of the last attempt
    released_at      INTEGER,
    closed_at        INTEGER,
    to_hash          INTEGER NOT NULL,
    reference_hash   INTEGER,
    idempotency_key  BLOB,
    idempotency_body BLOB,
    attempts         BLOB,                          -- JSON
    body             BLOB    NOT NULL               -- the message, sealed
) STRICT, WITHOUT ROWID;

CREATE INDEX messages_due ON messages (category, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_by_app ON messages (app);
-- The statuses that operators look for and that few messages have: held, undelivered, failed, expired, cancelled, unknown.
CREATE INDEX messages_unusual ON messages (status) WHERE status IN (1, 6, 7, 8, 9, 10);

-- (kind, hash) -> message, written in sorted order some hundred at a time; the newest pairs are in memory.
CREATE TABLE lookups (
    kind INTEGER NOT NULL,
    hash INTEGER NOT NULL,
    id   BLOB    NOT NULL,
    PRIMARY KEY (kind, hash, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE receipts (
    message       BLOB    NOT NULL,
    provider      TEXT    NOT NULL,
    vendor_status TEXT    NOT NULL,
    at            INTEGER NOT NULL,
    status        INTEGER NOT NULL,
    error_code    TEXT,
    provider_message_id TEXT,
    PRIMARY KEY (message, provider, vendor_status)
) STRICT, WITHOUT ROWID;

-- Receipts that came before the answer to the submission they belong to.
CREATE TABLE early_receipts (
    provider            TEXT    NOT NULL,
    provider_message_id TEXT    NOT NULL,
    vendor_status       TEXT    NOT NULL,
    at                  INTEGER NOT NULL,
    status              INTEGER NOT NULL,
    error_code          TEXT,
    PRIMARY KEY (provider, provider_message_id, vendor_status)
) STRICT, WITHOUT ROWID;

-- Answers to batches that were sent with an idempotency key.
CREATE TABLE batch_answers (
    key    BLOB    NOT NULL PRIMARY KEY,
    body   BLOB    NOT NULL,
    at     INTEGER NOT NULL,
    answer BLOB    NOT NULL                         -- sealed
) STRICT, WITHOUT ROWID;
CREATE INDEX batch_answers_at ON batch_answers (at);

-- What the store must remember about itself: lookup_key (sealed), lookup_mark.
CREATE TABLE meta (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
