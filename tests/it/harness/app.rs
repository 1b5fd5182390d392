//! The built program, running on a free port with a data directory of its own.
