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
    percentile(values, 50)
}

/// The least one that so many percent of the others are below of; not a number where there is none.
pub(crate) fn percentile(values: impl IntoIterator<Item = f64>, percent: usize) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() * percent / 100).copied().unwrap_or(f64::NAN)
}

/// A median, and between which numbers the one of all that could be measured lies, with 95 % confidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Interval {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Interval {
    /// The interval of the sign test, which supposes nothing of how the values are spread: each of them is below the
    /// true median as often as it is above. Fewer than six values bound nothing.
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let cut = cut(values.len());
        let bound = |from_end: bool| {
            let index = cut.checked_sub(1)?;
            if from_end { values.iter().rev().nth(index) } else { values.get(index) }.copied()
        };
        Self {
            low: bound(false).unwrap_or(f64::NEG_INFINITY),
            median: median(values.iter().copied()),
            high: bound(true).unwrap_or(f64::INFINITY),
        }
    }
}

/// Which of so many sorted values, counted from 1 and from either end, bounds the interval; 0 for none. Fewer than this
/// number of them are on one side of the median with a chance of 2.5 % at most.
fn cut(values: usize) -> usize {
    let count = i32::try_from(values).unwrap_or(i32::MAX);
    let mut chance = 0.5_f64.powi(count);
    let mut sum = 0.0;
    for below in 0..values {
        sum += chance;
        if sum > 0.025 {
            return below;
        }
        let [below, values] = [below, values].map(|number| u32::try_from(number).map_or(f64::NAN, f64::from));
        chance *= (values - below) / (below + 1.0);
    }
    0
}

/// Seconds for one of `times` runs.
fn time<T>(work: &mut impl FnMut() -> T, times: u32) -> f64 {
    let start = Instant::now();
    (0..times).for_each(|_| drop(black_box(work())));
    start.elapsed().as_secs_f64() / f64::from(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values = || (0..1000).map(f64::from);
        assert_eq!([50, 99].map(|percent| percentile(values(), percent)), [500.0, 990.0]);
        assert_eq!(percentile([7.0], 99), 7.0);
        assert!(percentile([], 99).is_nan());
    }

    /// The numbers of the usual tables of the sign test.
    #[test]
    fn the_interval_of_a_median() {
        assert_eq!([5, 6, 10, 20, 50, 100].map(cut), [0, 1, 2, 6, 18, 40]);
        let interval = Interval::of((1..=10).map(f64::from));
        assert_eq!(interval, Interval { low: 2.0, median: 6.0, high: 9.0 });
        assert_eq!(Interval::of([1.0]).low, f64::NEG_INFINITY);
    }
}
