//! `wsexec run`: a client that shows what a script writes while it runs, and exits as it does.

mod client;
mod events;
mod follow;
mod how;
mod interrupt;
mod screen;
mod target;

use super::Failure;
use client::{Client, Instance, Task};
use follow::{Follower, Stopped};
use how::How;
use interrupt::Interrupt;
use serde_json::{Map, Value};
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use target::Target;

/// The exit code where there is none of the script's: it never ran, something else ended it, or it
/// could not be followed.
pub(super) const FAILED: u8 = 125;

/// `wsexec run`
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The login comes from the variable WSEXEC_TOKEN, an API token, else from WSEXEC_USER and \
    WSEXEC_PASS.\n\
    The exit code is the script's own, and 125 for everything else. Ctrl-C cancels the script; a \
    second one leaves at once. Where nobody reads the output any more, the script is cancelled."
)]
pub(super) struct Arguments {
    /// The server; the port is 8443 unless said
    #[arg(short, long, value_name = "HOST[:PORT]")]
    target: Target,
    /// Id, ip or tag of the instance to run on
    #[arg(short, long)]
    instance: String,
    /// The user to log in as on the instance
    #[arg(short, long)]
    user: String,
    /// The script
    #[arg(
        short = 'c',
        long = "command",
        value_name = "SCRIPT",
        allow_hyphen_values = true
    )]
    script: String,
    #[command(flatten)]
    how: How,
    /// Trust the certificates in this file, PEM, instead of the system's
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Trust any certificate: whoever sits between reads the login
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    // Standard input is read here, where Ctrl-C still ends the program.
    let new = arguments
        .task()
        .map_err(|failure| failure.with_code(FAILED))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::new(format!("cannot start: {e}")).with_code(FAILED))?;
    let result = runtime.block_on(run(&arguments, &new));
    // A write to a terminal that stands still must not keep the program from its end.
    runtime.shutdown_background();
    result.map_err(|failure| failure.with_code(FAILED))
}

impl Arguments {
    /// The task to post, without its instance.
    fn task(&self) -> Result<Map<String, Value>, Failure> {
        let mut new = self.how.members()?;
        new.extend([
            ("name".into(), "wsexec run".into()),
            ("user".into(), self.user.clone().into()),
            ("script".into(), self.script.clone().into()),
        ]);
        Ok(new)
    }
}

async fn run(arguments: &Arguments, new: &Map<String, Value>) -> Result<ExitCode, Failure> {
    let client = Client::new(arguments)?;
    let interrupt = Interrupt::listen()?;
    tokio::select! {
        code = session(&client, &arguments.instance, new, &interrupt) => code,
        () = interrupt.second() => Err(Failure::quiet(FAILED)),
    }
}

async fn session(
    client: &Client,
    instance: &str,
    new: &Map<String, Value>,
    interrupt: &Interrupt,
) -> Result<ExitCode, Failure> {
    let instance = tokio::select! {
        instances = client.instances() => find(&instances?, instance)?,
        () = interrupt.first() => return Err(Failure::quiet(FAILED)),
    };
    // Not given up half-way: a task that was accepted has to be known to be cancelled.
    let posted = client.post(instance, new).await?;
    let mut follower = Follower::new(client, posted.id);
    // Polled to its end and never dropped before: what is half written would come twice.
    let mut following = pin!(follower.follow());
    tokio::select! {
        stopped = &mut following => match stopped? {
            Stopped::Ended(task) => exit_code(&task),
            Stopped::NobodyReads => {
                client.cancel(posted.id).await?;
                Err(Failure::quiet(FAILED))
            }
        },
        () = interrupt.first() => {
            eprintln!("wsexec: cancelling task {}; again to leave at once", posted.id);
            match tokio::try_join!(client.cancel(posted.id), following)?.1 {
                Stopped::Ended(task) => Err(cancelled(&task)),
                Stopped::NobodyReads => Err(Failure::quiet(FAILED)),
            }
        }
    }
}

/// The one instance that the word means: an id before an ip or a tag.
fn find(instances: &[Instance], word: &str) -> Result<i64, Failure> {
    if let Some(by_id) = word
        .parse()
        .ok()
        .and_then(|id: i64| instances.iter().find(|i| i.id == id))
    {
        return Ok(by_id.id);
    }
    let found: Vec<&Instance> = instances
        .iter()
        .filter(|i| i.ip == word || i.tag == word)
        .collect();
    match found.as_slice() {
        [one] => Ok(one.id),
        [] => Err(Failure::new(format!(
            "no instance has the id, ip or tag {word}"
        ))),
        several => {
            let ids: Vec<String> = several.iter().map(|i| i.id.to_string()).collect();
            Err(Failure::new(format!(
                "{word} means several instances; say which by id: {}",
                ids.join(", ")
            )))
        }
    }
}

fn exit_code(task: &Task) -> Result<ExitCode, Failure> {
    match (task.state.as_str(), task.rc) {
        ("DONE", Some(rc)) => u8::try_from(rc).map(ExitCode::from).map_err(|_| {
            Failure::new(format!(
                "the script's exit code is {rc}, which is more than an exit code here can say"
            ))
        }),
        _ => Err(aborted(task)),
    }
}

fn aborted(task: &Task) -> Failure {
    Failure::new(
        task.reason
            .clone()
            .unwrap_or_else(|| format!("task {} ended as {}", task.id, task.state)),
    )
}

/// After Ctrl-C the answer is 125, also where the script was done first.
fn cancelled(task: &Task) -> Failure {
    match task.state.as_str() {
        "DONE" => Failure::new(format!("task {} was done before it was cancelled", task.id)),
        _ => aborted(task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(id: i64, ip: &str, tag: &str) -> Instance {
        Instance {
            id,
            ip: ip.into(),
            tag: tag.into(),
        }
    }

    #[test]
    fn an_instance_is_found_by_id_ip_or_tag_and_never_guessed() {
        let all = [
            instance(1, "10.0.0.1", "web"),
            instance(2, "10.0.0.2", "web"),
            instance(3, "10.0.0.3", "2"),
            instance(4, "db.example", "db"),
        ];
        assert_eq!(find(&all, "2").unwrap(), 2);
        assert_eq!(find(&all, "10.0.0.3").unwrap(), 3);
        assert_eq!(find(&all, "db").unwrap(), 4);
        let several = find(&all, "web").unwrap_err().to_string();
        assert!(several.contains("1, 2"), "{several}");
        assert!(find(&all, "we").is_err());
    }

    #[test]
    fn an_exit_code_that_does_not_fit_is_not_cut_to_fit() {
        let task = |rc| Task {
            id: 1,
            state: "DONE".into(),
            rc: Some(rc),
            reason: None,
        };
        assert!(exit_code(&task(255)).is_ok());
        assert!(
            exit_code(&task(256))
                .unwrap_err()
                .to_string()
                .contains("256")
        );
        assert!(exit_code(&task(-1)).is_err());
    }
}
