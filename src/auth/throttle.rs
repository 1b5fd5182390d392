use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Wrong passwords for one name from one network that cost nothing but argon2.
const FREE: u32 = 20;
/// As [`FREE`], where that name is under attack and that network strange to it.
const FREE_TO_STRANGERS: u32 = 3;
/// Wrong passwords for one name from strange networks, all together, past which it is under attack.
const ATTACKED: u32 = 100;
/// Wrong passwords from one network for names that are strange there, all together, that cost
/// nothing.
const FREE_TO_NETWORK: u32 = 200;
/// The longest that a guesser is held off.
const LONGEST: Duration = Duration::from_secs(60);
/// After so long without a wrong password all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(15 * 60);
/// How long a network is no stranger to a name that logged in from there.
const FAMILIAR: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Names, networks, and pairs of them that are remembered, of each kind.
const REMEMBERED: usize = 10_000;

/// Slows down guessing, by name and by network, so that nobody can lock out somebody else:
///
/// - Each pair of name and network has tries of its own, and then waits longer and longer.
/// - Who guesses at many names from one network waits, too; and once a name is guessed at from many
///   networks, each strange network has fewer tries for it.
/// - A network from which a name has logged in lately has its own tries for it, whatever others do.
///
/// Logins that were right before never come here. A try counts from its begin, so that many at once
/// are no more than many in turn.
#[derive(Default)]
pub struct Throttle {
    known: Mutex<Known>,
}

/// The hash of a name: what somebody typed may be as long as a request.
type Name = [u8; 32];

#[derive(Default)]
struct Known {
    pairs: Counts<(IpAddr, Name)>,
    names: Counts<Name>,
    networks: Counts<IpAddr>,
    familiar: Counts<(IpAddr, Name)>,
}

impl Throttle {
    /// Counts a try; where it may not be made, says how long to wait.
    ///
    /// # Errors
    /// How long this one has still to wait.
    pub fn admit(&self, from: IpAddr, user: &str, now: Instant) -> Result<(), Duration> {
        let (network, name) = pair(from, user);
        let mut it = self.lock();
        let familiar = it.familiar.get(&(network, name), FAMILIAR, now).is_some();
        let attacked = it.names.count(&name, now) >= ATTACKED;
        let free = match attacked && !familiar {
            true => FREE_TO_STRANGERS,
            false => FREE,
        };
        let mut wait = it.pairs.wait(&(network, name), free, now);
        if !familiar {
            wait = wait.max(it.networks.wait(&network, FREE_TO_NETWORK, now));
        }
        if wait > Duration::ZERO {
            return Err(wait);
        }
        it.pairs.add((network, name), now);
        if !familiar {
            it.names.add(name, now);
            it.networks.add(network, now);
        }
        Ok(())
    }

    /// A try that was admitted was not made after all.
    pub fn spare(&self, from: IpAddr, user: &str, now: Instant) {
        let (network, name) = pair(from, user);
        let mut it = self.lock();
        it.pairs.take(&(network, name));
        if it.familiar.get(&(network, name), FAMILIAR, now).is_none() {
            it.names.take(&name);
            it.networks.take(&network);
        }
    }

    /// A try that was admitted was right: the network is familiar to the name from now on.
    pub fn succeeded(&self, from: IpAddr, user: &str, now: Instant) {
        self.spare(from, user, now);
        let pair = pair(from, user);
        let mut it = self.lock();
        it.pairs.seen.remove(&pair);
        it.familiar.add(pair, now);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How often something was seen, and when last. It holds [`REMEMBERED`] at most.
struct Counts<K> {
    seen: HashMap<K, Seen>,
}

#[derive(Clone, Copy)]
struct Seen {
    count: u32,
    last: Instant,
}

impl<K> Default for Counts<K> {
    fn default() -> Self {
        Self {
            seen: HashMap::new(),
        }
    }
}

impl<K: Hash + Eq> Counts<K> {
    fn get(&self, key: &K, forgotten: Duration, now: Instant) -> Option<Seen> {
        let seen = self.seen.get(key).copied();
        seen.filter(|seen| now.duration_since(seen.last) < forgotten)
    }

    fn count(&self, key: &K, now: Instant) -> u32 {
        self.get(key, FORGOTTEN, now).map_or(0, |seen| seen.count)
    }

    /// How long to wait from now on, where so many are free.
    fn wait(&self, key: &K, free: u32, now: Instant) -> Duration {
        let Some(seen) = self.get(key, FORGOTTEN, now) else {
            return Duration::ZERO;
        };
        let wait = match seen.count.checked_sub(free) {
            None | Some(0) => Duration::ZERO,
            Some(over) => LONGEST.min(Duration::from_secs(1 << over.min(16) >> 1)),
        };
        wait.saturating_sub(now.duration_since(seen.last))
    }

    fn add(&mut self, key: K, now: Instant) {
        if self.seen.len() >= REMEMBERED && !self.seen.contains_key(&key) {
            self.make_room();
        }
        let count = self.count(&key, now).saturating_add(1);
        self.seen.insert(key, Seen { count, last: now });
    }

    /// Counts one less, which was the last.
    fn take(&mut self, key: &K) {
        if let Some(seen) = self.seen.get_mut(key) {
            seen.count = seen.count.saturating_sub(1);
        }
    }

    /// Forgets the quarter that was not seen for longest: that it is so much at once makes it cheap.
    fn make_room(&mut self) {
        let mut times: Vec<Instant> = self.seen.values().map(|seen| seen.last).collect();
        let (_, until, _) = times.select_nth_unstable(REMEMBERED / 4);
        let until = *until;
        self.seen.retain(|_, seen| seen.last > until);
    }
}

fn pair(from: IpAddr, user: &str) -> (IpAddr, Name) {
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

    fn address(number: u32) -> IpAddr {
        std::net::Ipv4Addr::from(0x0a00_0000 + number).into()
    }

    /// So many tries that are all admitted, each when it may be.
    fn guess(
        throttle: &Throttle,
        from: IpAddr,
        user: &str,
        times: u32,
        mut now: Instant,
    ) -> Instant {
        for _ in 0..times {
            if let Err(wait) = throttle.admit(from, user, now) {
                now += wait;
                assert_eq!(throttle.admit(from, user, now), Ok(()));
            }
        }
        now
    }

    #[test]
    fn a_guesser_waits_longer_and_longer_and_nobody_else_does() {
        let throttle = Throttle::default();
        let (here, there) = (address(1), address(2));
        let begin = Instant::now();
        let now = guess(&throttle, here, "ann", FREE + 1, begin);
        assert_eq!(now, begin, "these are free");
        assert_eq!(
            throttle.admit(here, "ann", now),
            Err(Duration::from_secs(1))
        );
        let now = guess(&throttle, here, "ann", 20, now);
        assert_eq!(throttle.admit(here, "ann", now), Err(LONGEST));
        assert_eq!(throttle.admit(there, "ann", now), Ok(()));
        assert_eq!(throttle.admit(here, "bob", now), Ok(()));
        throttle.succeeded(here, "ann", now);
        assert_eq!(throttle.admit(here, "ann", now), Ok(()));
        assert_eq!(throttle.admit(here, "ann", now + FORGOTTEN), Ok(()));
    }

    #[test]
    fn a_name_that_many_networks_guess_at_keeps_its_tries_where_it_has_logged_in() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let home = address(1);
        assert_eq!(throttle.admit(home, "ann", now), Ok(()));
        throttle.succeeded(home, "ann", now);
        for number in 0..1000 {
            let _ = throttle.admit(address(2 + number), "ann", now);
        }
        // Strangers have few tries by now, and nobody has none.
        let stranger = address(5000);
        assert_eq!(
            guess(&throttle, stranger, "ann", FREE_TO_STRANGERS + 1, now),
            now
        );
        assert!(throttle.admit(stranger, "ann", now).is_err());
        assert_eq!(throttle.admit(stranger, "bob", now), Ok(()));
        assert_eq!(guess(&throttle, home, "ann", FREE + 1, now), now);
    }

    #[test]
    fn who_guesses_at_many_names_waits_and_whoever_logged_in_from_there_does_not() {
        let throttle = Throttle::default();
        let now = Instant::now();
        let here = address(1);
        throttle.succeeded(here, "ann", now);
        for number in 0..=FREE_TO_NETWORK {
            assert_eq!(throttle.admit(here, &number.to_string(), now), Ok(()));
        }
        assert!(throttle.admit(here, "another", now).is_err());
        assert_eq!(throttle.admit(here, "ann", now), Ok(()));
        assert_eq!(throttle.admit(address(2), "another", now), Ok(()));
    }

    #[test]
    fn a_try_that_was_not_made_costs_nothing() {
        let throttle = Throttle::default();
        let now = Instant::now();
        for _ in 0..1000 {
            assert_eq!(throttle.admit(address(1), "ann", now), Ok(()));
            throttle.spare(address(1), "ann", now);
        }
    }

    #[test]
    fn memory_has_a_bound_and_what_goes_on_is_remembered() {
        let throttle = Throttle::default();
        let mut now = Instant::now();
        for number in 0..50_000 {
            now += Duration::from_millis(1);
            let _ = throttle.admit(address(number), &number.to_string(), now);
            if number % 100 == 0 {
                let _ = throttle.admit(address(1), "ann", now);
            }
        }
        assert!(throttle.admit(address(1), "ann", now).is_err());
        let known = throttle.known.lock().unwrap();
        assert!(known.pairs.seen.len() <= REMEMBERED);
        assert!(known.names.seen.len() <= REMEMBERED);
        assert!(known.networks.seen.len() <= REMEMBERED);
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
