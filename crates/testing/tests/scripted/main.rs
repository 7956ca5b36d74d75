//! Each rule and each knob of the scripted chain, through its transports.

mod blocks;
mod bundlers;
mod faults;
mod nodes;
mod rules;
mod support;
