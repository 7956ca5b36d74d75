-- The trees that operations put on chain, as far as they are remembered. Whoever reads one computes its root, so that
-- an altered one is none that the chain knows.
CREATE TABLE trees (
    -- The newest has the highest.
    position INTEGER PRIMARY KEY,
    chain_id INTEGER NOT NULL,
    account BLOB NOT NULL CHECK (length(account) = 20),
    root BLOB NOT NULL CHECK (length(root) = 32),
    -- The leaves' hashes in order, 32 bytes each.
    leaves BLOB NOT NULL CHECK (length(leaves) % 32 = 0),
    -- The root that the operation expects to replace.
    replaces BLOB NOT NULL CHECK (length(replaces) = 32),
    user_op_hash BLOB CHECK (length(user_op_hash) = 32),
    -- The signed operation, to be sent again.
    operation TEXT NOT NULL,
    UNIQUE (chain_id, account, root)
) STRICT;

CREATE INDEX trees_in_order ON trees (chain_id, account, position);
