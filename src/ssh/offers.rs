//! What a server offers in its KEXINIT (RFC 4253 section 7.1), and where nothing fits to what we
//! have.

/// The most of one list that a sentence shows, in names.
const SHOWN: usize = 24;

/// One side's algorithms, by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Algorithms {
    pub kex: Vec<String>,
    pub host_key: Vec<String>,
    pub cipher: Vec<String>,
    pub mac: Vec<String>,
}

impl Algorithms {
    /// From the payload of a KEXINIT; a server's lists for its own direction.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        // The message number and the cookie.
        let mut rest = payload.get(17..)?;
        let mut next = || {
            let (length, behind) = rest.split_first_chunk::<4>()?;
            let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
            let list = behind.get(..length)?;
            rest = behind.get(length..)?;
            Some(names(list))
        };
        let (kex, host_key) = (next()?, next()?);
        let (_, cipher) = (next()?, next()?);
        let (_, mac) = (next()?, next()?);
        Some(Self {
            kex,
            host_key,
            cipher,
            mac,
        })
    }

    /// Whether nothing of some kind is in common.
    pub fn nothing_in_common(&self, ours: &Self) -> bool {
        apart(&self.kex, &ours.kex)
            || apart(&self.host_key, &ours.host_key)
            || apart(&self.cipher, &ours.cipher)
            || apart(&self.mac, &ours.mac)
    }

    /// Of the kinds where nothing is in common, or of all where each has something: both lists.
    pub fn compare(&self, ours: &Self) -> String {
        let kinds = [
            ("Key exchange (KexAlgorithms)", &self.kex, &ours.kex),
            (
                "Host key (HostKeyAlgorithms)",
                &self.host_key,
                &ours.host_key,
            ),
            ("Cipher (Ciphers)", &self.cipher, &ours.cipher),
            ("MAC (MACs)", &self.mac, &ours.mac),
        ];
        let mut told: Vec<_> = kinds
            .iter()
            .filter(|(_, theirs, ours)| apart(theirs, ours))
            .collect();
        if told.is_empty() {
            told = kinds.iter().collect();
        }
        let told = told.iter().map(|(kind, theirs, ours)| {
            format!(
                "{kind}: it offers {}; WSEXEC has {}",
                listed(theirs),
                listed(ours)
            )
        });
        told.collect::<Vec<_>>().join(". ")
    }
}

fn apart(theirs: &[String], ours: &[String]) -> bool {
    !theirs.iter().any(|name| ours.contains(name))
}

/// The names of a list, without those that only signal something about the sender.
fn names(list: &[u8]) -> Vec<String> {
    let list = String::from_utf8_lossy(list);
    list.split(',')
        .map(|name| name.chars().filter(char::is_ascii_graphic).take(64))
        .map(String::from_iter)
        .filter(|name| {
            !name.is_empty() && !name.starts_with("ext-info-") && !name.starts_with("kex-strict-")
        })
        .collect()
}

fn listed(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).cloned().collect::<Vec<_>>();
    match (shown.is_empty(), names.len() > SHOWN) {
        (true, _) => "none".into(),
        (false, true) => format!("{} and more", shown.join(", ")),
        (false, false) => shown.join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kexinit(lists: [&str; 10]) -> Vec<u8> {
        let mut payload = vec![20; 17];
        for list in lists {
            payload.extend_from_slice(&(list.len() as u32).to_be_bytes());
            payload.extend_from_slice(list.as_bytes());
        }
        payload
    }

    #[test]
    fn only_the_kinds_without_anything_in_common_are_told() {
        let payload = kexinit([
            "a,b,kex-strict-s-v00@openssh.com",
            "k",
            "c1",
            "c2",
            "m1",
            "m2,m3",
            "",
            "",
            "",
            "",
        ]);
        let theirs = Algorithms::parse(&payload).unwrap();
        let list = |name: &str| vec![name.to_owned()];
        let ours = Algorithms {
            kex: list("b"),
            host_key: list("k"),
            cipher: list("c2"),
            mac: list("m1"),
        };
        assert_eq!(
            theirs.compare(&ours),
            "MAC (MACs): it offers m2, m3; WSEXEC has m1"
        );
        for cut in 0..payload.len() - 16 {
            let _ = Algorithms::parse(&payload[..cut]);
        }
    }
}
