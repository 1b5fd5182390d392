//! What a hostile client or network gets.
