//! Message ids.
