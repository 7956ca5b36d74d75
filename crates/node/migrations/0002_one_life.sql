-- Bans that nodes have signed: other nodes' own, to be given back to them and to keep the pair apart, and those that
-- this node has signed before its database was restored. They prove nothing against the accused.
CREATE TABLE signed_bans (
    key_id TEXT NOT NULL REFERENCES shares (key_id),
    maker INTEGER NOT NULL,
    accused INTEGER NOT NULL,
    signature BLOB NOT NULL,
    PRIMARY KEY (key_id, maker, accused)
);

-- Nodes that the operator has given up for lost when this database was restored: they count as bad.
CREATE TABLE lost_nodes (node INTEGER PRIMARY KEY NOT NULL);
