//! One wake-up at the time something has to be done next.
//!
//! Invariants: a wait costs one wake-up, however long it is (the runtime's own timer wakes once for each
//! level of its wheel that a deadline passes, three times for half a minute); time while the phone
//! sleeps counts, as it does for [`Clock::elapsed_ms`](crate::clock::Clock), so what became due then is
//! done as soon as it is awake.

use std::io;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// A timer of the kernel's, used again for every wait. It is read as a pipe is, which is tokio's one way
/// to wait for a file that needs no `unsafe`.
#[derive(Debug)]
pub(super) struct Alarm(Receiver);

impl Alarm {
    /// Must be called inside the runtime.
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Boottime, flags)?;
        Ok(Self(Receiver::from_owned_fd_unchecked(timer)?))
    }

    /// Returns after `wait`; a wait given up is forgotten with the next one.
    pub(super) async fn after(&self, wait: Duration) -> io::Result<()> {
        let once = Itimerspec {
            it_interval: Timespec::default(),
            // All zeros would disarm it.
            it_value: wait
                .max(Duration::from_millis(1))
                .try_into()
                .map_err(io::Error::other)?,
        };
        timerfd_settime(&self.0, TimerfdTimerFlags::empty(), &once)?;
        let mut count = [0; 8];
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut count) {
                // A readiness left from an earlier wait: setting the timer took back what there was to read.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(|_| ()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    #[allow(clippy::disallowed_methods, reason = "what is tested is a wait")]
    fn now() -> Instant {
        Instant::now()
    }

    fn run(test: impl Future<Output = ()>) {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(test);
    }

    #[test]
    fn it_rings_after_the_wait_and_not_before() {
        run(async {
            let alarm = Alarm::new().expect("a timer");
            for wait in [Duration::ZERO, Duration::from_millis(60)] {
                let began = now();
                alarm.after(wait).await.expect("a wait");
                assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
            }
        });
    }

    /// The session gives a wait up whenever a message comes; what rang unheard must not end the next one.
    #[test]
    fn a_wait_given_up_does_not_shorten_the_next() {
        run(async {
            let alarm = Alarm::new().expect("a timer");
            let short = Duration::from_millis(5);
            {
                let mut given_up = std::pin::pin!(alarm.after(short));
                assert!(futures::poll!(&mut given_up).is_pending());
            }
            // Rings here, with nobody waiting, and the runtime sees it.
            tokio::time::sleep(4 * short).await;
            let began = now();
            let wait = Duration::from_millis(100);
            alarm.after(wait).await.expect("a wait");
            assert!(began.elapsed() >= wait, "{:?}", began.elapsed());
        });
    }
}
