//! The chat node: the log, the conversations and their delivery.
