-- Whose database this is: one row.
CREATE TABLE node (
    network BLOB NOT NULL,
    node INTEGER NOT NULL,
    -- Names what this node's peers read of it: whoever has read another one reads this from the start.
    journal BLOB NOT NULL,
    -- 1 once it was restored from a backup: it signs nothing, since limits, bans and assignments may be missing.
    quarantined INTEGER NOT NULL,
    -- How often the database was opened; the file beside it knows, too.
    starts INTEGER NOT NULL,
    -- Nothing, sealed: another seal key does not open it.
    seal_check BLOB NOT NULL
);

-- This node's share of a key that all nodes have confirmed. It signs nothing until the key is assigned to an owner.
CREATE TABLE shares (
    key_id TEXT PRIMARY KEY NOT NULL,
    public_key BLOB NOT NULL,
    -- Sealed.
    share BLOB NOT NULL,
    created_at INTEGER NOT NULL
);

-- Whose a key is: assigned once, for good.
CREATE TABLE keys (
    key_id TEXT PRIMARY KEY NOT NULL REFERENCES shares (key_id),
    -- The request that it was assigned by, whole, and its hash: asked again, it is answered with this key.
    request BLOB NOT NULL,
    request_hash BLOB NOT NULL UNIQUE,
    -- An address; for a contract, with its chain: eip155:<chain id>:<address>.
    owner TEXT NOT NULL,
    permissions TEXT,
    -- 1 where the owner signed the permissions' hash.
    permissions_signed INTEGER NOT NULL,
    -- The Ed25519 key that it was assigned with, and until when that may ask for signatures.
    ephemeral BLOB NOT NULL,
    ephemeral_until INTEGER NOT NULL,
    created_at INTEGER NOT NULL
);

CREATE INDEX keys_by_owner ON keys (owner);
CREATE INDEX keys_by_age ON keys (created_at);

-- What nodes attest to of whose a key is, as the client is given them: this node's own, and others', with which it can
-- show a node that was away.
CREATE TABLE attestations (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    node INTEGER NOT NULL,
    -- By the node's own clock.
    assigned_at INTEGER NOT NULL,
    ephemeral_until INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (key_id, node)
);

-- A key that nobody can have any more, since nodes gave it to different requests; it is free no more, whatever it was.
CREATE TABLE dead_keys (
    key_id TEXT PRIMARY KEY NOT NULL REFERENCES shares (key_id),
    created_at INTEGER NOT NULL
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

-- What the owner of a key has said about it since it was assigned: a set that only grows.
CREATE TABLE statements (
    -- The order in which this node came to know them, in which other nodes read them.
    place INTEGER PRIMARY KEY AUTOINCREMENT NOT NULL,
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    -- Made of what is said alone.
    id BLOB NOT NULL,
    says BLOB NOT NULL,
    -- The owner's request, whole.
    request BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (key_id, id)
);

-- The place that the next row of a key's ledger is given: it never goes back, so that no place is used twice.
CREATE TABLE ledgers (
    key_id TEXT PRIMARY KEY NOT NULL REFERENCES keys (key_id),
    next_place INTEGER NOT NULL
);

-- What the operations of a key have come to, each with the signed request that shows it, in the order in which this node
-- came to know them.
CREATE TABLE ledger_rows (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    place INTEGER NOT NULL,
    -- Nonce, amounts by dimension, time, origin.
    row BLOB NOT NULL,
    request BLOB NOT NULL,
    PRIMARY KEY (key_id, place)
);

-- How far the ledgers of other nodes were read.
CREATE TABLE bookmarks (
    key_id TEXT NOT NULL REFERENCES keys (key_id),
    peer INTEGER NOT NULL,
    journal BLOB NOT NULL,
    place INTEGER NOT NULL,
    PRIMARY KEY (key_id, peer)
);

-- Nodes' signatures that the contract that owns a key has confirmed a statement about it; none for another owner.
CREATE TABLE vouchers (
    key_id TEXT NOT NULL,
    -- The statement's.
    id BLOB NOT NULL,
    node INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (key_id, id, node),
    FOREIGN KEY (key_id, id) REFERENCES statements (key_id, id)
);
