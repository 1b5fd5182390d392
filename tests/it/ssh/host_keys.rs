//! Which host keys are taken, and what is said of the others.
