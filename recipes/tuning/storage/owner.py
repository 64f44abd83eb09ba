"""The owner of a lease: a process, described so that others on its machine can find out whether it still runs."""

import os
import pathlib
import socket


def owner():
    """This process in one line: host, boot, process namespace, process id, time of its start."""
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id")
    where = f"{socket.gethostname()} {boot.read_text().strip() if boot.exists() else ''} {_namespace()}"
    return f"{where} {os.getpid()} {_start_of(os.getpid())}"


def is_dead(other):
    """Whether a process of this machine has ended; False for processes of other machines.

    Args:
        other: str, as `owner` returns it.
    """
    *where, pid, start = other.split(" ")
    if where != owner().split(" ")[:-2] or not start:
        return False
    return not _exists(int(pid)) or _start_of(int(pid)) not in (start, "")


def _exists(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of another user
        return True
    return True


def _namespace():
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def _start_of(pid):
    """When a process began, in ticks since boot; "" if that is not readable, "ended" if the process has ended."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *rest = text.rpartition(")")[2].split()
    return "ended" if state in "ZX" else rest[18]  # a zombie has ended
