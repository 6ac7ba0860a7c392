"""Commands with a time limit, and what processes cost."""
import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass


class ToolFailed(Exception):
    """A tool ended with an error."""


class Stopped(Exception):
    """A tool took longer than it may, and was stopped."""

    def __init__(self, limit):
        super().__init__(f"> {limit:.0f} s")


def installed(tool):
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def last_line(file):
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


@dataclass
class Run:
    """What one run of a command took, in seconds of the clock and of processors."""

    seconds: float
    cpu: float
    output: bytes


def kill_group(process):
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def run(command, limit, stdin=None, environment=None):
    """Runs a command, a list or a line for bash, for at most `limit` seconds."""
    if isinstance(command, str):
        command = ["bash", "-c", "set -o pipefail; " + command]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as errors:
        begin = time.monotonic()
        process = subprocess.Popen(command, stdin=stdin or subprocess.DEVNULL, stdout=output,
                                   stderr=errors, start_new_session=True,
                                   env={**os.environ, **(environment or {})})
        timer = threading.Timer(limit, kill_group, [process])
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            kill_group(process)
            raise
        finally:
            timer.cancel()
        seconds = time.monotonic() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
        if seconds >= limit:
            raise Stopped(limit)
        if process.returncode != 0:
            raise ToolFailed(f"{command[0]}: {last_line(errors)}")
        output.seek(0)
        return Run(seconds, usage.ru_utime + usage.ru_stime, output.read())


def family_of(pid):
    """The processes of the session of a process, which must not be that of the benchmark."""
    session = os.getsid(pid)
    assert session != os.getsid(0)
    family = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.getsid(int(name)) == session:
                family.append(int(name))
        except ProcessLookupError:
            pass  # it has ended meanwhile
    return family


def cpu_seconds(pid):
    """Of a process and its family, and of the children that these have waited for."""
    ticks = 0
    for member in family_of(pid):
        try:
            with open(f"/proc/{member}/stat") as file:
                ticks += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:15]))
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_memory_mib(pid):
    """Resident memory of a process and its family at their peaks."""
    kib = 0
    for member in family_of(pid):
        try:
            with open(f"/proc/{member}/status") as file:
                kib += sum(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        except OSError:
            pass
    return kib / 1024
