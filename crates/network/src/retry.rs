//! When something is asked for again, and where.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::connection::{Call, Connection};
use crate::gateways::Round;
use crate::{NetworkError, SigningNetwork};

/// Who is told of each error after which a call is made again.
#[derive(Clone)]
pub(crate) struct RetryListener(pub(crate) Arc<dyn Fn(&NetworkError) + Send + Sync>);

impl fmt::Debug for RetryListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RetryListener")
    }
}

/// Pauses that double up to a longest one.
#[derive(Debug)]
pub(crate) struct Pauses {
    next: Duration,
}

const SHORTEST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

impl Default for Pauses {
    fn default() -> Self {
        Self { next: SHORTEST }
    }
}

impl Pauses {
    /// The next pause: between a half and the whole of it, so that clients which lost the same gateway come back one after
    /// the other.
    pub(crate) fn draw(&mut self) -> Duration {
        let whole = self.next;
        self.next = (whole * 2).min(LONGEST);
        let random = getrandom::u32().unwrap_or(u32::MAX);
        whole / 2 + (whole / 2).mul_f64(f64::from(random) / f64::from(u32::MAX))
    }
}

/// The time that a call has.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    deadline: Duration,
    until: Instant,
}

impl Window {
    pub(crate) fn new(deadline: Duration) -> Self {
        Self { deadline, until: Instant::now() + deadline }
    }

    /// What a gateway may use of it while another one of so many could be asked.
    pub(crate) fn part(&self, gateways: usize) -> Duration {
        self.deadline / u32::try_from(gateways + 1).unwrap_or(u32::MAX)
    }
}

impl SigningNetwork {
    /// Takes a step at one gateway after another until one does better than to fail by itself, within the deadline.
    pub(crate) async fn anywhere<T, S>(
        &self,
        deadline: Duration,
        call: Call<'_>,
        step: impl Fn(Connection) -> S,
    ) -> Result<T, NetworkError>
    where
        S: Future<Output = Result<T, NetworkError>>,
    {
        self.once_around(Window::new(deadline), call, &step).await
    }

    /// Takes a step, which asks for a challenge of its own, until it succeeds or fails for good: at each gateway at once, and
    /// around again after a pause. At the deadline an earlier error says more than that it is late.
    pub(crate) async fn again_and_again<T, S>(
        &self,
        window: Window,
        call: Call<'_>,
        step: impl Fn(Connection) -> S,
    ) -> Result<T, NetworkError>
    where
        S: Future<Output = Result<T, NetworkError>>,
    {
        let mut pauses = Pauses::default();
        let mut last_error = None;
        loop {
            let error = match self.once_around(window, call, &step).await {
                Err(error) if error.is_transient() || error.needs_new_challenge() => error,
                done => return done,
            };
            let pause = pauses.draw();
            if Instant::now() + pause >= window.until {
                return Err(error.or(last_error));
            }
            self.tell(&error);
            last_error = Some(error.or(last_error));
            tokio::time::sleep(pause).await;
        }
    }

    async fn once_around<T, S>(
        &self,
        window: Window,
        call: Call<'_>,
        step: &impl Fn(Connection) -> S,
    ) -> Result<T, NetworkError>
    where
        S: Future<Output = Result<T, NetworkError>>,
    {
        let mut round = self.gateways.round();
        let mut last_error = None;
        loop {
            let error = match self.at_next(&mut round, window, call, step).await {
                Ok(done) => return Ok(done),
                Err(error) => error,
            };
            let is_over = round.is_over() || !error.is_of_gateway() || Instant::now() >= window.until;
            if is_over {
                return Err(error.or(last_error));
            }
            self.tell(&error);
            last_error = Some(error.or(last_error));
        }
    }

    /// Takes a step at the next gateway that takes a connection. While others are left it has a part of the time only: one
    /// that hangs says nothing of it.
    pub(crate) async fn at_next<T, S>(
        &self,
        round: &mut Round<'_>,
        window: Window,
        call: Call<'_>,
        step: &impl Fn(Connection) -> S,
    ) -> Result<T, NetworkError>
    where
        S: Future<Output = Result<T, NetworkError>>,
    {
        let late = |gateway, after| move |_| NetworkError::Deadline { gateway, after };
        let connecting = tokio::time::timeout_at(window.until, round.connect(call)).await;
        let (place, connection) = connecting.map_err(late(self.gateways.first_name(), window.deadline))??;
        let after = if round.is_over() { window.deadline } else { window.part(self.gateways.urls().len()) };
        let until = window.until.min(Instant::now() + after);
        let done = tokio::time::timeout_at(until, step(connection)).await;
        let done = done.unwrap_or_else(|elapsed| Err(late(self.gateways.name(place), after)(elapsed)));
        self.gateways.note(place, !matches!(&done, Err(error) if error.is_of_gateway()));
        done
    }

    fn tell(&self, error: &NetworkError) {
        tracing::debug!(%error, "asking again");
        if let Some(RetryListener(listener)) = &self.retry_listener {
            listener(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        let mut pauses = Pauses::default();
        for whole in [50, 100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let pause = pauses.draw();
            assert!(whole / 2 <= pause && pause <= whole, "{pause:?} of {whole:?}");
        }
    }
}
