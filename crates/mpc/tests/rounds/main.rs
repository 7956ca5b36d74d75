//! The rounds over a router in memory: they end in keys and signatures when everyone is honest, and in typed
//! errors when somebody is not.

mod keygen;
mod router;
mod share;
mod signing;
