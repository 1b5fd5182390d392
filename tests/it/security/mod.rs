//! What a hostile client or network gets.

mod bodies;
mod browsers;
mod factor;
mod heads;
mod lapse;
mod logins;
mod matrix;
mod races;
mod stillness;
mod tls;
mod wire;
