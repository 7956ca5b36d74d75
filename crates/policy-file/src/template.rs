//! A policy file to start from.

use std::fmt::Write as _;

use alloy_dyn_abi::DynSolType;
use alloy_json_abi::{Function, Param};
use alloy_primitives::Address;

/// A commented policy file in TOML that allows one function of one contract, with a rule for each argument that can have
/// one; without a function, a transfer of a token. Without a contract it has to be filled in before the file can be read.
pub fn template(contract: Option<Address>, function: Option<&Function>) -> String {
    let contract = contract.map_or("0x…".to_owned(), |contract| contract.to_string());
    let transfer = Function::parse("transfer(address to, uint256 amount)").ok();
    let function = function.or(transfer.as_ref());
    let signature = function.map(declaration).unwrap_or_default();
    let mut rules = String::new();
    for (place, param) in function.map(|it| it.inputs.as_slice()).unwrap_or_default().iter().enumerate() {
        rule(&mut rules, place, param);
    }
    format!(
        r#"# What a session may do. Every field but [[allow]] can be left out.

# The last day, in UTC; or a time, "2026-12-31T18:00:00Z". Likewise `from`; `for = "7 days"` counts from the grant.
for = "7 days"

# Counted by the nodes of a signing network before they sign. The chain counts nothing.
[limits]
uses = 100              # operations in all
rate = "10 per day"     # operations in each window of time
# value = "1 ether"     # the chain's coin that all of them send
# gas = "0.05 ether"    # what their gas may cost
# per_day = {{ value = "0.1 ether", gas = "0.01 ether" }} # each day; likewise per_hour, per_week
# paymaster = "required"

# Tokens, whose names are units in rules and stand for their addresses. `decimals` are needed where nobody asks the token.
[tokens]
# USDC = "0x…"
# DAI = {{ address = "0x…", decimals = 18 }}

# A function that may be called; write [[allow]] again for another one.
[[allow]]
contract = "{contract}"
function = "{signature}"
# Every rule has to hold: == != < <= > >= and a value, as "amount <= 25 USDC".
rules = [
{rules}]
# value = "0.1 ether"   # the most that each call sends; nothing unless given
# totals = ["amount <= 500 USDC"] # of all calls together; counted by the nodes
# per_day = ["amount <= 50 USDC"] # of all calls of each day (UTC); likewise per_hour, per_week
"#
    )
}

/// The function as the file has it, with the names of its arguments.
fn declaration(function: &Function) -> String {
    let params: Vec<_> = function.inputs.iter().map(declared).collect();
    format!("{}({})", function.name, params.join(", "))
}

fn declared(param: &Param) -> String {
    let ty = match param.ty.strip_prefix("tuple") {
        Some(lengths) => {
            let components: Vec<_> = param.components.iter().map(declared).collect();
            format!("({}){lengths}", components.join(", "))
        }
        None => param.ty.clone(),
    };
    format!("{ty} {}", param.name).trim_end().to_owned()
}

/// A line for one argument, which is left open: only its owner knows the value.
fn rule(lines: &mut String, place: usize, param: &Param) {
    let Ok(ty) = DynSolType::parse(&param.selector_type()) else { return };
    let name = if param.name.is_empty() { place.to_string() } else { param.name.clone() };
    let example = match ty {
        DynSolType::Uint(_) => "<= 1000",
        DynSolType::Int(_) => "== -1",
        DynSolType::Bool => "== true",
        DynSolType::Address => "== 0x2222222222222222222222222222222222222222",
        DynSolType::FixedBytes(_) => "== 0x…",
        other => {
            let reason = "is more than one word, or has no fixed place";
            let _ = writeln!(lines, "    # {name}: {other} {reason}");
            return;
        }
    };
    let _ = writeln!(lines, "    # \"{name} {example}\",");
}
