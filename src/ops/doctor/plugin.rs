//! rpm's plugin for IMA: whether rpm would use it.
#![forbid(unsafe_code)]

use std::io;

use crate::model::doctor::Plugin;
use crate::model::rpm::query;
use crate::sys::root::Root;
use crate::sys::rpm_macros;

/// The macro that names the plugin, with options behind it (rpm-plugins(8)); empty, the plugin is not used.
const MACRO: &str = "__transaction_ima";
/// The plugin's file.
const FILE: &str = "ima.so";
/// Where macros are set that say something else than rpm's own.
const OWN_MACROS: [&str; 2] = ["/etc/rpm", "/usr/lib/rpm/macros.d"];
/// No file of macros is longer.
const LIMIT: u64 = 1 << 20;

/// Looks for the plugin where rpm would.
pub fn plugin(root: &Root) -> Plugin {
    if root.is_running() { of_running(root) } else { of_root(root) }
}

fn of_running(root: &Root) -> Plugin {
    match rpm_macros::expand(&format!("%{{?{MACRO}}}")) {
        Ok(value) => match value.split_whitespace().next() {
            None => Plugin::Disabled,
            Some(path) if root.exists(path) => Plugin::Enabled { path: path.to_owned() },
            Some(path) => Plugin::Missing { path: path.to_owned() },
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Plugin::NoRpm,
        Err(error) => Plugin::Unknown { why: error.to_string() },
    }
}

/// The macros of another root are read, not expanded: they may run programs.
fn of_root(root: &Root) -> Plugin {
    if !root.exists("/usr/bin/rpm") {
        return Plugin::NoRpm;
    }
    if is_switched_off(root) {
        return Plugin::Disabled;
    }
    let mut folders = vec!["/usr/lib64/rpm-plugins".to_owned(), "/usr/lib/rpm-plugins".to_owned()];
    // Debian's libraries lie one deeper.
    let below = root.list("/usr/lib").unwrap_or_default();
    folders.extend(below.iter().map(|name| format!("/usr/lib/{}/rpm-plugins", name.display())));
    let paths: Vec<String> = folders.iter().map(|folder| format!("{folder}/{FILE}")).collect();
    match paths.iter().find(|path| root.exists(path)) {
        Some(path) => Plugin::Enabled { path: path.clone() },
        None => Plugin::Missing { path: paths.first().cloned().unwrap_or_default() },
    }
}

fn is_switched_off(root: &Root) -> bool {
    OWN_MACROS.iter().any(|folder| {
        let names = root.list(folder).unwrap_or_default();
        names.iter().any(|name| {
            let text = root.read(&format!("{folder}/{}", name.display()), LIMIT).unwrap_or_default();
            query::last_value(&text, b"%__transaction_ima").is_some_and(|value| value.is_empty() || value == b"%{nil}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_root_s_plugin_is_found_by_its_files() {
        let dir = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(plugin(&root), Plugin::NoRpm);
        put("usr/bin/rpm", "");
        assert_eq!(plugin(&root), Plugin::Missing { path: "/usr/lib64/rpm-plugins/ima.so".to_owned() });
        put("usr/lib/x86_64-linux-gnu/rpm-plugins/ima.so", "");
        let path = "/usr/lib/x86_64-linux-gnu/rpm-plugins/ima.so".to_owned();
        assert_eq!(plugin(&root), Plugin::Enabled { path: path.clone() });
        put("etc/rpm/macros.ima", "%__transaction_ima_other x\n%__transaction_ima %{nil}\n");
        assert_eq!(plugin(&root), Plugin::Disabled);
        put("etc/rpm/macros.ima", "%__transaction_ima %{__plugindir}/ima.so\n");
        assert_eq!(plugin(&root), Plugin::Enabled { path });
    }
}
