-- Where a session stands is read from the chain; what is kept is that it was seen there.
ALTER TABLE sessions ADD COLUMN landed INTEGER;
UPDATE sessions SET landed = 0 WHERE status IN ('active', 'expired', 'revoked');
ALTER TABLE sessions DROP COLUMN status;

-- A tree is its leaves. Which operation sets it stands with the operation.
CREATE TABLE known_trees (
    position INTEGER PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    account BLOB NOT NULL CHECK (length(account) = 20),
    root BLOB NOT NULL CHECK (length(root) = 32),
    -- The leaves' hashes in order, 32 bytes each. Whoever reads them computes the root, so that an altered tree is none
    -- that the chain knows.
    leaves BLOB NOT NULL CHECK (length(leaves) > 0 AND length(leaves) % 32 = 0),
    UNIQUE (chain_id, account, root)
) STRICT;
INSERT INTO known_trees (position, chain_id, account, root, leaves)
    SELECT position, chain_id, account, root, leaves FROM trees WHERE length(leaves) > 0;
DROP TABLE trees;
ALTER TABLE known_trees RENAME TO trees;

-- Signed operations, from before they are sent until what became of them cannot change any more.
CREATE TABLE operations (
    -- In the order in which they were signed.
    position INTEGER PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    account BLOB NOT NULL CHECK (length(account) = 20),
    user_op_hash BLOB NOT NULL CHECK (length(user_op_hash) = 32),
    nonce BLOB NOT NULL CHECK (length(nonce) = 32),
    -- The session that it grants, or that made it.
    session TEXT,
    -- The root that it replaces and the one that it sets, where it sets one.
    replaces BLOB CHECK (length(replaces) = 32),
    sets BLOB CHECK (length(sets) = 32),
    answer TEXT NOT NULL CHECK (answer IN ('taken', 'conflict', 'refused', 'open', 'abandoned')),
    -- Whether whoever made it knows what became of it.
    told INTEGER NOT NULL CHECK (told IN (0, 1)),
    signed_at_block INTEGER NOT NULL,
    -- The block in which it was first seen to be over.
    closed_at_block INTEGER,
    -- The operation and its signature; the store does not read it.
    message TEXT NOT NULL,
    CHECK ((replaces IS NULL) = (sets IS NULL)),
    UNIQUE (chain_id, account, user_op_hash)
) STRICT;

CREATE INDEX operations_in_order ON operations (chain_id, account, position);
