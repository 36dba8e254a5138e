//! Who may ask the daemon what: everybody reads, polkit decides on the rest.

use std::collections::HashMap;
use std::sync::mpsc;

use imad::bus::{INSPECT_FILES, MANAGE_LABELS};
use zbus::interface;

use super::fixture::{PrivateRoot, Signed};
use super::service::{Bus, Service};

/// A polkit that authorizes one action, asks for a person for another, and denies all else.
struct Polkit {
    yes: &'static str,
    challenge: &'static str,
}

#[expect(clippy::needless_pass_by_value, reason = "zbus hands arguments over")]
#[interface(name = "org.freedesktop.PolicyKit1.Authority")]
impl Polkit {
    fn check_authorization(
        &self,
        subject: (String, HashMap<String, zbus::OwnedVariant>),
        action: &str,
        details: HashMap<String, String>,
        flags: u32,
        cancellation: &str,
    ) -> (bool, bool, HashMap<String, String>) {
        assert!(details.is_empty() && cancellation.is_empty());
        assert!(flags == 1, "busctl lets polkit ask a person");
        assert_eq!(subject.0, "system-bus-name");
        assert!(String::try_from(subject.1["name"].try_clone().unwrap()).unwrap().starts_with(':'));
        (action == self.yes, action == self.challenge, HashMap::new())
    }
}

/// A polkit on a bus, until the sender is dropped.
fn polkit(bus: &Bus, yes: &'static str, challenge: &'static str) -> (mpsc::Sender<()>, std::thread::JoinHandle<()>) {
    let (stop, stopped) = mpsc::channel::<()>();
    let (ready, is_ready) = mpsc::channel();
    let address = bus.address();
    let thread = std::thread::spawn(move || {
        zbus::block_on(async {
            let connection = zbus::connection::Builder::address(address.as_str())
                .serve_at("/org/freedesktop/PolicyKit1/Authority", Polkit { yes, challenge })
                .name("org.freedesktop.PolicyKit1")
                .build()
                .await
                .unwrap();
            ready.send(()).unwrap();
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
            drop(connection);
        });
    });
    is_ready.recv().unwrap();
    (stop, thread)
}

const RELABEL: [&str; 6] = ["call", "org.imad1", "/org/imad1", "org.imad1.Labels", "Relabel", "a{sv}"];
const EXPLAIN: [&str; 7] =
    ["call", "org.imad1", "/org/imad1", "org.imad1.Labels", "Explain", "sa{sv}", "/usr/bin/hello"];

fn ask(bus: &Bus, as_nobody: bool, call: &[&str]) -> (bool, String) {
    bus.busctl(as_nobody, &[call, &["0"]].concat())
}

#[test]
fn everybody_reads_and_polkit_decides_on_the_rest() {
    let (bus, root) = (Bus::new(), PrivateRoot::new());
    root.install(&[root.build("hello", "1.0", &[("/usr/bin/hello", "hello\n", "0755")], Signed::Good)]);
    let service = Service::start(&bus, &root);
    service.wait_for("running");

    let (success, text) = bus.busctl(true, &["introspect", "org.imad1", "/org/imad1"]);
    assert!(success, "{text}");
    for member in ["Manager", "Policy", "Keyring", "Labels"].map(|interface| format!("org.imad1.{interface}")) {
        assert!(text.lines().any(|line| line.starts_with(&member) && line.contains("interface")), "{text}");
    }
    let line =
        |name: &str| text.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(line(".Counts").contains("a{st}") && line(".Counts").contains("\"good\" 1"), "{text}");
    assert!(line(".State").contains("\"running\"") && line(".State").contains("emits-change"), "{text}");
    assert!(line(".Version").contains(env!("CARGO_PKG_VERSION")) && line(".Version").contains("const"), "{text}");
    assert!(line(".Relabel").contains("method"), "{text}");

    // Root needs no polkit; without one nobody else may do anything.
    assert!(ask(&bus, false, &RELABEL).0);
    let (success, text) = ask(&bus, false, &EXPLAIN);
    assert!(success && text.contains("\\\"state\\\":\\\"good\\\""), "{text}");
    let (success, text) = ask(&bus, true, &RELABEL);
    assert!(!success && text.contains("Access denied"), "busctl puts it in its own words: {text}");

    let (stop, thread) = polkit(&bus, MANAGE_LABELS, INSPECT_FILES);
    let (success, text) = ask(&bus, true, &RELABEL);
    assert!(success && text.contains("/org/imad1/job/"), "{text}");
    let (success, text) = ask(&bus, true, &EXPLAIN);
    assert!(!success && text.contains("needs a person's authentication"), "{text}");
    drop(stop);
    thread.join().unwrap();

    let (stop, thread) = polkit(&bus, INSPECT_FILES, "");
    assert!(ask(&bus, true, &EXPLAIN).0);
    let (success, text) = ask(&bus, true, &RELABEL);
    assert!(!success && text.contains("Access denied"), "{text}");
    drop(stop);
    thread.join().unwrap();
}
