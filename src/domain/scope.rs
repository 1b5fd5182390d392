//! What somebody is narrowed to: which instances, and which login users there.

use super::{Instance, InstanceId, Labels, wildcard};
use std::fmt;

/// The most rules of a scope.
const RULES: usize = 64;
/// The longest rule, in bytes.
const RULE_MAX: usize = 512;

/// What a user, a token or an identity is narrowed to: a list of rules `LOGIN@INSTANCES`, where a
/// `!` before a rule forbids. Something is in the scope where a rule allows it (or none allows
/// anything, as in an empty scope) and none forbids it.
///
/// LOGIN is a user to log in as. INSTANCES is `#3` for the instance with that id, `env=prod` for
/// those with that label, anything else for those with that address. In each of them `*` stands for
/// any text, `?` for any character, and ASCII letters for either case: `deploy@web-*`,
/// `*@env=test`, `!root@*`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Rule {
    forbids: bool,
    login: String,
    on: Selector,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Selector {
    Id(InstanceId),
    Label(String, String),
    Host(String),
}

/// What a scope looks at in an instance.
#[derive(Debug, Clone, Copy)]
pub struct Place<'a> {
    /// Its id.
    pub id: InstanceId,
    /// Its address; none where the instance was removed.
    pub ip: Option<&'a str>,
    /// Its labels.
    pub labels: &'a Labels,
}

impl<'a> From<&'a Instance> for Place<'a> {
    fn from(instance: &'a Instance) -> Self {
        Self {
            id: instance.id,
            ip: Some(&instance.ip),
            labels: &instance.labels,
        }
    }
}

impl Scope {
    /// Reads rules.
    ///
    /// # Errors
    /// The sentence for the caller, naming the rule.
    pub fn parse<'a>(rules: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let rules = rules
            .into_iter()
            .map(Rule::parse)
            .collect::<Result<Vec<_>, _>>()?;
        if rules.len() > RULES {
            return Err(format!("must have at most {RULES} rules"));
        }
        Ok(Self { rules })
    }

    /// Its rules as text, in order.
    pub fn rules(&self) -> Vec<String> {
        self.rules.iter().map(ToString::to_string).collect()
    }

    /// Whether it narrows nothing.
    pub fn is_everything(&self) -> bool {
        self.rules.is_empty()
    }

    /// The first rule that names what no rule of `wider` allows. What `wider` forbids is not looked
    /// at: where both have to hold, it stays forbidden.
    pub fn first_beyond(&self, wider: &Self) -> Option<String> {
        let allows = |scope: &Self| scope.rules.iter().any(|rule| !rule.forbids);
        if !allows(wider) {
            return None;
        }
        let covered = |rule: &&Rule| wider.rules.iter().any(|by| by.covers(rule));
        let mut own = self.rules.iter().filter(|rule| !rule.forbids);
        own.find(|rule| !covered(rule)).map(ToString::to_string)
    }

    /// Whether anything on this instance is in the scope.
    pub fn sees(&self, place: Place) -> bool {
        let mut allowed = self.rules.iter().filter(|rule| !rule.forbids).peekable();
        (allowed.peek().is_none() || allowed.any(|rule| rule.on.selects(place)))
            && !self
                .rules
                .iter()
                .any(|rule| rule.forbids && rule.login == "*" && rule.on.selects(place))
    }

    /// Whether a rule that allows names this instance by its id or its labels.
    pub(super) fn marks(&self, place: Place) -> bool {
        let mut allowed = self.rules.iter().filter(|rule| !rule.forbids);
        allowed.any(|rule| !matches!(rule.on, Selector::Host(_)) && rule.on.selects(place))
    }

    /// Whether anything that a rule says of the one place, it does not say of the other.
    pub(super) fn loses(&self, then: Place, now: Place) -> bool {
        self.rules.iter().any(|rule| {
            let (then, now) = (rule.on.selects(then), rule.on.selects(now));
            if rule.forbids {
                now && !then
            } else {
                then && !now
            }
        })
    }

    /// Whether this login user on this instance is in the scope.
    pub fn allows(&self, login: &str, place: Place) -> bool {
        let hits = |rule: &Rule| wildcard(&rule.login, login) && rule.on.selects(place);
        let mut allowed = self.rules.iter().filter(|rule| !rule.forbids).peekable();
        (allowed.peek().is_none() || allowed.any(hits))
            && !self.rules.iter().any(|rule| rule.forbids && hits(rule))
    }
}

impl fmt::Display for Scope {
    /// The rules, with a blank between them; read back by splitting there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rules().join(" "))
    }
}

impl Rule {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "{text:?} is no rule: write LOGIN@INSTANCES, such as deploy@web-*, *@env=prod or \
                 !root@*"
            )
        };
        let visible = |c: char| c.is_ascii_graphic();
        if text.len() > RULE_MAX || !text.chars().all(visible) {
            return Err(wrong());
        }
        let (forbids, rest) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // A login name may hold an @, an address and a label do not.
        let (login, on) = rest.rsplit_once('@').ok_or_else(wrong)?;
        if login.is_empty() || on.is_empty() || login.contains('!') {
            return Err(wrong());
        }
        let on = match (on.strip_prefix('#'), on.split_once('=')) {
            (Some(id), _) => Selector::Id(InstanceId(id.parse().map_err(|_| wrong())?)),
            (None, Some((key, value))) if !key.is_empty() && !key.contains('*') => {
                Selector::Label(key.to_owned(), value.to_owned())
            }
            (None, Some(_)) => return Err(wrong()),
            (None, None) => Selector::Host(on.to_owned()),
        };
        Ok(Self {
            forbids,
            login: login.to_owned(),
            on,
        })
    }

    /// Whether it allows all that another one allows.
    fn covers(&self, other: &Self) -> bool {
        !self.forbids
            && covers(&self.login, &other.login)
            && match (&self.on, &other.on) {
                (Selector::Host(all), _) if all == "*" => true,
                (Selector::Id(a), Selector::Id(b)) => a == b,
                (Selector::Host(a), Selector::Host(b)) => covers(a, b),
                (Selector::Label(k, a), Selector::Label(l, b)) => k == l && covers(a, b),
                _ => false,
            }
    }
}

/// Whether a pattern fits whatever another one fits: all that it does to what `*` may be is seen
/// with nothing there, and with more there than it has `?`.
fn covers(pattern: &str, other: &str) -> bool {
    let longer = "\u{1}".repeat(RULE_MAX + 1);
    ["", &longer].into_iter().all(|any| {
        let text = other.replace('?', "\u{1}").replace('*', any);
        wildcard(pattern, &text)
    })
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.forbids { "!" } else { "" };
        match &self.on {
            Selector::Id(id) => write!(f, "{sign}{}@#{id}", self.login),
            Selector::Label(key, value) => write!(f, "{sign}{}@{key}={value}", self.login),
            Selector::Host(host) => write!(f, "{sign}{}@{host}", self.login),
        }
    }
}

impl Selector {
    fn selects(&self, place: Place) -> bool {
        match self {
            Self::Id(id) => *id == place.id,
            Self::Label(key, value) => place.labels.get(key).is_some_and(|it| wildcard(value, it)),
            // Whatever it was: an instance that was removed has no address any more.
            Self::Host(host) if host == "*" => true,
            Self::Host(host) => place.ip.is_some_and(|ip| wildcard(host, ip)),
        }
    }
}

/// Several scopes that all have to hold: a user's, and that of the token it came with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scopes(Vec<Scope>);

impl Scopes {
    /// Those of these that narrow anything.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Self {
        let narrow = |scope: &Scope| !scope.is_everything();
        Self(scopes.into_iter().filter(narrow).collect())
    }

    /// Reads what [`Scopes`] are written as.
    ///
    /// # Errors
    /// The sentence that says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scopes = text.split('\n').filter(|line| !line.is_empty());
        let scopes = scopes.map(|line| Scope::parse(line.split(' ')));
        Ok(Self::new(scopes.collect::<Result<Vec<_>, _>>()?))
    }

    /// The rules of each.
    pub fn rules(&self) -> Vec<Vec<String>> {
        self.0.iter().map(Scope::rules).collect()
    }

    /// Whether they narrow nothing.
    pub fn are_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether anything on this instance is in all of them.
    pub fn see(&self, place: Place) -> bool {
        self.0.iter().all(|scope| scope.sees(place))
    }

    /// Whether this login user on this instance is in all of them.
    pub fn allow(&self, login: &str, place: Place) -> bool {
        self.0.iter().all(|scope| scope.allows(login, place))
    }
}

impl fmt::Display for Scopes {
    /// A line each.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<_> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place<'a>(id: i64, ip: &'a str, labels: &'a Labels) -> Place<'a> {
        Place {
            id: InstanceId(id),
            ip: Some(ip),
            labels,
        }
    }

    #[test]
    fn a_scope_allows_what_a_rule_names_and_none_forbids() {
        let labels = Labels::from([("env".into(), "prod".into())]);
        let scope = Scope::parse(["deploy@web-*", "*@env=prod", "*@#7", "!root@*"]).unwrap();
        let nothing = Labels::new();
        let web = place(1, "WEB-1.example", &nothing);
        assert!(scope.allows("deploy", web) && scope.sees(web));
        assert!(!scope.allows("other", web) && !scope.allows("root", web));
        let prod = place(2, "10.0.0.1", &labels);
        assert!(scope.allows("anyone", prod) && !scope.allows("root", prod));
        assert!(scope.allows("x", place(7, "h", &nothing)));
        assert!(!scope.sees(place(8, "h", &nothing)));
        assert_eq!(Scope::parse(scope.to_string().split(' ')).unwrap(), scope);
    }

    #[test]
    fn an_empty_scope_is_everything_and_one_that_only_forbids_is_the_rest() {
        let nothing = Labels::new();
        let any = place(1, "h", &nothing);
        assert!(Scope::default().allows("root", any));
        let rest = Scope::parse(["!root@*", "!*@secret-*"]).unwrap();
        assert!(rest.allows("ann", any) && !rest.allows("root", any));
        assert!(!rest.sees(place(2, "secret-1", &nothing)));
    }

    #[test]
    fn what_is_no_rule_is_refused() {
        for bad in [
            "", "@", "a@", "@b", "deploy", "a b@c", "a@#x", "a@=v", "a@k*=v", "!!a@b", "a\n@b",
        ] {
            assert!(Scope::parse([bad]).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_narrower_scope_names_nothing_that_the_wider_one_does_not_allow() {
        let scope = |rules: &[&str]| Scope::parse(rules.iter().copied()).unwrap();
        let wide = scope(&["deploy@web-*", "*@env=prod", "ann@#3", "!root@*"]);
        for narrow in [
            &["deploy@web-1"][..],
            &["deploy@web-1*", "deploy@WEB-??"],
            &["root@env=prod", "ann@env=prod"],
            &["ann@#3", "!ann@#3"],
            &["!deploy@web-2"],
            &[],
        ] {
            assert_eq!(scope(narrow).first_beyond(&wide), None, "{narrow:?}");
        }
        for beyond in [
            "ann@web-1",
            "deploy@*",
            "deploy@web*",
            "deploy@?eb-1",
            "ann@#4",
            "ann@env=*",
            "ann@env=test",
            "deploy@#1",
            "*@#3",
        ] {
            let found = scope(&["deploy@web-1", beyond]).first_beyond(&wide);
            assert_eq!(found.as_deref(), Some(beyond));
        }
        assert_eq!(scope(&["x@y"]).first_beyond(&scope(&["!root@*"])), None);
    }

    #[test]
    fn all_of_several_scopes_have_to_hold() {
        let nothing = Labels::new();
        let web = place(1, "web-1", &nothing);
        let user = Scope::parse(["*@web-*"]).unwrap();
        let token = Scope::parse(["deploy@*"]).unwrap();
        let both = Scopes::new([user, Scope::default(), token]);
        assert!(both.allow("deploy", web) && !both.allow("ann", web));
        assert_eq!(Scopes::parse(&both.to_string()).unwrap(), both);
    }
}
