//! What the kernel, the bus and fstab(5) name: programs that nobody's unit executes.
#![forbid(unsafe_code)]

/// The program of a `core_pattern` that begins with a pipe (core(5)).
pub fn piped_program(pattern: &[u8]) -> Option<&[u8]> {
    super::words(pattern.trim_ascii_start().strip_prefix(b"|")?).next().filter(|program| program.starts_with(b"/"))
}

/// The value that a file of sysctl.d(5) gives a setting; the last one counts. The name is that with dots.
pub fn setting<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let is_it = |key: &[u8]| {
        let key = key.strip_prefix(b"-").unwrap_or(key).trim_ascii();
        key.len() == name.len() && key.iter().zip(name).all(|(a, b)| a == b || (*a == b'/' && *b == b'.'))
    };
    let value = |line: &'a [u8]| {
        let line = line.trim_ascii();
        let equals = line.iter().position(|&byte| byte == b'=').filter(|_| !line.starts_with(b"#"))?;
        let (key, value) = line.split_at_checked(equals)?;
        is_it(key.trim_ascii()).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    };
    text.split(|&byte| byte == b'\n').filter_map(value).next_back()
}

/// Programs of request-key.conf(5): `OPERATION TYPE DESCRIPTION CALLOUT PROGRAM …`.
pub fn request_key_programs(text: &[u8]) -> Vec<Vec<u8>> {
    let lines = super::lines(text, b"#", b" ");
    let program = |line: &Vec<u8>| {
        let program = super::words(line).nth(4)?;
        // A pipe before it: it is given data.
        let program = program.strip_prefix(b"|").unwrap_or(program);
        program.starts_with(b"/").then(|| program.to_vec())
    };
    lines.iter().filter_map(program).collect()
}

/// File systems that fstab(5) mounts, by type, each once; `swap` is one of them.
pub fn mounts(fstab: &[u8]) -> Vec<Vec<u8>> {
    let lines = super::lines(fstab, b"#", b"");
    let kinds = lines.iter().filter_map(|line| super::words(line).nth(2));
    // `auto` and `ext3,ext4` leave it to mount(8).
    let mut kinds: Vec<Vec<u8>> = kinds
        .flat_map(|kinds| kinds.split(|&byte| byte == b','))
        .filter(|kind| is_name(kind))
        .map(<[u8]>::to_vec)
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// Whether a type of a file system can be part of a helper's name.
pub fn is_name(kind: &[u8]) -> bool {
    !kind.is_empty() && kind.iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(byte))
}

/// A service that the bus starts (dbus-daemon(1)).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BusService {
    /// `Name=`: its name on the bus.
    pub name: Vec<u8>,
    /// `SystemdService=`: the unit by which it is started.
    pub unit: Option<Vec<u8>>,
    /// `Exec=`: how it is started without systemd.
    pub exec: Option<Vec<u8>>,
}

/// Reads a file of `/usr/share/dbus-1/system-services`.
pub fn bus_service(text: &[u8]) -> BusService {
    let mut service = BusService::default();
    for line in super::lines(text, b"#;", b" ") {
        let Some(equals) = line.iter().position(|&byte| byte == b'=') else { continue };
        let (key, value) = line.split_at(equals);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        match key.trim_ascii() {
            b"Name" => service.name = value.to_vec(),
            b"SystemdService" => service.unit = Some(value.to_vec()),
            b"Exec" => service.exec = Some(value.to_vec()),
            _ => {}
        }
    }
    service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_kernel() {
        let systemd = b"|/usr/lib/systemd/systemd-coredump %P %u %g %s %t %c %h\n";
        assert_eq!(piped_program(systemd), Some(&b"/usr/lib/systemd/systemd-coredump"[..]));
        assert_eq!(piped_program(b"core\n"), None);
        assert_eq!(piped_program(b"|"), None);
        let text =
            b"# kernel.modprobe=/no\n-kernel.core_pattern = |/a %p\nkernel/core_pattern=|/b\nkernel.core_patternx=1\n";
        assert_eq!(setting(text, b"kernel.core_pattern"), Some(&b"|/b"[..]));
        assert_eq!(setting(text, b"kernel.modprobe"), None);
        let text = b"#OP TYPE DESC CALLOUT PROGRAM\ncreate dns_resolver * * /sbin/key.dns_resolver %k\n\
            create user debug:loop:* * |/bin/cat\nnegate * * *\n";
        assert_eq!(request_key_programs(text), [b"/sbin/key.dns_resolver".to_vec(), b"/bin/cat".to_vec()]);
    }

    #[test]
    fn file_systems_of_fstab() {
        let text = b"# <file system> <mount point> <type>\nUUID=1 / ext4 rw 0 1\n/x /y nfs4 _netdev 0 0\nUUID=2 none swap sw 0 0\n\
            a b ext3,ext4 x\n/c /d ../evil x\nbad\n";
        assert_eq!(mounts(text), [b"ext3".to_vec(), b"ext4".to_vec(), b"nfs4".to_vec(), b"swap".to_vec()]);
    }

    #[test]
    fn services_of_the_bus() {
        let service = bus_service(
            b"[D-BUS Service]\nName=org.freedesktop.login1\nExec=/bin/false\nUser=root\nSystemdService=dbus-org.freedesktop.login1.service\n",
        );
        assert_eq!(service.name, b"org.freedesktop.login1");
        assert_eq!(service.unit.as_deref(), Some(&b"dbus-org.freedesktop.login1.service"[..]));
        assert_eq!(service.exec.as_deref(), Some(&b"/bin/false"[..]));
    }
}
