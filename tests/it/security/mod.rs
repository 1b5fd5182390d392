//! What a hostile client or network gets.

mod audit;
mod bodies;
mod browsers;
mod forgery;
mod headers;
mod heads;
mod hostile;
mod logins;
mod matrix;
mod scopes;
mod stillness;
mod tls;
mod tls_acme;
mod tls_clients;
mod tls_reload;
mod wire;
