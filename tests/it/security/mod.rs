//! What a hostile client or network gets.

mod bodies;
mod browsers;
mod forgery;
mod heads;
mod logins;
mod matrix;
mod second_factor;
mod stillness;
mod tls;
mod wire;
