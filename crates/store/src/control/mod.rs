//! The control plane: one SQL text for both databases.
