//! THE CONTRACT: `org.imad1` on the system bus.
//!
//! One file per interface, each from one `impl` that is the service, the client ([`manager::ManagerProxy`],
//! [`policy::PolicyProxy`], [`keyring::KeyringProxy`], [`labels::LabelsProxy`], [`job::JobProxy`]) and the introspection
//! data ([`xml`]). What is shown comes from a [`view::View`]; what is asked goes to the daemon as a
//! [`request::Request`], so that nothing here decides or waits for a file.
//!
//! Conventions: times are microseconds, of the wall clock since 1970; a number that is not known is -1; verbs take
//! `a{sv}` options; long work is a job.
#![forbid(unsafe_code)]

pub mod error;
pub mod job;
pub mod keyring;
pub mod labels;
pub mod manager;
pub mod policy;
pub mod request;
pub mod view;

use std::pin::Pin;

use zbus::object_server::Interface;

use job::{Job, JobRecord, Kind};
use keyring::Keyring;
use labels::Labels;
use manager::Manager;
use policy::Policy;
use request::Desk;

/// The bus name.
pub const NAME: &str = "org.imad1";
/// The object with the interfaces Manager, Policy, Keyring and Labels.
pub const PATH: &str = "/org/imad1";
/// The object manager of the jobs, which are below it.
pub const JOBS: &str = "/org/imad1/job";

/// What polkit is asked before labels are written or a job is cancelled.
pub const MANAGE_LABELS: &str = "org.imad1.manage-labels";
/// What polkit is asked before single files are shown: their states tell what could be run, and which exist.
pub const INSPECT_FILES: &str = "org.imad1.inspect-files";

/// The introspection data of each interface: its name and the XML document, as `conf/dbus/` keeps them.
pub fn xml() -> Vec<(String, String)> {
    let (desk, _requests) = Desk::new();
    let job = Job::new(JobRecord::new(0, Kind::Relabel), desk.clone());
    vec![
        document(&Manager::new(desk.clone())),
        document(&Policy::new(desk.clone())),
        document(&Keyring::new(desk.clone())),
        document(&Labels::new(desk)),
        document(&job),
    ]
}

/// The next item of a stream of signals or property values; `None` where the connection ended.
pub async fn next<S: zbus::export::futures_core::Stream + Unpin>(stream: &mut S) -> Option<S::Item> {
    std::future::poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

fn document<I: Interface>(interface: &I) -> (String, String) {
    let mut xml = "<!DOCTYPE node PUBLIC \"-//freedesktop//DTD D-BUS Object Introspection 1.0//EN\"\n \
                   \"http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd\">\n<node>\n"
        .to_owned();
    interface.introspect_to_writer(&mut xml, 2);
    xml.push_str("</node>\n");
    (I::name().to_string(), xml)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_interface_is_documented_and_versioned() {
        let documents = xml();
        let names: Vec<&str> = documents.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            ["org.imad1.Manager", "org.imad1.Policy", "org.imad1.Keyring", "org.imad1.Labels", "org.imad1.Job"]
        );
        for (name, xml) in &documents {
            assert!(xml.contains(&format!("<interface name=\"{name}\">")), "{xml}");
            let members = xml.matches("<method ").count() + xml.matches("<property ").count();
            let comments = xml.matches("<!--").count();
            let signals = xml.matches("<signal ").count();
            for comment in xml.split("<!--").skip(1).filter_map(|rest| rest.split("-->").next()) {
                assert!(!comment.contains("--"), "no XML comment: {comment}");
            }
            assert_eq!(comments, members + signals, "every member of {name} has a comment: {xml}");
        }
    }
}
