-- Whose database this is: one row.
CREATE TABLE node (
    network BLOB NOT NULL,
    node INTEGER NOT NULL,
    -- Names this node's journal: whoever has read another one reads this from the start.
    journal BLOB NOT NULL
);

-- This node's share of a key that all nodes have confirmed. It signs nothing until the key is bound to an owner.
CREATE TABLE shares (
    key_id TEXT PRIMARY KEY NOT NULL,
    public_key BLOB NOT NULL,
    -- Sealed.
    share BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

-- Whose a key is: bound once, for good.
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY NOT NULL REFERENCES shares (key_id),
    -- The request that it was bound by, whole, and its hash: asked again, it is answered with this key.
    request BLOB NOT NULL,
    request_hash BLOB NOT NULL UNIQUE,
    owner BLOB NOT NULL,
    permissions TEXT,
    -- 1 where the owner signed the permissions' hash.
    permissions_signed INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE INDEX keys_by_owner ON keys (owner);

-- Nodes' signatures over whose a key is, as the client is given them: this node's own, and others', with which it can
-- show a node that was away.
CREATE TABLE attestations (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    node INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (key_id, node)
);

-- A key that not every node has confirmed yet.
CREATE TABLE pending_keys (
    key_id TEXT PRIMARY KEY NOT NULL,
    -- Which making it comes of.
    making BLOB NOT NULL UNIQUE,
    -- The unconfirmed share, sealed.
    share BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

-- Nodes' signatures over what a key's birth came to; all of them for a key that is pending no more.
CREATE TABLE confirmations (
    key_id TEXT NOT NULL,
    node INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (key_id, node)
);

-- Nodes that cheated this one, and the keys that are never again used together with them.
CREATE TABLE bans (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    peer INTEGER NOT NULL,
    reason TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (key_id, peer)
);

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

-- The most that was asked for under each nonce of the user operations that a key signs: 32 bytes for each counter of
-- its limits.
CREATE TABLE charges (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    nonce BLOB NOT NULL,
    amounts BLOB NOT NULL,
    PRIMARY KEY (key_id, nonce)
) WITHOUT ROWID;

-- What the charges of a key come to, for each counter, and for each window where it has windows.
CREATE TABLE totals (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    counter INTEGER NOT NULL,
    time_window INTEGER NOT NULL,
    total BLOB NOT NULL,
    PRIMARY KEY (key_id, counter, time_window)
) WITHOUT ROWID;

-- The signed requests that raised a charge, in the order in which this node came to know them.
CREATE TABLE journal (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    place INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    charged_at INTEGER NOT NULL,
    request BLOB NOT NULL,
    PRIMARY KEY (key_id, place)
) WITHOUT ROWID;

-- How far the journals of other nodes were read.
CREATE TABLE bookmarks (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    peer INTEGER NOT NULL,
    journal BLOB NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (key_id, peer)
);
