//! The core's dependencies build with the Rust version that the core names.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its files has failed")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;

/// The packages that are built for `package` with these features, as `name version`.
fn built_for(package: &str, features: &str) -> BTreeSet<String> {
    let arguments =
        ["tree", "--locked", "--package", package, "--no-default-features", "--features", features];
    let text = cargo(
        &[&arguments[..], &["--edges", "normal,build", "--prefix", "none", "--format", "{p}"]].concat(),
    );
    let name_and_version = |line: &str| -> Option<String> {
        let (name, rest) = line.split_once(" v")?;
        Some(format!("{name} {}", rest.split(' ').next()?))
    };
    text.lines().filter_map(name_and_version).collect()
}

/// Name, version and least Rust version of everything in the lock.
fn packages() -> Vec<(String, Option<[u32; 3]>)> {
    let metadata: Value =
        serde_json::from_str(&cargo(&["metadata", "--locked", "--format-version", "1"])).unwrap();
    let read = |package: &Value| {
        let name = format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap());
        (name, package["rust_version"].as_str().map(version))
    };
    metadata["packages"].as_array().unwrap().iter().map(read).collect()
}

fn version(text: &str) -> [u32; 3] {
    let mut parts = text.split('.').map(|part| part.parse().unwrap());
    std::array::from_fn(|_| parts.next().unwrap_or(0))
}

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn no_dependency_of_the_core_needs_a_later_rust_than_the_core() {
    let packages = packages();
    let rust_version = |name: &str| {
        let named = packages.iter().find(|(package, _)| package.split(' ').next() == Some(name));
        named.and_then(|(_, version)| *version).unwrap()
    };
    let most = rust_version("quorate-core");
    for outer in ["quorate-ffi", "quorate-device"] {
        assert_eq!(rust_version(outer), most, "{outer}");
    }
    for features in ["", "alloc"] {
        let built = built_for("quorate-core", features);
        assert!(built.len() > 10, "{built:?}");
        for (package, version) in packages.iter().filter(|(package, _)| built.contains(package)) {
            let fits = version.is_none_or(|version| version <= most);
            assert!(fits, "{package} needs Rust {version:?}, the core (features: {features:?}) {most:?}");
        }
    }
}
