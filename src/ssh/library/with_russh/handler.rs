//! What russh tells of a connection, on its way to the one who holds it.

use super::trouble;
use crate::ssh::host_keys::Rules;
use crate::ssh::library::shared::{EXTENDED_STDERR, Message, Shared, visible};
use crate::ssh::library::{Trouble, signal_name};
use russh::client::{ChannelOpenHandle, DisconnectReason, Handler, Msg, Session};
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelId, ChannelOpenFailure, Error, Sig};
use std::sync::Arc;

/// One connection's handler. When russh drops it the connection is over.
pub struct ClientHandler {
    pub(super) rules: Rules,
    pub(super) shared: Arc<Shared>,
}

impl Drop for ClientHandler {
    fn drop(&mut self) {
        self.shared.forget_all();
    }
}

impl Handler for ClientHandler {
    type Error = Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Error> {
        let verdict = match shown {
            PublicKeyOrCertificate::PublicKey { key, .. } => self.rules.judge(&key.to_bytes()?),
            PublicKeyOrCertificate::Certificate(shown) => self.rules.judge_certificate(shown),
        };
        let right = verdict.is_ok();
        if let PublicKeyOrCertificate::Certificate(shown) = shown {
            self.shared.certify(right && self.rules.counts(shown));
        }
        self.shared.judged(verdict);
        Ok(right)
    }

    async fn channel_open_failure(
        &mut self,
        _: ChannelId,
        reason: ChannelOpenFailure,
        description: &str,
        _: &str,
        _: &mut Session,
    ) -> Result<(), Error> {
        let reason = match reason {
            ChannelOpenFailure::AdministrativelyProhibited => "administratively prohibited",
            ChannelOpenFailure::ConnectFailed => "connect failed",
            ChannelOpenFailure::UnknownChannelType => "unknown channel type",
            ChannelOpenFailure::ResourceShortage => "resource shortage",
            _ => "refused",
        };
        self.shared.refuse(reason, description);
        Ok(())
    }

    async fn channel_success(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Accepted).await;
        Ok(())
    }

    async fn channel_failure(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Refused).await;
        Ok(())
    }

    async fn data(
        &mut self,
        channel: ChannelId,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Error> {
        self.shared.tell_data(channel, data, Message::Stdout).await;
        Ok(())
    }

    async fn extended_data(
        &mut self,
        channel: ChannelId,
        kind: u32,
        data: &[u8],
        _: &mut Session,
    ) -> Result<(), Error> {
        if kind == EXTENDED_STDERR {
            self.shared.tell_data(channel, data, Message::Stderr).await;
        }
        Ok(())
    }

    async fn exit_status(
        &mut self,
        channel: ChannelId,
        status: u32,
        _: &mut Session,
    ) -> Result<(), Error> {
        self.shared.tell(channel, Message::Exited(status)).await;
        Ok(())
    }

    async fn exit_signal(
        &mut self,
        channel: ChannelId,
        signal: Sig,
        _core_dumped: bool,
        _message: &str,
        _language: &str,
        _: &mut Session,
    ) -> Result<(), Error> {
        let name = Message::Signalled(visible(signal_name!(Sig, &signal)));
        self.shared.tell(channel, name).await;
        Ok(())
    }

    async fn channel_eof(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Eof).await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Error> {
        self.shared.tell(channel, Message::Closed).await;
        self.shared.forget(channel);
        Ok(())
    }

    async fn disconnected(&mut self, reason: DisconnectReason<Error>) -> Result<(), Error> {
        self.shared.ended(match reason {
            DisconnectReason::ReceivedDisconnect(_) => Trouble::Left,
            DisconnectReason::Error(error) => trouble(&error),
        });
        Ok(())
    }

    // A server opens no channels to us: each of these refuses by dropping its handle.

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: russh::Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_session(
        &mut self,
        _: russh::Channel<Msg>,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        _: russh::Channel<Msg>,
        _: &str,
        _: u32,
        _: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Error> {
        Ok(())
    }
}
