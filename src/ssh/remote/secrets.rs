//! What a script is given in secret: files that have no name any more, one descriptor each.

use super::{quoted, start_failed, unguessable};
use crate::domain::Secret;
use crate::ssh::password::may_hear;
use crate::ssh::{Failure, Session};

/// What secrets stand on: the single digits that dash can redirect, less those of the launch.
const DESCRIPTORS: [u8; 6] = [3, 4, 5, 6, 8, 9];

/// Where a descriptor is opened anew. Not /dev/fd, though it leads here: a ksh takes that for the
/// descriptor itself, which stays at its end once it was read.
pub(super) const FD: &str = "/proc/self/fd";

/// One secret of a script.
#[derive(Debug, Clone)]
pub struct ScriptSecret {
    /// What the script calls it: it finds the path of the value in the variable of this name with
    /// `_FILE` behind it.
    pub variable: String,
    /// The identity that it is of.
    pub name: String,
    /// What it is.
    pub value: Secret,
    /// The fingerprints of the machines that may be told it; all where there is none.
    pub host_keys: Vec<String>,
}

impl Session {
    /// # Errors
    /// `start_failed` where one of them is not for this machine.
    pub(super) fn may_be_told(&self, secrets: &[ScriptSecret]) -> Result<(), Failure> {
        if secrets.len() > DESCRIPTORS.len() {
            let most = DESCRIPTORS.len();
            return Err(start_failed(format!(
                "A script takes at most {most} secrets."
            )));
        }
        let key = &self.host_key().fingerprint;
        secrets
            .iter()
            .try_for_each(|it| may_hear(&it.name, &it.host_keys, key))
    }
}

/// Shell text that opens each secret on its descriptor and exports where it is. Calls
/// `wsexec_failed` where it cannot. A value is written only once its file has no name any more, so
/// that nothing is left, however this ends; opened anew through /proc, it can be read again and
/// again (Linux). Its own variables are `wsexec_private`, `wsexec_try` and `wsexec_mask`.
pub(super) fn opened(secrets: &[ScriptSecret]) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let mut text = private_directory();
    let numbered = || DESCRIPTORS.iter().zip(secrets);
    for (fd, _) in numbered() {
        text.push_str(&format!("exec {fd}> \"$wsexec_private/{fd}\"\n"));
    }
    text.push_str("rm -rf \"$wsexec_private\"; set +C; umask \"$wsexec_mask\"\n");
    for (fd, secret) in numbered() {
        text.push_str(&written(*fd, secret.value.expose()));
        text.push_str(&format!("export {}_FILE={FD}/{fd}\n", secret.variable));
    }
    text
}

/// Redirections by which even a shell that closes its descriptors hands them on.
pub(super) fn handed_on(secrets: &[ScriptSecret]) -> String {
    let used = DESCRIPTORS.iter().take(secrets.len());
    used.map(|fd| format!(" {fd}<&{fd}")).collect()
}

/// Shell text that opens, on descriptor 9, what [`opened`] gives: for a script that begins in
/// another process.
pub(super) fn carried(secrets: &[ScriptSecret]) -> String {
    if secrets.is_empty() {
        return String::new();
    }
    let text = format!("exec 9<&-\n{}", opened(secrets));
    format!(
        "wsexec_failed() {{ wsexec_fail \"$@\"; }}\n{}exec 9> \"$wsexec_private/9\"\n\
         rm -rf \"$wsexec_private\"; set +C; umask \"$wsexec_mask\"\n{}",
        private_directory(),
        written(9, &text)
    )
}

/// On a file system that is in memory, where there is one.
fn private_directory() -> String {
    format!(
        "wsexec_put() {{ printf %s \"$1\"; }}\n\
         case $(command -v printf) in */*) wsexec_put() {{ print -rn -- \"$1\"; }};; esac\n\
         wsexec_mask=$(umask); umask 077; set -C; wsexec_private=\n\
         for wsexec_try in /dev/shm \"${{XDG_RUNTIME_DIR:-/dev/null}}\" \"${{TMPDIR:-/tmp}}\"; do\n\
         [ -z \"$wsexec_private\" ] && mkdir \"$wsexec_try/{0}\" 2>/dev/null && \
         wsexec_private=$wsexec_try/{0}\n\
         done\n\
         [ -n \"$wsexec_private\" ] || wsexec_failed secrets\n",
        unguessable()
    )
}

fn written(fd: u8, value: &str) -> String {
    format!(
        "wsexec_put {} 2>/dev/null >&{fd} && [ -r {FD}/{fd} ] || wsexec_failed secrets\n\
         exec {fd}< {FD}/{fd}\n",
        quoted(value)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// What a machine's /bin/sh may be.
    const SHELLS: [&str; 5] = ["dash", "bash", "busybox sh", "mksh", "ksh93"];

    fn ran(shell: &str, text: &str) -> String {
        let mut words = shell.split(' ');
        let program = words.next().expect("a name");
        let mut command = Command::new(program);
        let output = command.args(words).args(["-c", text]).output();
        let output = output.unwrap_or_else(|error| panic!("{shell} is not installed: {error}"));
        assert!(output.status.success(), "{shell}: {output:?}");
        assert!(output.stderr.is_empty(), "{shell}: {output:?}");
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    #[test]
    fn any_posix_shell_hands_secrets_on_to_any_and_they_can_be_read_again_and_again() {
        let value = |number| format!("{number}: 'quoted' \\ \"$x\" -n\né\n\n");
        let secrets: Vec<_> = (0..DESCRIPTORS.len())
            .map(|number| ScriptSecret {
                variable: format!("S{number}"),
                name: "it".into(),
                value: Secret::new(value(number)),
                host_keys: Vec::new(),
            })
            .collect();
        let mut expected = String::new();
        let mut script = String::new();
        for number in 0..secrets.len() {
            // By another program, by the shell itself, and by one below it.
            let file = format!("\"$S{number}_FILE\"");
            script.push_str(&format!(
                "cat {file}; cat {file}; read -r x < {file}; read -r y < {file}; echo \"$x$y\"; ( cat < {file} )\n"
            ));
            let whole = value(number);
            let line = whole.lines().next().expect("a line");
            expected.push_str(&format!("{whole}{whole}{line}{line}\n{whole}"));
        }
        for outer in SHELLS {
            for inner in SHELLS {
                let text = format!(
                    "wsexec_failed() {{ echo \"failed $*\"; exit 9; }}\n{}exec {inner} -c {}{}\n",
                    opened(&secrets),
                    quoted(&script),
                    handed_on(&secrets)
                );
                assert_eq!(ran(outer, &text), expected, "{inner} in {outer}");
            }
        }
    }
}
