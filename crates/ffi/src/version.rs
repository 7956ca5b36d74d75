//! Which version the header and the library are of.

/// The version's first number. Where it is 0, the second says what does not fit together.
pub const QUORATE_VERSION_MAJOR: u32 = 0;
/// The version's second number.
pub const QUORATE_VERSION_MINOR: u32 = 1;
/// The version's third number.
pub const QUORATE_VERSION_PATCH: u32 = 0;
/// The header's version as one number, which grows.
pub const QUORATE_VERSION: u32 =
    QUORATE_VERSION_MAJOR << 16 | QUORATE_VERSION_MINOR << 8 | QUORATE_VERSION_PATCH;

/// The library's version. Where it is not QUORATE_VERSION, the header is another library's.
#[unsafe(no_mangle)]
pub extern "C" fn quorate_version() -> u32 {
    QUORATE_VERSION
}

const _: () = {
    assert!(is(QUORATE_VERSION_MAJOR, env!("CARGO_PKG_VERSION_MAJOR")));
    assert!(is(QUORATE_VERSION_MINOR, env!("CARGO_PKG_VERSION_MINOR")));
    assert!(is(QUORATE_VERSION_PATCH, env!("CARGO_PKG_VERSION_PATCH")));
};

const fn is(number: u32, package: &str) -> bool {
    matches!(u32::from_str_radix(package, 10), Ok(package) if package == number)
}
