//! What a hostile client or network gets.

mod audit;
mod bodies;
mod browsers;
mod factor;
mod forgery;
mod headers;
mod heads;
mod hostile;
mod lapse;
mod logins;
mod matrix;
mod openid;
mod planted;
mod proxy;
mod races;
mod scopes;
pub mod second_factor;
mod stillness;
mod tls;
mod tls_acme;
mod tls_clients;
mod tls_reload;
mod wire;
