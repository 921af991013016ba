//! When a request is sent again, and after how long.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};
use uuid::Uuid;

use crate::error::Error;

/// How often a request that failed is sent again.
///
/// A request is sent again where [`Error::is_transient`] says that it can succeed later. Before the n-th repeat the client
/// waits for the time that the service asks for (`RetryInfo`), plus a random time that keeps clients apart: between half
/// and the whole of `first_delay * 2^(n-1)`, and at most `longest_delay`. No repeat begins after the deadline. At most one
/// attempt of a request is under way at any time.
///
/// Repeats are safe: each change carries a `request_id`, so that the service makes the change once and answers every repeat
/// with the first outcome. The creation of an API key has no such field and is repeated only where it was never sent, and so is the
/// claim of a rotation. Streams are not repeated: backup, restore, and the rotation of keys. A [`Watch`](crate::Watch) continues by
/// itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// How often a request is sent in all; 1, or 0: once. `None`: as often as its deadline allows.
    pub attempts: Option<u32>,
    /// The longest pause before the first repeat, without the time that the service asks for.
    pub first_delay: Duration,
    /// The longest pause before any repeat, without the time that the service asks for.
    pub longest_delay: Duration,
}

impl RetryPolicy {
    /// Each request is sent once.
    pub const NEVER: Self =
        Self { attempts: Some(1), first_delay: Duration::ZERO, longest_delay: Duration::ZERO };

    /// Whether the policy allows another attempt after so many.
    pub(crate) fn allows_more(&self, made: u32) -> bool {
        self.attempts.is_none_or(|attempts| made < attempts)
    }

    /// The pause before the next attempt, after `made` attempts; `None` where there is no next one. `spread` is from 0 to
    /// 1.
    fn pause(&self, made: u32, error: &Error, spread: f64) -> Option<Duration> {
        (self.allows_more(made) && error.is_transient()).then(|| self.backoff(made, Some(error), spread))
    }

    /// The pause before a watch is opened again, after `made` attempts that brought nothing.
    pub(crate) fn pause_of_watch(&self, made: u32, error: Option<&Error>) -> Duration {
        self.backoff(made, error, spread())
    }

    fn backoff(&self, made: u32, error: Option<&Error>, spread: f64) -> Duration {
        let doubled = 2_u32.saturating_pow(made.saturating_sub(1));
        let backoff = self.first_delay.saturating_mul(doubled).min(self.longest_delay);
        let own = backoff.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0);
        own.saturating_add(error.and_then(Error::retry_delay).unwrap_or_default())
    }
}

/// As many attempts as the deadline allows, with pauses from 0.1 to 5 seconds.
impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: None,
            first_delay: Duration::from_millis(100),
            longest_delay: Duration::from_secs(5),
        }
    }
}

/// The attempts of one request, and the time that is left for them.
pub(crate) struct Attempts {
    allowed: Duration,
    deadline: Instant,
    policy: RetryPolicy,
    made: u32,
}

impl Attempts {
    pub(crate) fn new(allowed: Duration, policy: RetryPolicy) -> Self {
        let now = Instant::now();
        let deadline = now.checked_add(allowed).unwrap_or(now + Duration::from_secs(365 * 24 * 60 * 60));
        Self { allowed, deadline, policy, made: 0 }
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(Instant::now())
    }

    /// The outcome of an attempt, which ends at the deadline.
    pub(crate) async fn within<T>(
        &self,
        attempt: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        match timeout_at(self.deadline, attempt).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Error::no_answer_within(self.allowed)),
        }
    }

    /// Counts a failed attempt, and waits for the time of the next one. The error comes back where there is no next one.
    pub(crate) async fn again(&mut self, error: Error) -> Result<(), Error> {
        self.made = self.made.saturating_add(1);
        match self.policy.pause(self.made, &error, spread()) {
            Some(pause) if Instant::now() + pause < self.deadline => {
                sleep(pause).await;
                Ok(())
            }
            _ => Err(error),
        }
    }
}

/// A random number from 0 to 1.
fn spread() -> f64 {
    // The last 62 bits of a random UUID are random (RFC 9562, 5.4); 32 of them are enough.
    let [.., a, b, c, d] = Uuid::new_v4().into_bytes();
    f64::from(u32::from_be_bytes([a, b, c, d])) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use std::future::{pending, ready};
    use tonic::{Code, Status};
    use tonic_types::{ErrorDetails, StatusExt};

    const ALLOWED: Duration = Duration::from_secs(30);

    /// Makes attempts as a client does.
    async fn within<T, Attempt>(
        allowed: Duration,
        policy: RetryPolicy,
        mut attempt: impl FnMut(Duration) -> Attempt,
    ) -> Result<T, Error>
    where
        Attempt: Future<Output = Result<T, Error>>,
    {
        let mut attempts = Attempts::new(allowed, policy);
        loop {
            match attempts.within(attempt(attempts.left())).await {
                Ok(reply) => return Ok(reply),
                Err(error) => attempts.again(error).await?,
            }
        }
    }

    fn unavailable() -> Error {
        Status::unavailable("not now").into()
    }

    fn later(code: Code, reason: &str, delay: Duration) -> Error {
        let mut details = ErrorDetails::with_retry_info(Some(delay));
        details.set_error_info(reason, "strongroom", []);
        Status::with_error_details(code, "not now", details).into()
    }

    /// Makes attempts of which each fails so; says after how many milliseconds each was made, and the outcome.
    async fn attempts(policy: RetryPolicy, error: impl Fn() -> Error) -> (Vec<u128>, Error) {
        let (start, made) = (Instant::now(), RefCell::new(Vec::new()));
        let outcome: Result<(), Error> = within(ALLOWED, policy, |_| {
            made.borrow_mut().push(start.elapsed().as_millis());
            ready(Err(error()))
        })
        .await;
        (made.into_inner(), outcome.unwrap_err())
    }

    #[test]
    fn the_pause_doubles_up_to_the_longest_and_is_spread_over_its_second_half() {
        let policy = RetryPolicy::default();
        let pause = |made, spread| policy.pause(made, &unavailable(), spread).unwrap().as_millis();
        assert_eq!([1, 2, 3, 4].map(|made| pause(made, 1.0)), [100, 200, 400, 800]);
        assert_eq!([1, 2, 3, 4].map(|made| pause(made, 0.0)), [50, 100, 200, 400]);
        assert_eq!([7, 40, 99].map(|made| pause(made, 1.0)), [5000, 5000, 5000]);
        assert_eq!(pause(1, f64::NAN.max(0.5)), 75);
    }

    #[test]
    fn the_delay_that_the_service_asks_for_comes_on_top() {
        let error = later(Code::ResourceExhausted, "TOO_MANY_REQUESTS", Duration::from_secs(3));
        let pause = RetryPolicy::default().pause(1, &error, 1.0);
        assert_eq!(pause, Some(Duration::from_millis(3100)));
    }

    #[test]
    fn the_spread_is_from_0_to_1() {
        let drawn: Vec<_> = (0..100).map(|_| spread()).collect();
        assert!(drawn.iter().all(|spread| (0.0..=1.0).contains(spread)), "{drawn:?}");
        assert!(drawn.iter().any(|spread| *spread < 0.5) && drawn.iter().any(|spread| *spread > 0.5));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_succeeds_is_the_last() {
        let made = RefCell::new(0);
        let outcome = within(ALLOWED, RetryPolicy::default(), |_| {
            *made.borrow_mut() += 1;
            ready(if *made.borrow() < 3 { Err(unavailable()) } else { Ok("reply") })
        })
        .await;
        assert_eq!((outcome.unwrap(), made.into_inner()), ("reply", 3));
    }

    #[tokio::test(start_paused = true)]
    async fn the_attempts_are_counted_and_spread() {
        let five = RetryPolicy { attempts: Some(5), ..RetryPolicy::default() };
        let (made, error) = attempts(five, unavailable).await;
        assert_eq!((made.len(), error.code()), (5, Code::Unavailable));
        let pauses: Vec<_> = made.windows(2).map(|pair| pair[1] - pair[0]).collect();
        for (pause, longest) in pauses.iter().zip([100, 200, 400, 800]) {
            assert!((longest / 2..=longest + 1).contains(pause), "{pauses:?}");
        }
        for policy in [RetryPolicy::NEVER, RetryPolicy { attempts: Some(0), ..RetryPolicy::default() }] {
            assert_eq!(attempts(policy, unavailable).await.0, [0]);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_time_is_used_unless_the_policy_says_otherwise() {
        let start = Instant::now();
        let (made, error) = attempts(RetryPolicy::default(), unavailable).await;
        assert_eq!(error.code(), Code::Unavailable);
        // 0.1 to 3.2 seconds twice as long each time, then 5 seconds at most.
        assert!((10..=17).contains(&made.len()), "{made:?}");
        assert!(start.elapsed() > ALLOWED - Duration::from_secs(5), "{made:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_attempt_is_made_behind_the_deadline() {
        let slow = || later(Code::Unavailable, "STORE_UNAVAILABLE", Duration::from_secs(14));
        let (made, error) = attempts(RetryPolicy::default(), slow).await;
        assert_eq!((made.len(), error.code()), (3, Code::Unavailable), "{made:?}");
        // A pause that would end behind the deadline is not begun.
        let start = Instant::now();
        let never = || later(Code::Unavailable, "STORE_UNAVAILABLE", Duration::from_secs(3600));
        assert_eq!(attempts(RetryPolicy::default(), never).await.0, [0]);
        assert_eq!(start.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_without_an_answer_ends_at_the_deadline_and_knows_how_long_it_has() {
        let given = RefCell::new(Vec::new());
        let start = Instant::now();
        let outcome: Result<(), Error> = within(ALLOWED, RetryPolicy::default(), |left| {
            given.borrow_mut().push(left);
            async {
                sleep(Duration::from_secs(12)).await;
                if start.elapsed() > Duration::from_secs(20) { pending().await } else { Err(unavailable()) }
            }
        })
        .await;
        assert_eq!(outcome.unwrap_err().code(), Code::DeadlineExceeded);
        assert_eq!(start.elapsed(), ALLOWED);
        let given = given.into_inner();
        assert!(given.len() == 2 && given[0] == ALLOWED && given[1] < Duration::from_secs(18), "{given:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn only_errors_that_can_pass_are_tried_again() {
        let repeated = [
            later(Code::Unavailable, "STORE_UNAVAILABLE", Duration::ZERO),
            later(Code::ResourceExhausted, "TOO_MANY_REQUESTS", Duration::ZERO),
            later(Code::Aborted, "CONTENDED", Duration::ZERO),
            later(Code::ResourceExhausted, "A_LATER_REASON", Duration::from_secs(1)),
            Status::resource_exhausted("").into(),
        ];
        for error in repeated {
            assert!(RetryPolicy::default().pause(1, &error, 0.0).is_some(), "{error:?}");
        }
        let mut too_large = ErrorDetails::with_quota_failure_violation("message", "at most 1 MiB");
        too_large.set_error_info("MESSAGE_TOO_LARGE", "strongroom", []);
        let too_large = Status::with_error_details(Code::ResourceExhausted, "", too_large);
        let mut quota = ErrorDetails::with_retry_info(Some(Duration::from_secs(60)));
        quota.set_error_info("QUOTA_EXCEEDED", "strongroom", []);
        for status in [
            too_large,
            Status::with_error_details(Code::ResourceExhausted, "", quota),
            Status::not_found(""),
            Status::aborted(""),
            Status::permission_denied(""),
            Status::deadline_exceeded(""),
            Status::internal(""),
            Status::data_loss(""),
        ] {
            let error = Error::from(status);
            assert!(RetryPolicy::default().pause(1, &error, 0.0).is_none(), "{error:?}");
        }
    }
}
