//! The instance that is meant by what was typed: its id, address, description or a label.

use super::instance_if_there;
use crate::domain::{Instance, InstanceFilter, InstanceId, Labels, Page, Result, labels_from};
use crate::service::{Actor, Service};

/// The most that are listed to choose from.
const CHOICES: usize = 10;
/// The longest text that is looked for, in bytes.
const LONGEST: usize = 255;

/// What a text means to somebody.
pub enum Place {
    /// This instance.
    One(Box<Instance>),
    /// The instance with this id, which they do not see.
    Unseen(InstanceId),
    /// None, or one of these and perhaps more; with what is wrong.
    Unclear(&'static str, Vec<Instance>),
}

impl Place {
    /// Looks among the instances that somebody sees.
    ///
    /// # Errors
    /// `Unavailable` where the store does not answer.
    pub async fn of(service: &Service, actor: &Actor, typed: &str) -> Result<Self> {
        let text = typed.trim();
        if text.is_empty() {
            return Ok(Self::Unclear("must be chosen", Vec::new()));
        }
        if let Ok(id) = text.parse().map(InstanceId) {
            let found = instance_if_there(service, actor, id).await?;
            return Ok(found.map_or(Self::Unseen(id), |it| Self::One(Box::new(it))));
        }
        let mut found = meant(service, actor, text).await?;
        found.truncate(CHOICES);
        Ok(match found.len() {
            0 => Self::Unclear(
                "is none that you see: type an address, a description, a label such as env=prod, or an id",
                found,
            ),
            1 => Self::One(Box::new(found.remove(0))),
            _ => Self::Unclear("can be more than one: choose below, or type more", found),
        })
    }
}

/// What a text can mean: the first way of reading it that finds anything counts.
async fn meant(service: &Service, actor: &Actor, text: &str) -> Result<Vec<Instance>> {
    if text.len() > LONGEST || text.contains('\0') {
        return Ok(Vec::new());
    }
    let (host, port) = host_and_port(text);
    let ways = [
        by(|it| it.ip = Some(host.to_owned())),
        by(|it| it.labels = label(text)),
        by(|it| it.tag = Some(text.to_owned())),
        by(|it| it.q = Some(text.to_owned())),
    ];
    for filter in ways
        .into_iter()
        .filter(|it| *it != InstanceFilter::default())
    {
        let mut found = service.instances(actor, &filter, Page::default()).await?;
        if filter.ip.is_some() {
            found.retain(|it| port.is_none_or(|port| it.port == port));
        }
        // As with `ssh host`: the usual port, where something listens there.
        let same = |it: &Instance| it.address().eq_ignore_ascii_case(text);
        if found.iter().any(same) {
            found.retain(same);
        }
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

fn by(narrow: impl FnOnce(&mut InstanceFilter)) -> InstanceFilter {
    let mut filter = InstanceFilter::default();
    narrow(&mut filter);
    filter
}

fn label(text: &str) -> Labels {
    labels_from(text.split(',')).unwrap_or_default()
}

/// `host`, `host:port`, `[host]` or `[host]:port`.
fn host_and_port(text: &str) -> (&str, Option<u16>) {
    let parted = match text.strip_prefix('[') {
        Some(rest) => rest.split_once(']').and_then(|(host, rest)| match rest {
            "" => Some((host, None)),
            _ => Some((host, Some(rest.strip_prefix(':')?.parse().ok()?))),
        }),
        None => text
            .rsplit_once(':')
            .filter(|(host, _)| !host.contains(':'))
            .and_then(|(host, port)| Some((host, Some(port.parse().ok()?)))),
    };
    parted.unwrap_or((text, None))
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn an_address_is_read_as_ssh_and_known_hosts_write_it() {
        assert_eq!(host_and_port("web-1"), ("web-1", None));
        assert_eq!(host_and_port("web-1:2222"), ("web-1", Some(2222)));
        assert_eq!(host_and_port("2001:db8::1"), ("2001:db8::1", None));
        assert_eq!(host_and_port("[2001:db8::1]:22"), ("2001:db8::1", Some(22)));
        assert_eq!(host_and_port("[2001:db8::1]"), ("2001:db8::1", None));
        assert_eq!(host_and_port("[web"), ("[web", None));
        assert_eq!(host_and_port("web:many"), ("web:many", None));
    }
}
