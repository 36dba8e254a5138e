//! Who may do what: root anything, everybody else what polkit says.
#![forbid(unsafe_code)]

use std::collections::HashMap;

use zbus::message::Message;
use zbus::proxy::CacheProperties;
use zbus::{Connection, fdo};
use zbus_polkit::policykit1::{AuthorityProxy, CheckAuthorizationFlags, Subject};

use crate::bus::error::Failure;
use crate::bus::request::Caller;

/// Whether a caller is root, as the bus knows it. No polkit is needed for that.
pub(super) async fn is_root(bus: &Connection, caller: &Caller) -> bool {
    let uid = async {
        let destination = Some("org.freedesktop.DBus");
        let interface = Some("org.freedesktop.DBus");
        let path = "/org/freedesktop/DBus";
        bus.call_method(destination, path, interface, "GetConnectionUnixUser", &caller.name.as_str())
            .await?
            .body()
            .deserialize::<u32>()
    };
    // A caller that has left the bus meanwhile is nobody.
    uid.await.is_ok_and(|uid| uid == 0)
}

/// Lets a caller through for a polkit action, or says why not.
pub(super) async fn authorize(bus: &Connection, caller: &Caller, action: &str) -> Result<(), Failure> {
    if is_root(bus, caller).await {
        return Ok(());
    }
    let denied = |why: String| Failure::DBus(fdo::Error::AccessDenied(why));
    let subject = subject(caller).map_err(|error| denied(error.to_string()))?;
    let check = async {
        let polkit = AuthorityProxy::builder(bus).cache_properties(CacheProperties::No).build().await?;
        let flags = if caller.interactive {
            CheckAuthorizationFlags::ALLOW_USER_INTERACTION
        } else {
            CheckAuthorizationFlags::empty()
        };
        polkit.check_authorization(&subject, action, &HashMap::new(), flags, "").await
    };
    match check.await {
        Ok(answer) if answer.is_authorized => Ok(()),
        Ok(answer) if answer.is_challenge => Err(Failure::DBus(fdo::Error::InteractiveAuthorizationRequired(format!(
            "{action} needs a person's authentication. Next: run it as root, or with an authentication agent"
        )))),
        Ok(_) => Err(denied(format!("polkit does not authorize {action}. Next: run it as root"))),
        Err(error) => Err(denied(format!("polkit cannot be asked for {action} ({error}). Next: run it as root"))),
    }
}

/// The caller as polkit knows it: by its bus name, so that no process can take another's place meanwhile. zbus_polkit
/// takes that from a message only.
fn subject(caller: &Caller) -> Result<Subject, Box<dyn std::error::Error>> {
    let message = Message::method_call("/", "M").sender(caller.name.as_str()).build(&())?;
    Ok(Subject::new_for_message_header(&message.header())?)
}
