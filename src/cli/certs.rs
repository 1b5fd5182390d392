use super::settings::CertificateFlags;
use super::{Failure, say};
use crate::tls;
use std::process::ExitCode;

/// `wsexec certs`
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Makes a private authority and a certificate by it, which the server renews by itself
    Init {
        /// A host name or address that the certificate is for; may repeat [default: localhost,
        /// 127.0.0.1, ::1 and this host's name]
        #[arg(long, value_name = "NAME")]
        name: Vec<String>,
        /// Replace what is there: clients then have to trust the new authority
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        flags: CertificateFlags,
    },
}

pub(super) fn main(arguments: Arguments) -> Result<ExitCode, Failure> {
    let Command::Init { name, force, flags } = arguments.command;
    let config = flags.load()?;
    let made = tls::init(&config.tls, &name, force).map_err(|e| Failure::new(e.to_string()))?;
    let (cert, ca) = (config.tls.cert.display(), made.ca.display());
    say(&format!(
        "{cert} is for {}, until {}; a running server takes it up, and renews it.",
        made.names.join(", "),
        made.until
    ));
    say(&format!(
        "{ca} is what clients are to trust: curl --cacert {ca} ... It can vouch for these names \
         alone. Its key, {}, is what the server renews by.",
        made.ca_key.display()
    ));
    Ok(ExitCode::SUCCESS)
}
