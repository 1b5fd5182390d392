use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords for one name from one network that cost nothing but argon2.
const FREE: u32 = 20;
/// The longest that a guesser is held off.
const LONGEST: Duration = Duration::from_secs(60);
/// After so long without a wrong password all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// Names and networks that are remembered.
const REMEMBERED: usize = 10_000;

/// Slows down guessing, for each pair of network and user name, so that a stranger cannot lock out
/// somebody who logs in from elsewhere. Logins that were right before never come here.
#[derive(Default)]
pub struct Throttle {
    // By the hash of the name: what somebody typed may be as long as a request.
    failures: Mutex<HashMap<(IpAddr, [u8; 32]), Failures>>,
}

struct Failures {
    count: u32,
    last: Instant,
}

impl Failures {
    fn wait(&self) -> Duration {
        match self.count.checked_sub(FREE) {
            None | Some(0) => Duration::ZERO,
            Some(over) => LONGEST.min(Duration::from_secs(1 << over.min(16) >> 1)),
        }
    }
}

impl Throttle {
    /// How long this pair has still to wait before its next try; nothing where it may try now.
    pub fn wait(&self, from: IpAddr, user: &str, now: Instant) -> Option<Duration> {
        let failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let failed = failures.get(&pair(from, user))?;
        let over = failed.last + failed.wait();
        (over > now).then(|| over - now)
    }

    /// Notes a wrong password.
    pub fn failed(&self, from: IpAddr, user: &str, now: Instant) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        if failures.len() >= REMEMBERED {
            failures.retain(|_, f| f.last + FORGOTTEN > now);
        }
        if failures.len() >= REMEMBERED
            && let Some(oldest) = failures
                .iter()
                .min_by_key(|(_, f)| f.last)
                .map(|(pair, _)| *pair)
        {
            failures.remove(&oldest);
        }
        let failed = failures.entry(pair(from, user)).or_insert(Failures {
            count: 0,
            last: now,
        });
        if failed.last + FORGOTTEN <= now {
            failed.count = 0;
        }
        failed.count = failed.count.saturating_add(1);
        failed.last = now;
    }

    /// Forgets the wrong passwords of a pair that got it right.
    pub fn succeeded(&self, from: IpAddr, user: &str) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        failures.remove(&pair(from, user));
    }
}

fn pair(from: IpAddr, user: &str) -> (IpAddr, [u8; 32]) {
    (network(from), Sha256::digest(user.as_bytes()).into())
}

/// An IPv4 address stands for itself, an IPv6 address for its /64, which one customer has.
fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            std::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guesser_waits_longer_and_longer_and_nobody_else_does() {
        let throttle = Throttle::default();
        let (here, there): (IpAddr, IpAddr) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let now = Instant::now();
        for _ in 0..FREE {
            throttle.failed(here, "ann", now);
        }
        assert_eq!(throttle.wait(here, "ann", now), None);
        throttle.failed(here, "ann", now);
        assert_eq!(
            throttle.wait(here, "ann", now),
            Some(Duration::from_secs(1))
        );
        for _ in 0..20 {
            throttle.failed(here, "ann", now);
        }
        assert_eq!(throttle.wait(here, "ann", now), Some(LONGEST));
        assert_eq!(throttle.wait(there, "ann", now), None);
        assert_eq!(throttle.wait(here, "bob", now), None);
        throttle.succeeded(here, "ann");
        assert_eq!(throttle.wait(here, "ann", now), None);
    }

    #[test]
    fn one_customer_has_a_whole_64_of_ipv6() {
        assert_eq!(
            network("2001:db8::1".parse().unwrap()),
            network("2001:db8::ffff:1".parse().unwrap())
        );
        assert_ne!(
            network("2001:db8::1".parse().unwrap()),
            network("2001:db8:0:1::1".parse().unwrap())
        );
        assert_eq!(
            network("::ffff:192.0.2.1".parse().unwrap()),
            network("192.0.2.1".parse().unwrap())
        );
    }
}
