//! Complete searches of small networks, and the mutants that they must find (network rules, part 4).

mod explore;
mod journal;
mod quorums;
mod walk;
mod world;
