use crate::auth::{form_token, same};
use crate::domain::{
    By, ClientCertificate, Error, Grant, Kind, Place, Result, Role, Scopes, Secret, SessionId,
    Task, TokenId, User, UserId, Via,
};
use std::net::IpAddr;

/// Who asks. It can be made only by a login that succeeded (see `login.rs`) and by
/// [`Actor::local`], and every use case takes one: a handler that forgets the gate does not
/// compile.
#[derive(Debug, Clone)]
pub struct Actor {
    name: String,
    role: Role,
    scopes: Scopes,
    /// None for the command line.
    grant: Option<Grant>,
    from: Option<IpAddr>,
    /// When they last proved who they are, Unix seconds; none where each request proves it.
    confirmed: Option<i64>,
    /// What their connection has shown, where that is what they are logged in by.
    certificate: Option<ClientCertificate>,
    /// What the forms of their session carry.
    form_token: Option<Secret>,
}

/// What can be done. The permission table is [`Actor::may`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// See instances.
    ReadInstances,
    /// Declare, change and remove instances.
    ManageInstances,
    /// Approve, replace and revoke host keys.
    ReviewHostKeys,
    /// See tasks and their output.
    ReadTasks,
    /// Post tasks; cancel, amend and remove one's own; check instances.
    RunTasks,
    /// Cancel, amend and remove the tasks of others.
    ManageTasks,
    /// Let the tasks of others run that need a second person.
    ApproveTasks,
    /// Free instances of the need for a second person.
    WaiveApprovals,
    /// See which identities there are.
    ReadIdentities,
    /// Make, change and remove identities.
    ManageIdentities,
    /// See, add, change and remove users; see and end their sessions and tokens.
    ManageUsers,
    /// Read the audit trail.
    ReadAudit,
    /// Read the figures of the server.
    ReadMetrics,
    /// See and change what is one's own: password, sessions, tokens, second factor.
    OwnAccount,
}

impl Action {
    /// Every one, in the order of the table.
    pub const ALL: [Self; 14] = [
        Self::ReadInstances,
        Self::ManageInstances,
        Self::ReviewHostKeys,
        Self::ReadTasks,
        Self::RunTasks,
        Self::ManageTasks,
        Self::ApproveTasks,
        Self::ReadIdentities,
        Self::ManageIdentities,
        Self::ManageUsers,
        Self::ReadAudit,
        Self::WaiveApprovals,
        Self::ReadMetrics,
        Self::OwnAccount,
    ];

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadInstances => "read_instances",
            Self::ManageInstances => "manage_instances",
            Self::ReviewHostKeys => "review_host_keys",
            Self::ReadTasks => "read_tasks",
            Self::RunTasks => "run_tasks",
            Self::ManageTasks => "manage_tasks",
            Self::ApproveTasks => "approve_tasks",
            Self::ReadIdentities => "read_identities",
            Self::ManageIdentities => "manage_identities",
            Self::ManageUsers => "manage_users",
            Self::ReadAudit => "read_audit",
            Self::WaiveApprovals => "waive_approvals",
            Self::ReadMetrics => "read_metrics",
            Self::OwnAccount => "own_account",
        }
    }
}

/// How long who uses a session is taken for whoever proved it, where something dangerous is asked
/// for, in seconds.
const CONFIRMED: i64 = 10 * 60;

impl Actor {
    /// The command line on its own data directory: whoever can write there can do everything.
    pub fn local() -> Self {
        Self {
            name: "local".into(),
            role: Role::Admin,
            scopes: Scopes::default(),
            grant: None,
            from: None,
            confirmed: None,
            certificate: None,
            form_token: None,
        }
    }

    pub(super) fn logged_in(user: &User, via: Via, from: IpAddr) -> Self {
        Self {
            name: user.name.clone(),
            role: user.role,
            scopes: Scopes::new([user.scope.clone()]),
            grant: Some(Grant {
                user: user.id,
                access: user.access,
                via,
            }),
            from: Some(from),
            confirmed: None,
            certificate: None,
            form_token: None,
        }
    }

    /// The same with no more than this role, on no more than these scopes.
    pub(super) fn narrowed(self, role: Role, scopes: Scopes) -> Self {
        Self {
            role: self.role.narrowed(role),
            scopes,
            ..self
        }
    }

    /// The same, for as long as this counts.
    pub(super) fn by_certificate(self, certificate: ClientCertificate) -> Self {
        Self {
            certificate: Some(certificate),
            ..self
        }
    }

    /// What their connection has shown, where that is what they are logged in by.
    pub(super) fn certificate(&self) -> Option<&ClientCertificate> {
        self.certificate.as_ref()
    }

    /// The same in a session with this cookie, proven at this time and not with each request.
    pub(super) fn in_session(self, cookie: &Secret, confirmed: i64) -> Self {
        Self {
            confirmed: Some(confirmed),
            form_token: Some(form_token(cookie)),
            ..self
        }
    }

    /// What the forms of their session carry; none where they use none.
    pub fn form_token(&self) -> Option<&Secret> {
        self.form_token.as_ref()
    }

    /// Whether a form with this token is one of their session.
    pub fn has_sent(&self, token: &str) -> bool {
        let own = self.form_token.as_ref();
        own.is_some_and(|own| same(own.expose(), token))
    }

    /// The login name, for the record and for the pages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What they may do at most.
    pub fn role(&self) -> Role {
        self.role
    }

    /// The user; none for the command line.
    pub fn user(&self) -> Option<UserId> {
        self.grant.map(|grant| grant.user)
    }

    /// The session of the pages that they use, if they do.
    pub fn session(&self) -> Option<SessionId> {
        match self.grant?.via {
            Via::Session(id) => Some(id),
            Via::Local | Via::Password | Via::Token(_) | Via::Certificate => None,
        }
    }

    /// The API token that they use, if they do.
    pub fn token(&self) -> Option<TokenId> {
        match self.grant?.via {
            Via::Token(id) => Some(id),
            Via::Local | Via::Password | Via::Session(_) | Via::Certificate => None,
        }
    }

    /// By what they are let in, where they are.
    pub(super) fn grant(&self) -> Option<Grant> {
        self.grant
    }

    pub(super) fn from(&self) -> Option<IpAddr> {
        self.from
    }

    /// On what: all of them have to hold.
    pub fn scopes(&self) -> &Scopes {
        &self.scopes
    }

    /// What the record says of what they do now.
    pub(super) fn by(&self, now: i64) -> By {
        By {
            name: self.name.clone(),
            grant: self.grant,
            scopes: self.scopes.clone(),
            from: self.from,
            at: now,
        }
    }

    /// The permission table: action by role, matched without a wildcard.
    pub fn may(&self, action: Action) -> bool {
        use Role::{Admin, Operator, Runner, Viewer};
        let roles: &[Role] = match action {
            Action::ReadInstances => &[Admin, Operator, Runner, Viewer],
            Action::ReadTasks => &[Admin, Operator, Runner, Viewer],
            Action::OwnAccount => &[Admin, Operator, Runner, Viewer],
            Action::RunTasks => &Role::RUN_TASKS,
            Action::ManageTasks => &[Admin, Operator],
            Action::ApproveTasks => &[Admin, Operator],
            Action::WaiveApprovals => &[Admin],
            Action::ManageInstances => &[Admin, Operator],
            Action::ReviewHostKeys => &[Admin, Operator],
            Action::ReadIdentities => &[Admin, Operator],
            Action::ManageIdentities => &[Admin],
            Action::ManageUsers => &[Admin],
            Action::ReadAudit => &[Admin],
            Action::ReadMetrics => &[Admin, Operator, Viewer],
        };
        // What has no place on an instance is for those alone whom no scope narrows.
        let global = matches!(
            action,
            Action::ManageIdentities
                | Action::ManageUsers
                | Action::ReadAudit
                | Action::ReadMetrics
        );
        roles.contains(&self.role) && (!global || self.scopes.are_everything())
    }

    /// For what is only shown to who may do it; each use case asks by itself.
    ///
    /// # Errors
    /// `Forbidden`.
    pub fn require(&self, action: Action) -> Result<()> {
        if self.may(action) {
            Ok(())
        } else {
            Err(Error::new(
                Kind::Forbidden,
                "Your role or scope does not allow this.",
            ))
        }
    }

    /// For what is dangerous: as [`Actor::require`], and a session has to have been confirmed just
    /// now.
    pub(super) fn require_confirmed(&self, action: Action, now: i64) -> Result<()> {
        self.require(action)?;
        match self.confirmed {
            // One to come was made before the clock went back, who knows when.
            Some(at) if (now - at).abs() > CONFIRMED => Err(Error::new(
                Kind::Unconfirmed,
                "Confirm who you are first: this is asked again for what is dangerous.",
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// For what makes or changes what its owner is let in with: no token begets another, and none
    /// outlives its revocation by what it has set.
    pub(super) fn require_no_token(&self) -> Result<()> {
        match self.token() {
            None => Ok(()),
            Some(_) => Err(Error::new(
                Kind::Forbidden,
                "An API token may not change what its owner logs in with. Use a password or a session.",
            )),
        }
    }

    /// For what belongs to a user: one's own, or, for who manages users, anybody's. Gives whose it
    /// has to be; none for anybody's.
    pub(super) fn owner(&self) -> Option<UserId> {
        match self.may(Action::ManageUsers) {
            true => None,
            false => self.user(),
        }
    }

    /// For what is done to a task: one's own, or anybody's.
    pub(super) fn require_task(&self, task: &Task) -> Result<()> {
        self.require(self.needed_for(task))
    }

    /// Whether they may cancel, amend and remove a task that they see.
    pub fn may_change(&self, task: &Task) -> bool {
        self.may(self.needed_for(task))
    }

    fn needed_for(&self, task: &Task) -> Action {
        if self.owns(task) {
            Action::RunTasks
        } else {
            Action::ManageTasks
        }
    }

    /// Whether they posted it, whatever they were logged in with then.
    pub(super) fn owns(&self, task: &Task) -> bool {
        self.user().is_some() && self.user() == task.owner
    }

    /// Whether anything on this instance may be seen.
    pub fn sees<'a>(&self, place: impl Into<Place<'a>>) -> bool {
        self.scopes.see(place.into())
    }
}
