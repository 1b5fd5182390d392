//! The JSON API: the contract, row by row.
