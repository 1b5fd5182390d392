//! How a script becomes another user: sudo(8) or doas(1), what they ask, and what they say when
//! they refuse.

use super::{quoted, start_failed, unguessable, words};
use crate::domain::{Become, BecomeMethod, Secret};
use crate::ssh::Failure;
use bytes::Bytes;

/// One change of the user.
pub(super) struct Way<'a> {
    to: &'a Become,
    pub password: Option<&'a Secret>,
    shell: &'static str,
    /// What sudo asks with. Nobody else can print it, so that the password goes to nobody else.
    pub prompt: String,
}

impl<'a> Way<'a> {
    pub fn new(to: &'a Become, password: Option<&'a Secret>, shell: &'static str) -> Self {
        Self {
            to,
            password: password.filter(|_| to.method == BecomeMethod::Sudo),
            shell,
            prompt: unguessable(),
        }
    }

    /// Starts the other user's shell. What refuses it is to speak English, for
    /// [`Way::refused`]; the shell gets the login's own language back ([`Way::RESTORE`]).
    pub fn program(&self, nonce: &str) -> String {
        let user = quoted(&self.to.user);
        let name = self.to.method.as_str();
        let shell = self.shell.replace("NONCE", nonce);
        let command = match (self.to.method, self.password) {
            (BecomeMethod::Sudo, Some(_)) => {
                format!("sudo -S -p {} -u {user} -- {shell}", self.prompt)
            }
            (BecomeMethod::Sudo, None) => format!("sudo -n -u {user} -- {shell}"),
            (BecomeMethod::Doas, _) => format!("doas -n -u {user} -- {shell}"),
        };
        format!(
            "command -v {name} >/dev/null 2>&1 || wsexec_failed {name}\n\
             wsexec_l=${{LC_ALL+x$LC_ALL}}; LC_ALL=C; export LC_ALL\n\
             exec {command} \"$wsexec_l\""
        )
    }

    /// What the other user's shell runs first.
    pub const RESTORE: &'static str =
        "case ${2-} in x*) LC_ALL=${2#x};; *) unset LC_ALL;; esac; set --\n";

    pub fn password_line(&self) -> Bytes {
        let password = self.password.map_or("", Secret::expose);
        format!("{password}\n").into()
    }

    pub fn is_not_there(&self) -> Failure {
        let name = self.to.method.as_str();
        start_failed(format!(
            "There is no {name} on the machine to become {} with. Install it, or log in as that user.",
            self.to.user
        ))
    }

    pub fn wrong_password(&self) -> Failure {
        start_failed(format!(
            "sudo on the machine did not take the password that ssh.become_passwords.{} refers to, or that of the \
             identity of that name.",
            self.to.password.as_deref().unwrap_or("NAME")
        ))
    }

    pub fn took_too_long(&self, printed: &[u8], seconds: f32) -> Failure {
        start_failed(format!(
            "{} on the machine did not let the script become {} within {seconds} s. It may ask for something that \
             WSEXEC cannot answer, such as a second factor.{}",
            self.to.method.as_str(),
            self.to.user,
            its_words(printed)
        ))
    }

    /// Why no shell of the other user came, by what was printed instead.
    pub fn refused(&self, printed: &[u8], asked: bool) -> Failure {
        let (name, user) = (self.to.method.as_str(), &self.to.user);
        let text = String::from_utf8_lossy(printed);
        let says = |what: &str| text.contains(what);
        if says("incorrect password attempt") || asked && says("try again") {
            return self.wrong_password();
        }
        let reason = if says("unknown user") {
            format!("{name} on the machine knows no user {user}: correct become.user.")
        } else if says("password is required") || says("no askpass") {
            format!(
                "sudo on the machine asks for a password to become {user}. Name one in become.password, with its file \
                 in ssh.become_passwords, or let sudoers ask for none (NOPASSWD)."
            )
        } else if says("Authentication required") || says("Authorization required") {
            format!(
                "doas on the machine asks for a password to become {user}, which it takes from a person only: let \
                 doas.conf ask for none (nopass), or use sudo."
            )
        } else if says("must have a tty") {
            format!(
                "sudo on the machine wants a terminal to become {user}: give the task pty, or take requiretty out of \
                 sudoers."
            )
        } else if says("not in the sudoers")
            || says("not allowed")
            || says("may not run")
            || says("Operation not permitted")
        {
            format!(
                "{name} on the machine does not let the login's user run /bin/sh as {user}: allow it in its \
                 configuration."
            )
        } else {
            format!(
                "{name} on the machine did not let the script become {user}.{}",
                its_words(printed)
            )
        };
        start_failed(reason)
    }
}

fn its_words(printed: &[u8]) -> String {
    match words(printed) {
        words if words.is_empty() => words,
        words => format!(" It printed: {words}"),
    }
}
