//! Logging: the journal where there is one, standard error elsewhere.
#![forbid(unsafe_code)]

use tracing_journald::{Priority, PriorityMappings};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Sets logging up for a program. An event's field `message_id` becomes the journal's `MESSAGE_ID`.
pub fn init(identifier: &str) {
    let priorities = PriorityMappings {
        error: Priority::Error,
        warn: Priority::Warning,
        info: Priority::Informational,
        debug: Priority::Debug,
        trace: Priority::Debug,
    };
    let registry = tracing_subscriber::registry().with(LevelFilter::INFO);
    let journal = tracing_journald::layer().map(|layer| {
        layer.with_field_prefix(None).with_syslog_identifier(identifier.to_owned()).with_priority_mappings(priorities)
    });
    let result = match journal {
        Ok(journal) => registry.with(journal).try_init(),
        Err(_) => registry
            .with(tracing_subscriber::fmt::layer().with_writer(std::io::stderr).without_time().with_target(false))
            .try_init(),
    };
    if let Err(error) = result {
        // Only a second call in one process gets here.
        eprintln!("{identifier}: logging is set up already: {error}");
    }
}
