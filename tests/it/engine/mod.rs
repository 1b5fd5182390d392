//! What the engine promises: order, limits, ends, restarts.
