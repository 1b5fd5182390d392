//! An SSH server that misbehaves as it is told.
