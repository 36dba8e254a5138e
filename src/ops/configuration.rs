//! Reading `imad.toml` and its drop-ins.
#![forbid(unsafe_code)]

use std::io;

use crate::model::config::{self, Config};
use crate::model::report::Problem;
use crate::sys::root::Root;

const VENDOR: &str = "/usr/lib/imad/imad.toml";
const ADMIN: &str = "/etc/imad/imad.toml";
const DROP_INS: &str = "/etc/imad/imad.toml.d";
/// No configuration file is longer.
const LIMIT: u64 = 1 << 20;

/// The configuration of a root. A file with a fault is left out whole and named among the problems: the other files
/// and the defaults, which are the strict choice, hold.
pub fn load(root: &Root) -> (Config, Vec<Problem>) {
    let mut config = Config::default();
    let mut problems = Vec::new();
    let mut files = vec![VENDOR.to_owned(), ADMIN.to_owned()];
    match root.list(DROP_INS) {
        Ok(names) => files.extend(
            names
                .iter()
                .filter(|name| name.extension().is_some_and(|extension| extension == "toml"))
                .map(|name| format!("{DROP_INS}/{}", name.display())),
        ),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => problems.push(Problem::new(format!("{DROP_INS}: {error}"), format!("ls -ld {DROP_INS}"))),
    }
    for file in files {
        let text = match root.read(&file, LIMIT) {
            Ok(bytes) => String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => Err(error.to_string()),
        };
        let parsed = text
            .map_err(|why| format!("{file}: {why}"))
            .and_then(|text| config::parse(&file, &text).map_err(|fault| fault.to_string()));
        match parsed {
            Ok(fragment) => config.apply(fragment),
            Err(what) => problems.push(Problem::new(what, format!("mend {file}; until then it is not used"))),
        }
    }
    (config, problems)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_faulty_file_is_named_and_the_rest_holds() {
        let dir = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("usr/lib/imad/imad.toml", "[keys]\ndir = '/a'\n");
        write("etc/imad/imad.toml", "[keys]\ndirr = '/b'\n");
        write("etc/imad/imad.toml.d/10.toml", "[policy]\nrequire_signature = false\n");
        write("etc/imad/imad.toml.d/README", "not toml");
        let (config, problems) = load(&Root::open(dir.path()).unwrap());
        assert_eq!(config.keys.dir, "/a");
        assert!(!config.policy.require_signature);
        assert_eq!(problems.len(), 1);
        assert!(problems[0].what.starts_with("/etc/imad/imad.toml:2:1: unknown field `dirr`"), "{problems:?}");
    }
}
