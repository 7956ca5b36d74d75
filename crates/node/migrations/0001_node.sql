-- Whose database this is: one row.
CREATE TABLE node (
    network BLOB NOT NULL,
    node INTEGER NOT NULL
);

-- A key, bound to its owner when it was made.
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY NOT NULL,
    public_key BLOB NOT NULL,
    owner BLOB NOT NULL,
    permissions TEXT,
    -- 1 where the owner signed the permissions' hash.
    permissions_signed INTEGER NOT NULL,
    -- This node's share, sealed.
    share BLOB NOT NULL,
    -- Every node's signature over the key's birth rounds.
    confirmations BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE INDEX keys_by_owner ON keys (owner);

-- Under which Ed25519 keys signatures may be asked for.
CREATE TABLE ephemeral_keys (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    public_key BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, public_key)
);

-- Each nonce that stood in a request, bound to the first such request.
CREATE TABLE used_nonces (
    nonce BLOB PRIMARY KEY NOT NULL,
    request BLOB NOT NULL,
    expires_at INTEGER NOT NULL
);
