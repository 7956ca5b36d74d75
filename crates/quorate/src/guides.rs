//! How things are done, each with an example that runs.

#[doc = include_str!("../docs/guides/first_session.md")]
pub mod first_session {}

#[doc = include_str!("../docs/guides/quick_start.md")]
pub mod quick_start {}

#[doc = include_str!("../docs/guides/policies.md")]
pub mod policies {}

#[doc = include_str!("../docs/guides/sessions.md")]
pub mod sessions {}

#[cfg(feature = "delegation")]
#[doc = include_str!("../docs/guides/delegations.md")]
pub mod delegations {}

#[doc = include_str!("../docs/guides/paymasters.md")]
pub mod paymasters {}

#[doc = include_str!("../docs/guides/running_a_network.md")]
pub mod running_a_network {}

#[doc = include_str!("../docs/guides/hardware_signers.md")]
pub mod hardware_signers {}

#[doc = include_str!("../docs/guides/other_languages.md")]
pub mod other_languages {}

#[doc = include_str!("../docs/guides/security_model.md")]
pub mod security_model {}

#[doc = include_str!("../docs/guides/troubleshooting.md")]
pub mod troubleshooting {}
