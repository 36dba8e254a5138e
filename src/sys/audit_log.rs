//! The audit daemon's log, which has the kernel's records once auditd(8) runs; the kernel's messages then lack them.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::root::Root;
use rustix::fs::OFlags;

const LOG: &str = "/var/log/audit/audit.log";
/// More is not read of its end.
const TAIL: u64 = 16 << 20;

/// The lines since the audit daemon last started; `None` where there is no such log.
pub fn since_start(root: &Root) -> io::Result<Option<Vec<String>>> {
    let mut file = match root.open_with(LOG.as_bytes(), OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW) {
        Ok(file) => File::from(file),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
    let mut bytes = Vec::new();
    file.take(TAIL).read_to_end(&mut bytes)?;
    Ok(Some(lines_since_start(&String::from_utf8_lossy(&bytes))))
}

fn lines_since_start(text: &str) -> Vec<String> {
    let lines: Vec<&str> = text.lines().collect();
    let start = lines.iter().rposition(|line| line.starts_with("type=DAEMON_START "));
    lines.iter().skip(start.unwrap_or(0)).map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn earlier_boots_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let root = Root::open(dir.path()).unwrap();
        assert_eq!(since_start(&root).unwrap(), None);
        std::fs::create_dir_all(dir.path().join("var/log/audit")).unwrap();
        let text = "type=DAEMON_START a\nold\ntype=DAEMON_START b\nnew\n";
        std::fs::write(dir.path().join("var/log/audit/audit.log"), text).unwrap();
        assert_eq!(since_start(&root).unwrap().unwrap(), ["type=DAEMON_START b", "new"]);
        assert_eq!(lines_since_start("new\n"), ["new"]);
    }
}
