"""Hands something to the kernel and prints what it says: "ok", or the errno's name.

kernel.py finit_module FILE | init_module FILE | kexec_load | kexec_file_load KERNEL INITRAMFS | policy TEXT
kernel.py memfd PROGRAM         executes it from a memfd
kernel.py uncovered PROGRAM     what becomes of the program, and of it as a module, in the initramfs's file system
"""

import ctypes
import errno
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
MS_REC, MS_PRIVATE, MNT_DETACH, KEXEC_FILE_UNLOAD = 1 << 14, 1 << 18, 2, 1


def call(number, *arguments):
    """A system call of x86-64, integers as the longs that it takes."""
    longs = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    failed = libc.syscall(ctypes.c_long(number), *longs) == -1
    return errno.errorcode[ctypes.get_errno()] if failed else "ok"


def reading(path):
    return os.open(path, os.O_RDONLY)


def finit_module(path):
    return call(313, reading(path), b"", 0)


def init_module(path):
    with open(path, "rb") as file:
        image = file.read()
    return call(175, image, len(image), b"")


def kexec_load():
    """No segments: unloads, which asks for the same permission."""
    return call(246, 0, 0, None, 0)


def kexec_file_load(kernel, initramfs):
    line = b"console=ttyS0\0"
    said = call(320, reading(kernel), reading(initramfs), len(line), line, 0)
    call(320, -1, -1, 0, None, KEXEC_FILE_UNLOAD)
    return said


def policy(text):
    """An absolute path, or a rule."""
    try:
        file = os.open("/sys/kernel/security/ima/policy", os.O_WRONLY)
        os.write(file, text.encode())
        os.close(file)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "ok"


def executed(path):
    try:
        process = os.posix_spawn(path, ["program"], {})
    except OSError as error:
        return errno.errorcode[error.errno]
    return f"exit {os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])}"


def memfd(path):
    written = os.memfd_create("program")
    with open(path, "rb") as program:
        os.write(written, program.read())
    # Nothing is executed that somebody may still write to.
    file = reading(f"/proc/self/fd/{written}")
    os.close(written)
    os.set_inheritable(file, True)
    return executed(f"/proc/self/fd/{file}")


def uncovered(path):
    """The real root is mounted over the initramfs's file system; root may unmount it, in a namespace of their own."""
    with open(path, "rb") as file:
        program = file.read()
    os.unshare(os.CLONE_NEWNS)
    assert libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0
    namespace = reading("/proc/self/ns/mnt")
    assert libc.umount2(b"/", MNT_DETACH) == 0
    os.setns(namespace, os.CLONE_NEWNS)
    assert not os.path.exists("/usr/bin"), os.listdir("/")
    with open("/uncovered", "wb") as file:
        file.write(program)
    os.chmod("/uncovered", 0o755)
    return f"{executed('/uncovered')} {finit_module('/uncovered')}"


print(globals()[sys.argv[1]](*sys.argv[2:]))
