//! A real sshd on a free loopback port, with keys made for the run.
