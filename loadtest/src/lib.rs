//! The checker and the open-loop load generator.
