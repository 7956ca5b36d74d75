//! `quorate policy new`.

use std::path::{Path, PathBuf};

use alloy_json_abi::{Function, JsonAbi};
use alloy_primitives::Address;
use quorate_core::IntoFunction as _;
use quorate_policy_file::{Format, PolicyFile, template};
use serde::Serialize;

use super::file::drawn;
use crate::exit::Failure;
use crate::new_file::{Readers, write_new};
use crate::offline::{Output, arguments};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The file to write, which must not be there yet; stdout without one.
    file: Option<PathBuf>,
    /// The contract to call.
    #[arg(long, value_parser = arguments::address)]
    contract: Option<Address>,
    /// The contract's ABI: a JSON file that is one, or has one under "abi", as compilers write it.
    #[arg(long, requires = "function")]
    abi: Option<PathBuf>,
    /// The function to allow: its name in the ABI, or its signature.
    #[arg(long)]
    function: Option<String>,
    #[command(flatten)]
    output: Output,
}

#[derive(Serialize)]
struct Written<'a> {
    file: Option<&'a Path>,
    text: &'a str,
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let function = match (&arguments.abi, &arguments.function) {
        (Some(abi), Some(name)) => Some(function_of(abi, name)?),
        (None, Some(signature)) => Some(function(signature)?),
        (_, None) => None,
    };
    let text = template(arguments.contract, function.as_ref());
    // The contract is to be filled in, and everything else is right as it is.
    let filled_in = template(Some(Address::repeat_byte(1)), function.as_ref());
    if let Err(mistakes) = PolicyFile::parse("the new file", &filled_in, Format::Toml) {
        return Err(Failure::bad_input(drawn(&mistakes, &std::io::stderr())).drawn().into());
    }
    let file = arguments.file.as_deref();
    if let Some(path) = file {
        write_new(path, &text, Readers::Everyone)?;
    }
    arguments.output.write(&Written { file, text: &text }, |_| match file {
        Some(path) => format!("wrote {}", path.display()),
        None => text.trim_end().to_owned(),
    })
}

fn function(signature: &str) -> Result<Function, Failure> {
    let refused = |error| Failure::bad_input(format!("--function {signature}: {error}"));
    signature.into_function().map_err(refused)
}

/// The only function of this name or signature in an ABI.
fn function_of(path: &Path, name: &str) -> Result<Function, Failure> {
    let shown = path.display();
    let refused = |error: &dyn std::fmt::Display| Failure::bad_input(format!("{shown}: {error}"));
    let text = std::fs::read_to_string(path).map_err(|error| refused(&error))?;
    let mut json: serde_json::Value = serde_json::from_str(&text).map_err(|error| refused(&error))?;
    if let Some(abi) = json.get_mut("abi") {
        json = abi.take();
    }
    let abi: JsonAbi = serde_json::from_value(json).map_err(|error| refused(&format!("no ABI: {error}")))?;
    let is_meant = |function: &&Function| function.name == name || function.signature() == name;
    let mut meant = abi.functions().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some(function), None) => Ok(function.clone()),
        (None, _) => Err(refused(&format!("no function {name}; there are {}", signatures(abi.functions())))),
        (Some(_), Some(_)) => {
            let of_name = abi.functions().filter(is_meant);
            Err(refused(&format!("several functions {name}; give one of {}", signatures(of_name))))
        }
    }
}

fn signatures<'a>(functions: impl Iterator<Item = &'a Function>) -> String {
    functions.map(Function::signature).collect::<Vec<_>>().join(", ")
}
