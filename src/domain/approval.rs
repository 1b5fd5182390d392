use super::word::word;
use super::{Hop, Instance, Place, Scope, validate};

/// Where the approval of a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalState {
    /// Nobody has decided yet: the task waits.
    Waiting,
    /// A second person let it run.
    Approved,
    /// A second person did not let it run.
    Refused,
    /// Nobody decided in time.
    Expired,
    /// Its end was asked for before anybody decided.
    Withdrawn,
}

word! {
    ApprovalState {
        Waiting => "waiting",
        Approved => "approved",
        Refused => "refused",
        Expired => "expired",
        Withdrawn => "withdrawn",
    }
}

/// The second person that a task needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    /// Where it stands.
    pub state: ApprovalState,
    /// When nobody can approve it any more, Unix seconds.
    pub expires: i64,
    /// The way to the machine that it was posted for, as [`way_text`]: it runs on no other.
    pub address: String,
    /// Who decided.
    pub by: Option<String>,
    /// When that was.
    pub at: Option<i64>,
    /// What they said.
    pub comment: String,
}

/// What a second person decides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApprovalDecision {
    /// It may run.
    Approve,
    /// It may not.
    Refuse,
}

word! {
    ApprovalDecision {
        Approve => "approve",
        Refuse => "refuse",
    }
}

/// What somebody says to a task that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApprovalVerdict {
    /// Whether it runs.
    pub decision: ApprovalDecision,
    /// Why.
    pub comment: String,
}

/// The longest comment, in characters.
const COMMENT_MAX: usize = 1_000;

/// A comment on a decision: as a tag, of up to 1,000 characters.
///
/// # Errors
/// The sentence for the caller.
pub fn comment(text: &str) -> Result<(), String> {
    validate::tag(text)?;
    if text.chars().count() > COMMENT_MAX {
        return Err(format!("must have at most {COMMENT_MAX} characters"));
    }
    Ok(())
}

/// The way to a machine as a person reads it: its address, then each jump, with the user that is
/// logged in as there where it is not the task's own. Two ways with the same text lead to the same
/// machine.
pub fn way_text(way: &[Hop]) -> String {
    let mut text = String::new();
    let mut user = None;
    for hop in way {
        if !text.is_empty() {
            text.push_str(" through ");
        }
        if let Some(user) = user {
            text.push_str(user);
            text.push('@');
        }
        text.push_str(&hop.instance.address());
        user = hop.instance.jump_user.as_deref();
    }
    text
}

/// What needs a second person, beside the instances that say so themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ApprovalRules {
    required: Scope,
    expire: i64,
}

impl ApprovalRules {
    /// Logins that need one (none where there are no rules), and how many seconds somebody has to
    /// decide.
    pub fn new(required: Scope, expire: i64) -> Self {
        Self { required, expire }
    }

    /// How many seconds somebody has to decide.
    pub fn expire(&self) -> i64 {
        self.expire
    }

    /// Whether a login there needs a second person.
    pub fn need(&self, login: &str, instance: &Instance) -> bool {
        let required = !self.required.is_everything();
        instance.approval || (required && self.required.allows(login, instance.into()))
    }

    /// Whether the instance itself is what makes logins there need one, by its own word, its id or
    /// its labels.
    pub fn guard(&self, instance: &Instance) -> bool {
        instance.approval || self.required.marks(instance.into())
    }

    /// Whether a change makes logins need nobody that needed somebody before, or leaves the machine
    /// to be declared again without that.
    pub fn loosened(&self, old: &Instance, new: &Instance) -> bool {
        let (then, now) = (Place::from(old), Place::from(new));
        (old.approval && !new.approval)
            || self.required.loses(then, now)
            || (self.guard(old) && !new.is_same_machine(old))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Health, InstanceId, InstanceState, Labels, Mode};

    fn instance(ip: &str, labels: &[(&str, &str)], approval: bool) -> Instance {
        let label = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        Instance {
            id: InstanceId(1),
            ip: ip.into(),
            tag: String::new(),
            state: InstanceState::Active,
            port: 22,
            jump: None,
            jump_user: None,
            mode: Mode::Attached,
            labels: labels.iter().map(label).collect::<Labels>(),
            identity: None,
            approval,
            host_key: None,
            shown_key: None,
            host_key_revoked: false,
            health: Health::default(),
            version: 1,
        }
    }

    fn rules(rules: &[&str]) -> ApprovalRules {
        let required = Scope::parse(rules.iter().copied()).unwrap();
        ApprovalRules::new(required, 60)
    }

    #[test]
    fn logins_need_a_second_person_where_a_rule_or_the_instance_says_so() {
        let plain = instance("h", &[], false);
        let prod = instance("h", &[("env", "prod")], false);
        let both = rules(&["root@*", "*@env=prod"]);
        assert!(both.need("root", &plain) && !both.need("ann", &plain));
        assert!(both.need("ann", &prod));
        assert!(!rules(&[]).need("root", &prod));
        assert!(rules(&[]).need("ann", &instance("h", &[], true)));
    }

    #[test]
    fn what_frees_logins_of_it_is_known_for_that() {
        let (none, both) = (rules(&[]), rules(&["root@*", "*@env=prod"]));
        let prod = instance("h", &[("env", "prod")], false);
        let plain = instance("h", &[], false);
        assert!(both.loosened(&prod, &plain) && !both.loosened(&plain, &prod));
        assert!(both.loosened(&prod, &instance("other", &[("env", "prod")], false)));
        assert!(!both.loosened(&plain, &instance("other", &[], false)));
        let asks = instance("h", &[], true);
        assert!(none.loosened(&asks, &plain) && !none.loosened(&plain, &asks));
        assert!(none.loosened(&asks, &instance("other", &[], true)));
        assert!(!none.loosened(
            &asks,
            &Instance {
                tag: "t".into(),
                ..asks.clone()
            }
        ));
    }

    #[test]
    fn a_way_tells_its_jumps_and_who_jumps() {
        let hop = |instance| Hop {
            instance,
            revoked: Vec::new(),
        };
        let inner = Instance {
            jump_user: Some("relay".into()),
            port: 2222,
            ..instance("10.0.0.1", &[], false)
        };
        let way = [hop(inner), hop(instance("gate", &[], false))];
        assert_eq!(way_text(&way), "[10.0.0.1]:2222 through relay@gate");
    }
}
