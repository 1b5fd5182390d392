//! SSH against a real sshd and against one that misbehaves.
