-- What the control plane knows, as documents: every node holds all of them and asks for what changed after a sequence.
CREATE TABLE control_documents (
    kind       TEXT    NOT NULL,
    id         BLOB    NOT NULL,
    scope      TEXT    NOT NULL,              -- the app that the name is unique in, or ''
    name       TEXT    NOT NULL,
    revision   INTEGER NOT NULL,              -- of this document
    sequence   INTEGER NOT NULL,              -- of the commit that changed it last
    changed_at INTEGER NOT NULL,
    body       TEXT,                          -- JSON; NULL: deleted, kept a while so that nodes hear of it
    PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX control_documents_name ON control_documents (kind, scope, name) WHERE body IS NOT NULL;
CREATE INDEX control_documents_sequence ON control_documents (sequence);

-- One row: commits follow one another by it, and the audit log ends where it says.
CREATE TABLE control_head (
    one         INTEGER NOT NULL PRIMARY KEY CHECK (one = 1),
    sequence    INTEGER NOT NULL,
    audit_count INTEGER NOT NULL,
    audit_hash  BLOB    NOT NULL
) STRICT;
INSERT INTO control_head (one, sequence, audit_count, audit_hash) VALUES (1, 0, 0, x'');

CREATE TABLE control_audit (
    number INTEGER NOT NULL PRIMARY KEY,      -- 1, 2, 3, …
    at     INTEGER NOT NULL,
    actor  TEXT    NOT NULL,
    action TEXT    NOT NULL,
    object TEXT    NOT NULL,
    body   TEXT    NOT NULL,                  -- the entry as it was linked, JSON
    hash   BLOB    NOT NULL
) STRICT;
CREATE INDEX control_audit_actor ON control_audit (actor, number);
CREATE INDEX control_audit_object ON control_audit (object, number);
CREATE INDEX control_audit_at ON control_audit (at);
CREATE TRIGGER control_audit_is_append_only_update BEFORE UPDATE ON control_audit BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;
CREATE TRIGGER control_audit_is_append_only_delete BEFORE DELETE ON control_audit BEGIN SELECT RAISE(ABORT, 'the audit log is append only'); END;

CREATE TABLE control_key_uses (
    key     BLOB    NOT NULL PRIMARY KEY,
    used_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
