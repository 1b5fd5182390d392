//! Who may import whom, held against the `use` lines.
