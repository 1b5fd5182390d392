use super::settings::DataFlags;
use super::{Failure, say};
use crate::app;
use crate::domain::{IdentityKind, NewIdentity, Scope, Secret, SecretValues};
use crate::service::Actor;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// No secret is longer than this, in bytes; more is a mistake.
const MAX: u64 = 64 * 1024 + 2;

/// `wsexec identity`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Keeps a secret that is read from stdin or a file
    Add {
        #[command(flatten)]
        what: What,
        /// What it is
        #[arg(long, value_parser = kind)]
        kind: IdentityKind,
        /// Read the secret from this file; from stdin unless given. One line end at the end is
        /// left out
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// The file with the passphrase of the key
        #[arg(long, value_name = "FILE")]
        passphrase_file: Option<PathBuf>,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Makes an SSH key in the store, and prints its public half
    Generate {
        #[command(flatten)]
        what: What,
        #[command(flatten)]
        data: DataFlags,
    },
    /// Lists the identities: name, kind, scope and fingerprint
    List {
        #[command(flatten)]
        data: DataFlags,
    },
    /// Removes an identity with its secret
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        data: DataFlags,
    },
}

#[derive(Debug, clap::Args)]
struct What {
    /// What it is referred to by
    name: String,
    /// For what it may be used: LOGIN@INSTANCES, such as deploy@web-*; may repeat
    #[arg(long = "scope", value_name = "RULE")]
    scope: Vec<String>,
    /// The fingerprint of a machine that may be told it; may repeat
    #[arg(long = "host-key", value_name = "SHA256:...")]
    host_keys: Vec<String>,
}

fn kind(text: &str) -> Result<IdentityKind, String> {
    let all = IdentityKind::ALL.map(IdentityKind::as_str).join(", ");
    IdentityKind::parse(text).ok_or_else(|| format!("must be one of {all}"))
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let actor = Actor::local();
    match arguments.command {
        Command::Add {
            what,
            kind,
            file,
            passphrase_file,
            data,
        } => {
            let config = data.load()?;
            let passphrase = passphrase_file.as_deref().map(from_file).transpose()?;
            let value = match &file {
                Some(path) => from_file(path)?,
                None => read(std::io::stdin(), "stdin")?,
            };
            let values = Some(SecretValues { value, passphrase });
            let new = what.new_identity(kind, values)?;
            app::local(&config, async |service| {
                service.create_identity(&actor, new).await
            })?;
        }
        Command::Generate { what, data } => {
            let config = data.load()?;
            let new = what.new_identity(IdentityKind::SshKey, None)?;
            let made = app::local(&config, async |service| {
                service.create_identity(&actor, new).await
            })?;
            say(&made.public_key.unwrap_or_default());
        }
        Command::List { data } => {
            let found = app::existing(&data.load()?, async |service| {
                service.identities(&actor).await
            })?;
            for it in found {
                let fingerprint = it.fingerprint.unwrap_or_default();
                let kind = it.kind.as_str();
                say(&format!("{}\t{kind}\t{}\t{fingerprint}", it.name, it.scope));
            }
        }
        Command::Remove { name, data } => {
            app::existing(&data.load()?, async |service| {
                let it = service.identity_named(&actor, &name).await?;
                service.remove_identity(&actor, it.id, None).await
            })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

impl What {
    fn new_identity(
        self,
        kind: IdentityKind,
        values: Option<SecretValues>,
    ) -> Result<NewIdentity, Failure> {
        let scope = Scope::parse(self.scope.iter().map(String::as_str))
            .map_err(|why| Failure::new(format!("--scope: {why}")).with_code(2))?;
        Ok(NewIdentity {
            name: self.name,
            kind,
            scope,
            host_keys: self.host_keys,
            values,
        })
    }
}

fn from_file(path: &Path) -> Result<Secret, Failure> {
    let name = path.display().to_string();
    let file = File::open(path).map_err(|e| Failure::new(format!("cannot read {name}: {e}")))?;
    read(file, &name)
}

fn read(from: impl Read, name: &str) -> Result<Secret, Failure> {
    let mut text = String::new();
    from.take(MAX)
        .read_to_string(&mut text)
        .map_err(|e| Failure::new(format!("cannot read the secret from {name}: {e}")))?;
    if text.ends_with('\n') {
        text.pop();
    }
    Ok(Secret::new(text))
}
