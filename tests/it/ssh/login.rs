//! With which keys we get in, and what is said where we do not.
