-- What the control plane knows, as documents: every node holds all of them and asks for what changed after a sequence.
CREATE TABLE control_documents (
    kind       text   NOT NULL,
    id         uuid   NOT NULL,
    scope      text   NOT NULL,              -- the app that the name is unique in, or ''
    name       text   NOT NULL,
    revision   bigint NOT NULL,              -- of this document
    sequence   bigint NOT NULL,              -- of the commit that changed it last
    changed_at bigint NOT NULL,
    body       text,                         -- JSON; NULL: deleted, kept a while so that nodes hear of it
    PRIMARY KEY (kind, id)
);

CREATE UNIQUE INDEX control_documents_name ON control_documents (kind, scope, name) WHERE body IS NOT NULL;
CREATE INDEX control_documents_sequence ON control_documents (sequence);

-- One row: commits follow one another by it, and the audit log ends where it says.
CREATE TABLE control_head (
    one         smallint NOT NULL PRIMARY KEY CHECK (one = 1),
    sequence    bigint   NOT NULL,
    audit_count bigint   NOT NULL,
    audit_hash  bytea    NOT NULL
);
INSERT INTO control_head (one, sequence, audit_count, audit_hash) VALUES (1, 0, 0, '');

CREATE TABLE control_audit (
    number bigint NOT NULL PRIMARY KEY,      -- 1, 2, 3, …
    at     bigint NOT NULL,
    actor  text   NOT NULL,
    action text   NOT NULL,
    object text   NOT NULL,
    body   text   NOT NULL,                  -- the entry as it was linked, JSON
    hash   bytea  NOT NULL
);
CREATE INDEX control_audit_actor ON control_audit (actor, number);
CREATE INDEX control_audit_object ON control_audit (object, number);
CREATE INDEX control_audit_at ON control_audit (at);
CREATE FUNCTION control_audit_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append only';
END $$;
CREATE TRIGGER control_audit_is_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON control_audit
    FOR EACH STATEMENT EXECUTE FUNCTION control_audit_is_append_only();

CREATE TABLE control_key_uses (
    key     uuid   NOT NULL PRIMARY KEY,
    used_at bigint NOT NULL
);
