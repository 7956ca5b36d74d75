//! What programs have used of the machine: seconds on a core, and memory.

use std::fs;

use anyhow::Context as _;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

/// Seconds that this thread has been on a core.
pub(super) fn cpu_of_this_thread() -> anyhow::Result<f64> {
    cpu_of(UsageWho::RUSAGE_THREAD)
}

/// Seconds that all threads of this program have been on a core.
pub(super) fn cpu_of_this_program() -> anyhow::Result<f64> {
    cpu_of(UsageWho::RUSAGE_SELF)
}

fn cpu_of(who: UsageWho) -> anyhow::Result<f64> {
    let usage = getrusage(who)?;
    let seconds = |time: TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// How often a second Linux counts a program's time for other programs.
const TICKS: f64 = 100.0;

/// Seconds that all threads of a program have been on a core.
pub(super) fn cpu_of_program(pid: u32) -> anyhow::Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    Ok(ticks(&stat).context("/proc/<pid>/stat has no times")? / TICKS)
}

/// `utime` and `stime`, fields 14 and 15 (proc(5)). The second field is the program's name in parentheses, which may hold
/// anything; the third is the first one after it.
fn ticks(stat: &str) -> Option<f64> {
    let (_, from_third) = stat.rsplit_once(')')?;
    let mut times = from_third.split_whitespace().skip(11).map(|field| field.parse::<f64>().ok());
    Some(times.next()?? + times.next()??)
}

/// MiB of memory that a program has for itself and that stand in no file.
pub(super) fn anonymous_mebibytes(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB")).context("no RssAnon")?;
    Ok(kibibytes.parse::<f64>()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_stand_behind_the_name_whatever_it_is() {
        let stat = "7 (a) b 9) S 1 7 7 0 -1 4194560 2101 0 3 0 120 35 0 0 20 0 3 0 91 0 0";
        assert_eq!(ticks(stat), Some(155.0));
        assert_eq!(ticks("7 (short) S 1"), None);
    }

    #[test]
    fn a_program_s_own_time_is_the_same_by_both_ways() {
        let began = cpu_of_this_program().unwrap();
        while cpu_of_this_program().unwrap() < began + 0.1 {}
        let (own, other) = (cpu_of_this_program().unwrap(), cpu_of_program(std::process::id()).unwrap());
        assert!((own - other).abs() < 0.1, "{own} and {other}");
        assert!(anonymous_mebibytes(std::process::id()).unwrap() > 0.1);
    }
}
