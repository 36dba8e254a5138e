#!/usr/bin/python3
"""Does in the guest what tests/guest/verdicts asks for: one JSON document in, one out.

Each step is done by a process of its own with the step's user and group. Beside the steps it listens to the kernel's
audit records, which it hands on as they are.
"""
import base64, ctypes, fcntl, json, mmap, os, socket, struct, sys, threading, time

from fuse_files import Files

LIBC = ctypes.CDLL(None, use_errno=True)
MODES = {"read": os.O_RDONLY, "write": os.O_WRONLY, "both": os.O_RDWR}
FUSE = "/t/fuse"
POLICY = "/sys/kernel/security/ima/policy"
FINIT_MODULE, KEXEC_FILE_LOAD, NO_INITRAMFS = 313, 320, 4
ENABLE_VERITY = 0x40806685
AT_FDCWD, AT_SYMLINK_FOLLOW = -100, 0x400
MINE = (1800, 1805)


class Listener(threading.Thread):
    """Audit records, from the multicast group that needs no auditd."""

    def __init__(self):
        super().__init__(daemon=True)
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 9)
        self.socket.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
        self.socket.bind((0, 1))
        self.records, self.last = [], time.monotonic()

    def run(self):
        while True:
            message = self.socket.recv(65536)
            kind = struct.unpack_from("=H", message, 4)[0]
            if kind in MINE:
                self.records.append((kind, message[16:].rstrip(b"\0").decode("latin-1")))
                self.last = time.monotonic()

    def all(self):
        """Waits until nothing has come for a while."""
        begin = time.monotonic()
        while time.monotonic() - max(self.last, begin) < 3:
            time.sleep(0.2)
        return self.records


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return result


def opened(step, path, flags=os.O_RDONLY):
    try:
        return os.open(path, flags, 0o777)
    except OSError as error:
        raise Stop(f"open:{error.errno}") from error


class Stop(Exception):
    pass


def execute(step, path):
    try:
        os.execv(path, [path])
    except OSError as error:
        raise Stop(f"exec:{error.errno}") from error


def map_executable(step, path):
    fd = opened(step, path)
    try:
        mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC)
    except OSError as error:
        raise Stop(f"mmap:{error.errno}") from error


def protect(step, path):
    fd = opened(step, path)
    LIBC.mmap.restype = ctypes.c_void_p
    area = LIBC.mmap(None, ctypes.c_size_t(4096), mmap.PROT_READ, mmap.MAP_PRIVATE, fd, ctypes.c_long(0))
    if LIBC.mprotect(ctypes.c_void_p(area), ctypes.c_size_t(4096), mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise Stop(f"mprotect:{ctypes.get_errno()}")


def open_file(step, path):
    flags = MODES[step["mode"]]
    for name, flag in (("append", os.O_APPEND), ("truncate", os.O_TRUNC), ("direct", os.O_DIRECT), ("create", os.O_CREAT)):
        if step.get(name):
            flags |= flag
    fd = opened(step, path, flags)
    if step.get("write"):
        os.write(fd, base64.b64decode(step["write"]))
    os.close(fd)


def temporary(step, path):
    """O_TMPFILE, given the name that the case knows it by."""
    fd = opened(step, os.path.dirname(path), os.O_TMPFILE | os.O_WRONLY)
    os.write(fd, base64.b64decode(step["write"]))
    checked(LIBC.linkat(AT_FDCWD, f"/proc/self/fd/{fd}".encode(), AT_FDCWD, path.encode(), AT_SYMLINK_FOLLOW))
    os.close(fd)


def node(step, path):
    os.mknod(path, 0o100777)


def module(step, path):
    fd = opened(step, path)
    if LIBC.syscall(FINIT_MODULE, fd, b"", 0) < 0 and ctypes.get_errno() == 13:
        raise Stop("module:13")


def kexec(step, path):
    fd = opened(step, path)
    if LIBC.syscall(KEXEC_FILE_LOAD, fd, -1, ctypes.c_ulong(1), b"", ctypes.c_ulong(NO_INITRAMFS)) < 0 and ctypes.get_errno() == 13:
        raise Stop("kexec:13")


def policy(step, path):
    fd = os.open(POLICY, os.O_WRONLY)
    try:
        os.write(fd, (path + "\n").encode())
    except OSError as error:
        if error.errno == 13:
            raise Stop("policy:13") from error
        raise
    finally:
        os.close(fd)


def label(step, path):
    try:
        os.setxattr(path, "security.ima", base64.b64decode(step["label"]))
    except OSError as error:
        raise Stop(f"label:{error.errno}") from error


def attributes(step, path):
    os.chmod(path, 0o777)


DO = {
    "exec": execute, "map": map_executable, "protect": protect, "open": open_file, "temporary": temporary, "node": node,
    "module": module, "kexec": kexec, "policy": policy, "label": label, "attributes": attributes,
}


def attempt(step, path):
    reading, writing = os.pipe2(os.O_CLOEXEC)
    child = os.fork()
    if child == 0:
        said = "ok"
        try:
            os.umask(0)
            # A shell that cannot read its script would say so.
            null = os.open("/dev/null", os.O_RDWR)
            os.dup2(null, 1), os.dup2(null, 2)
            os.setgroups([])
            os.setresgid(step["uid"], step["uid"], step["uid"])
            os.setresuid(step["uid"], step["uid"], step["uid"])
            DO[step["do"]](step, path)
        except Stop as stop:
            said = str(stop)
        except BaseException as error:
            said = f"unexpected: {error!r}"
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    said = b""
    while part := os.read(reading, 4096):
        said += part
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if said:
        return said.decode()
    # The program ran in place of the child, or was killed in its first moment.
    return f"signal:{-os.waitstatus_to_exitcode(status)}" if os.WIFSIGNALED(status) else f"exit:{os.waitstatus_to_exitcode(status)}"


def prepare(case, held, fuse):
    path = case["path"]
    if case.get("content") is not None and case["path"].startswith(FUSE):
        label = case["label"] and base64.b64decode(case["label"])
        fuse[case["name"]] = (base64.b64decode(case["content"]), 0o100000 | case["mode"], case["owner"], label)
        return
    if case.get("content") is not None:
        with open(path, "wb") as file:
            file.write(base64.b64decode(case["content"]))
        if case["chown"]:
            os.chown(path, case["owner"], case["owner"])
            os.chmod(path, case["mode"])
        if case.get("label") is not None:
            os.setxattr(path, "security.ima", base64.b64decode(case["label"]))
    if case["verity"]:
        fd = os.open(path, os.O_RDONLY)
        fcntl.ioctl(fd, ENABLE_VERITY, struct.pack("=IIII", 1, 1, 4096, 0) + bytes(112))
        os.close(fd)
    if case["held"]:
        fd = os.open(path, os.O_RDWR)
        held.append(mmap.mmap(fd, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ | mmap.PROT_WRITE))
        os.close(fd)


def read_label(path):
    try:
        return base64.b64encode(os.getxattr(path, "security.ima")).decode()
    except OSError:
        return None


def main():
    work = json.load(open(sys.argv[1]))
    held, results, fuse = [], {}, {}
    for case in work["cases"]:
        prepare(case, held, fuse)
    files = Files(FUSE, fuse)
    server = os.fork()
    if server == 0:
        files.serve()
    os.close(files.device)
    os.sync()
    listener = Listener()
    listener.start()
    fd = os.open(POLICY, os.O_WRONLY)
    os.write(fd, work["policy"].encode())
    os.close(fd)
    for late in (False, True):
        if late:
            with open("/sys/kernel/security/evm", "w") as evm:
                evm.write("0x80000002")
        for case in work["cases"]:
            if case["late"] == late:
                results[case["name"]] = {"steps": [attempt(step, case["path"]) for step in case["steps"]]}
    for case in work["cases"]:
        results[case["name"]]["label"] = read_label(case["path"])
    json.dump({"results": results, "records": listener.all()}, open(sys.argv[2], "w"))
    os.kill(server, 9)
    # Nothing here is worth an orderly end, and the mappings are to live until now.
    os._exit(0)


main()
