//! Puts the parts together: configuration, store, engine, use cases, front ends, listener; starts
//! them, and stops them in the other order.

mod data_dir;
mod logging;
mod stop;

use crate::config::Config;
use crate::domain::Result;
use crate::service::Service;

pub struct Part {
    pub name: &'static str,
    pub verdict: std::result::Result<String, String>,
}
pub fn serve(_: Config) -> Result<()> {
    unimplemented!()
}
pub fn demo() -> Result<()> {
    unimplemented!()
}
pub fn check(_: &Config) -> Vec<Part> {
    unimplemented!()
}
pub fn local<T>(_: &Config, _: impl AsyncFnOnce(Service) -> Result<T>) -> Result<T> {
    unimplemented!()
}
pub fn forget_first_password(_: &Config, _: &str) -> Result<()> {
    unimplemented!()
}
