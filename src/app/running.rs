//! The service while it runs: its parts, and the order in which they start and stop.

use super::local::forget_first_password;
use super::metrics::Metrics;
use super::serve::LAST_THREADS;
use super::stop::{Event, StopSignals};
use super::{audit, data_dir, failed, manager};
use crate::api;
use crate::auth::OpenId;
use crate::config::{self, Config};
use crate::domain::{Clock, Result, Secret, SystemClock, User};
use crate::engine::Engine;
use crate::http::{self, Handshake, Protocol, Server};
use crate::service::{Lifetime, Rules, Service, server_note};
use crate::ssh::Connector;
use crate::store::{Access, Store};
use crate::tls::{self, Acceptor, Alpn, Certificate, Keeper};
use crate::ui;
use crate::vault::Vault;
use poem::Route;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long requests may go on once everything that they could wait for has ended.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// The parts of a service that takes connections.
pub(super) struct Running {
    pub(super) address: SocketAddr,
    /// What is shown at the start.
    pub(super) certificate: Arc<Certificate>,
    pub(super) service: Service,
    /// The user that was made because there was none, with the password.
    pub(super) first_user: Option<(User, Secret)>,
    engine: Engine,
    listener: JoinSet<io::Result<()>>,
    keeper: Keeper,
    /// Where the keeper runs.
    keeping: JoinSet<Option<()>>,
    close: CancellationToken,
    /// What keeps counts for the audit trail, and what ends it.
    record: JoinSet<()>,
    record_over: CancellationToken,
}

impl Running {
    /// Starts everything, in this order: data directory, store, certificate, listening socket (so
    /// that nothing runs where one of these fails), engine, use cases, connections. It listens on
    /// the first of the places that is free. `tell` gets the first user, where one is made.
    pub(super) async fn start(
        config: Config,
        places: &[SocketAddr],
        tell: impl FnOnce(&str, &Secret) -> Result<()>,
    ) -> Result<Self> {
        let rules = Rules {
            openid: open_openid(&config).await?,
            ..rules(&config)?
        };
        let metrics = Metrics::start()?;
        let told = config.clone();
        let store = open_store(&config, Access::Server).await?;
        let vault = open_vault(&config, &store).await?;
        if let Err(without) = vault.require_key() {
            tracing::warn!("{without}");
        }
        let acceptor = show_certificate(&config.tls).await?;
        let listener = bind(places).await?;
        let address = listener.local_addr().map_err(failed)?;

        let connector = Connector::new(&config.ssh);
        let clock = Arc::new(SystemClock);
        // Where the trail cannot be written, changes are refused, and reading goes on.
        let started = server_note("server.start", clock.now());
        if let Err(error) = store.note(vec![started]).await {
            tracing::error!(%error, "cannot put the start of the server on record");
        }
        let engine = Engine::start(
            (store.clone(), vault.clone()),
            connector,
            config.engine,
            clock.clone(),
        )
        .await?;
        let service = Service::new(store, vault, Some(engine.clone()), clock, rules);
        service.on_password_change(move |user| {
            if let Err(error) = forget_first_password(&told, user) {
                tracing::warn!(%error, "a password is of no use any more, and its file stays");
            }
        });
        let first_user = service.ensure_first_user(tell).await?;

        let close = CancellationToken::new();
        let settings = http::Settings {
            http: config.http.clone(),
            certificate: acceptor.says(),
            local: address,
            service: service.clone(),
            figures: metrics.figures(),
        };
        let certificate = acceptor.certificate();
        let keeper = Keeper::new(config.tls, acceptor.clone());
        let server = Server {
            listener,
            certificate: acceptor.says(),
            accept_tls: move |socket| handshake(acceptor.clone(), socket),
            endpoint: http::stack(routes(&service), settings),
            config: config.http,
            stop: close.clone(),
            grace: LAST_ANSWERS,
        };
        let mut listener = JoinSet::new();
        listener.spawn(server.serve());
        let mut keeping = JoinSet::new();
        keeping.spawn({
            let (keeper, close) = (keeper.clone(), close.clone());
            async move { close.run_until_cancelled(keeper.run()).await }
        });
        let (mut record, record_over) = (JoinSet::new(), CancellationToken::new());
        record.spawn(service.clone().keep_record(record_over.clone()));
        record.spawn({
            let over = record_over.clone();
            async move {
                over.run_until_cancelled(metrics.tidy())
                    .await
                    .unwrap_or_default()
            }
        });
        Ok(Self {
            address,
            certificate,
            service,
            first_user,
            engine,
            listener,
            keeper,
            keeping,
            close,
            record,
            record_over,
        })
    }

    /// Serves until a signal comes, then stops: no new work, every request that waits is answered,
    /// scripts get their while. A second signal ends the scripts now, a third one leaves them.
    pub(super) async fn until_stopped(mut self, signals: &mut StopSignals) -> Result<()> {
        loop {
            tokio::select! {
                event = signals.event() => match event {
                    Event::Stop => break,
                    Event::Reload => self.keeper.ask(),
                },
                ended = self.listener.join_next() => {
                    return Err(failed(format!("the listener has ended: {ended:?}")));
                }
                ended = self.keeping.join_next() => {
                    return Err(failed(format!("the certificate is not kept: {ended:?}")));
                }
            }
        }
        tracing::info!("stopping: no new work, and scripts get a while to end");
        manager::stopping(self.engine.stop_limit() + LAST_ANSWERS + LAST_THREADS);
        if let Err(error) = self.service.note_stop().await {
            tracing::error!(%error, "cannot put the stop of the server on record");
        }
        let engine = self.engine.clone();
        tokio::select! {
            () = engine.stop() => {}
            () = signals.next() => {
                tracing::warn!("stopping now: scripts are ended");
                tokio::select! {
                    () = engine.interrupt() => {}
                    () = signals.next() => {
                        return Err(failed("stopped at once; scripts may still run"));
                    }
                }
            }
        }
        self.close.cancel();
        tokio::select! {
            _ = self.listener.join_next() => {}
            () = signals.next() => {}
        }
        self.keeping.join_next().await;
        // Last, so that nothing is counted after it.
        self.record_over.cancel();
        tokio::select! {
            _ = self.record.join_next() => {}
            () = signals.next() => {}
        }
        tracing::info!("stopped");
        Ok(())
    }
}

/// Opens the store in a data directory that is ours alone.
pub(super) async fn open_store(config: &Config, access: Access) -> Result<Store> {
    let config = config.clone();
    let open = move || {
        data_dir::ensure(&config.data)?;
        let trail = audit::trail(&config)?;
        Store::open(&config.data, &config.store, trail, access).map_err(failed)
    };
    tokio::task::spawn_blocking(open).await.map_err(failed)?
}

/// Finds or makes the certificate, and what shows it.
async fn show_certificate(config: &config::Tls) -> Result<Acceptor> {
    let config = config.clone();
    let show = move || Acceptor::new(&config, tls::ensure(&config)?);
    let shown = tokio::task::spawn_blocking(show).await.map_err(failed)?;
    shown.map_err(failed)
}

/// What the use cases have to know of `[auth]` and `[approvals]`.
pub(super) fn rules(config: &Config) -> Result<Rules> {
    let approvals = config.approvals.rules().map_err(failed)?;
    let names = names(config);
    let config = &config.auth;
    let seconds = |it: u64| i64::try_from(it).unwrap_or(i64::MAX);
    Ok(Rules {
        approvals,
        session: Lifetime {
            idle: seconds(config.session_idle),
            absolute: seconds(config.session_lifetime),
        },
        second_factor: config.second_factor.iter().map(|it| it.0).collect(),
        issuer: config.openid.as_ref().map(|it| it.issuer.clone()),
        openid: None,
        names,
    })
}

/// What this machine is called, and what the service is reached by.
fn names(config: &Config) -> Vec<String> {
    let uname = rustix::system::uname();
    let node = uname.nodename().to_string_lossy().into_owned();
    let public = config.http.public_url.as_deref();
    let public = public.and_then(|it| it.split("://").nth(1)?.split(['/', ':']).next());
    std::iter::once(node)
        .chain(public.map(str::to_owned))
        .collect()
}

/// Reads what is needed to ask the OpenID provider, where there is one; nothing is asked yet.
async fn open_openid(config: &Config) -> Result<Option<OpenId>> {
    let config = config.clone();
    tokio::task::spawn_blocking(move || openid(&config))
        .await
        .map_err(failed)?
}

/// The OpenID provider of a configuration.
pub(super) fn openid(config: &Config) -> Result<Option<OpenId>> {
    let public_url = config.http.public_url.as_deref().unwrap_or_default();
    let provider = config.auth.openid.clone();
    let provider = provider.map(|provider| OpenId::new(provider, public_url));
    provider.transpose()
}

/// Reads the master keys for the secrets of a store.
pub(super) async fn open_vault(config: &Config, store: &Store) -> Result<Vault> {
    let (secrets, id) = (config.secrets.clone(), store.id().to_owned());
    let load = move || Vault::load(&secrets, &id);
    tokio::task::spawn_blocking(load).await.map_err(failed)?
}

/// Both front ends: what is not the API's is a page.
fn routes(service: &Service) -> Route {
    let pages = Route::new().nest_no_strip("/", ui::routes(service.clone()));
    api::mount(pages, service)
}

async fn bind(places: &[SocketAddr]) -> Result<TcpListener> {
    TcpListener::bind(places).await.map_err(|e| {
        let places: Vec<String> = places.iter().map(ToString::to_string).collect();
        failed(format!("cannot listen on {}: {e}", places.join(" or ")))
    })
}

async fn handshake(
    acceptor: Acceptor,
    socket: TcpStream,
) -> io::Result<
    Option<(
        impl AsyncRead + AsyncWrite + Unpin + Send + use<>,
        Handshake,
    )>,
> {
    let Some((stream, handshake)) = acceptor.accept(socket).await? else {
        return Ok(None);
    };
    let handshake = Handshake {
        protocol: match handshake.alpn {
            Alpn::H2 => Protocol::Http2,
            Alpn::Http1 => Protocol::Http1,
        },
        client: handshake.client,
    };
    Ok(Some((stream, handshake)))
}
