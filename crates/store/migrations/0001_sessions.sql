-- "Quor": by this the file is known.
PRAGMA application_id = 0x51756f72;

-- How the key was given that opens `store_key`, under which every session is sealed: one row.
CREATE TABLE sealing (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    -- The salt and the cost of Argon2id (memory in KiB); NULL where the key is no passphrase's.
    salt BLOB,
    memory INTEGER,
    passes INTEGER,
    lanes INTEGER,
    store_key BLOB NOT NULL,
    CHECK ((salt IS NULL) = (memory IS NULL) AND (salt IS NULL) = (passes IS NULL) AND (salt IS NULL) = (lanes IS NULL))
) STRICT;

-- A session. All but `status` is bound to `sealed`, and so are its leaves.
CREATE TABLE sessions (
    -- Its place among all sessions; those of an account stand in its tree in this order.
    position INTEGER PRIMARY KEY,
    -- As many bits as an unsigned number of 64 has.
    chain_id INTEGER NOT NULL,
    account BLOB NOT NULL CHECK (length(account) = 20),
    id TEXT NOT NULL,
    session_key BLOB NOT NULL CHECK (length(session_key) = 20),
    key_id TEXT,
    record TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('pending', 'active', 'expired', 'revoked', 'inactive')),
    -- Seconds since 1970.
    created INTEGER NOT NULL,
    user_op_hash BLOB CHECK (length(user_op_hash) = 32),
    -- The key, encrypted.
    sealed BLOB NOT NULL,
    UNIQUE (chain_id, account, id)
) STRICT;

CREATE INDEX sessions_in_tree_order ON sessions (chain_id, account, position);

-- The leaves of a session, in the order of the tree.
CREATE TABLE leaves (
    session INTEGER NOT NULL REFERENCES sessions (position) ON DELETE CASCADE,
    place INTEGER NOT NULL,
    -- Seconds since 1970; 0 for no start, no end.
    valid_after INTEGER NOT NULL,
    valid_until INTEGER NOT NULL,
    validation_module BLOB NOT NULL CHECK (length(validation_module) = 20),
    session_key_data BLOB NOT NULL,
    PRIMARY KEY (session, place)
) STRICT, WITHOUT ROWID;
