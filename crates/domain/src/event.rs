//! One happening, immutable.
