//! Parts of a long run, each with its minutes.

use std::time::Instant;

use anyhow::Context as _;

pub(crate) fn stage<T>(name: &str, run: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    println!("== {name}");
    let start = Instant::now();
    let done = run().with_context(|| format!("stage `{name}` failed"))?;
    println!("== {name}: {:.1} min", start.elapsed().as_secs_f64() / 60.0);
    Ok(done)
}
