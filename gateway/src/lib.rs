//! The edge: TLS and HTTP by Pingora, policy by a Tower stack.
