//! What goes wrong around the server: machines, networks, clocks, clients, disks. Each test is short
//! where CI runs it, and longer with `WSEXEC_LONG` set; each prints its figure.

mod clock;
mod cut;
mod floods;
mod scraper;
mod slow;
mod store;
