//! Policies by the names and positions of a function's arguments.

mod argument;
mod builder;
mod function;
mod text;

pub use self::{
    argument::{ArgIndex, ArgumentError, ArgumentWord},
    builder::Arguments,
    function::{FunctionError, IntoFunction},
};
