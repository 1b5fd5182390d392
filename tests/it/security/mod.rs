//! What a hostile client or network gets.

mod bodies;
mod browsers;
mod forgery;
mod heads;
mod logins;
mod matrix;
mod stillness;
mod tls;
mod tls_acme;
mod tls_clients;
mod tls_reload;
mod wire;
