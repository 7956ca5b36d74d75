use std::hint::black_box;
use std::time::{Duration, Instant};

/// How often two things are timed, in turns.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    rounds: usize,
    /// About how long each of them runs in a round.
    turn: Duration,
}

impl Plan {
    /// A long run, or a `quick` one that only shows that it works.
    pub(crate) const fn new(quick: bool) -> Self {
        if quick {
            Self { rounds: 5, turn: Duration::from_millis(2) }
        } else {
            Self { rounds: 101, turn: Duration::from_millis(10) }
        }
    }

    /// How many times as long `subject` takes as `reference`: the median of the rounds' ratios, since what else the
    /// machine does meets both of a round alike.
    pub(crate) fn ratio<S, R>(self, mut subject: impl FnMut() -> S, mut reference: impl FnMut() -> R) -> f64 {
        let (subject_times, reference_times) = (self.times(&mut subject), self.times(&mut reference));
        let ratios = (0..self.rounds)
            .map(|_| time(&mut subject, subject_times) / time(&mut reference, reference_times));
        median(ratios)
    }

    /// How often it runs in a turn.
    fn times<T>(self, work: &mut impl FnMut() -> T) -> u32 {
        let mut times = 1;
        loop {
            let start = Instant::now();
            (0..times).for_each(|_| drop(black_box(work())));
            if start.elapsed() >= self.turn {
                return times;
            }
            times *= 2;
        }
    }
}

/// The middle one; not a number where there is none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Seconds for one of `times` runs.
fn time<T>(work: &mut impl FnMut() -> T, times: u32) -> f64 {
    let start = Instant::now();
    (0..times).for_each(|_| drop(black_box(work())));
    start.elapsed().as_secs_f64() / f64::from(times)
}
