"""A real PostgreSQL server that searches are tested and measured with, and that can be stopped."""

import contextlib
import glob
import os
import pathlib
import shutil
import socket
import subprocess
import tempfile

PROGRAMS = sorted(glob.glob("/usr/lib/postgresql/*/bin"))


class PostgreSQL:
    """A server of its own, run as user postgres, that `stop` and `start` end and begin."""

    def __init__(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="keras-descent-postgresql-"))
        shutil.chown(self.directory, "postgres", "postgres")
        self.port = free_port()
        try:
            self._run("initdb", "-D", str(self.directory / "data"), "--auth=trust", "--no-sync", "--username=postgres")
            self.start()
        except BaseException:
            shutil.rmtree(self.directory, ignore_errors=True)
            raise

    def start(self):
        options = f"-p {self.port} -k {self.directory} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self.directory / "log")
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-o", options, "-l", log, "-w", "start")

    def stop(self):
        """At once, as if the machine had lost its power."""
        self._run("pg_ctl", "-D", str(self.directory / "data"), "-m", "immediate", "-w", "stop")

    def new(self, name):
        """The URL of a new, empty database."""
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), name)
        return f"postgresql://postgres@127.0.0.1:{self.port}/{name}"

    def close(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _run(self, program, *arguments):
        command = ["runuser", "-u", "postgres", "--", os.path.join(PROGRAMS[-1], program), *arguments]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd="/")


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def why_no_postgresql():
    """Why PostgreSQL cannot be tested here; nothing if it can."""
    if not PROGRAMS:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    return "only root can start PostgreSQL as user postgres" if os.geteuid() else ""
