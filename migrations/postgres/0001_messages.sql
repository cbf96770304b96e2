-- A message's row is its queue entry too: `due_at` says when somebody has to look at it next, NULL that nobody has to.
-- A lease moves `due_at` into the future and names its owner.
-- Ids are UUIDv7, so a range of ids is a span of time: partitions are weeks, and forgetting old messages is dropping one.
CREATE TABLE messages (
    id               uuid     NOT NULL PRIMARY KEY,
    app              uuid     NOT NULL,
    status           smallint NOT NULL,              -- index into Status::ALL
    channel          smallint NOT NULL,
    category         smallint NOT NULL,              -- also the lane
    test             boolean  NOT NULL,
    accepted_at      bigint   NOT NULL,              -- milliseconds since 1970, as all times
    expires_at       bigint   NOT NULL,
    send_at          bigint,
    due_at           bigint,
    owner            bigint,
    in_flight        boolean  NOT NULL DEFAULT false, -- while the last attempt is open
    template         text,
    template_version integer,
    provider         text,                           -- of the last attempt
    released_at      bigint,
    closed_at        bigint,
    to_hash          bigint   NOT NULL,
    reference_hash   bigint,
    idempotency_key  bytea,
    idempotency_body bytea,
    attempts         bytea,                          -- JSON
    progress         integer  NOT NULL DEFAULT 0,    -- attempts opened plus attempts ended: orders facts that come late
    body             bytea    NOT NULL               -- the message, sealed
) PARTITION BY RANGE (id);

-- What no week was made for: rows from a node whose clock is wrong.
CREATE TABLE messages_other PARTITION OF messages DEFAULT;

CREATE INDEX messages_due ON messages (category, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_by_app ON messages (app, id);
CREATE INDEX messages_by_recipient ON messages (to_hash, id);
CREATE INDEX messages_by_reference ON messages (reference_hash, id) WHERE reference_hash IS NOT NULL;
-- The statuses that operators look for and that few messages have: held, undelivered, failed, expired, cancelled, unknown.
CREATE INDEX messages_unusual ON messages (status, id) WHERE status IN (1, 6, 7, 8, 9, 10);

-- Keys that were used, over all weeks: what makes a repeat recognisable whatever its id is.
CREATE TABLE idempotency_keys (
    key         bytea  NOT NULL PRIMARY KEY,
    body        bytea  NOT NULL,
    id          uuid   NOT NULL,
    counts_from bigint NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX idempotency_keys_age ON idempotency_keys (counts_from);

-- Hash of provider and its message id -> our message: how receipts find it.
CREATE TABLE provider_messages (
    hash bigint NOT NULL,
    id   uuid   NOT NULL,
    PRIMARY KEY (hash, id)
);

CREATE TABLE receipts (
    message             uuid     NOT NULL,
    provider            text     NOT NULL,
    vendor_status       text     NOT NULL,
    at                  bigint   NOT NULL,
    status              smallint NOT NULL,
    error_code          text,
    provider_message_id text,
    PRIMARY KEY (message, provider, vendor_status)
);

-- Receipts that came before the answer to the submission they belong to.
CREATE TABLE early_receipts (
    provider            text     NOT NULL,
    provider_message_id text     NOT NULL DEFAULT '',
    reference           uuid     NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    vendor_status       text     NOT NULL,
    at                  bigint   NOT NULL,
    status              smallint NOT NULL,
    error_code          text,
    PRIMARY KEY (provider, provider_message_id, reference, vendor_status)
);
CREATE INDEX early_receipts_by_reference ON early_receipts (reference);

-- Answers to batches that were sent with an idempotency key.
CREATE TABLE batch_answers (
    key    bytea  NOT NULL PRIMARY KEY,
    body   bytea  NOT NULL,
    at     bigint NOT NULL,
    answer bytea  NOT NULL                           -- sealed
);
CREATE INDEX batch_answers_at ON batch_answers (at);

-- What the store must remember about itself: lookup_key (sealed), master_key (its fingerprint), recorded_until.
CREATE TABLE meta (
    name  text  NOT NULL PRIMARY KEY,
    value bytea NOT NULL
);

-- Workers by when they were last seen, by the server's clock: they share the providers' contracts.
CREATE TABLE workers (
    node    uuid        NOT NULL PRIMARY KEY,
    seen_at timestamptz NOT NULL
);
