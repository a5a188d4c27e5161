//! Compilation.
