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


def installed(tool):
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin") is not None


def last_line(file):
    file.seek(0)
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"


@dataclass
class Run:
    """What one run of a command took: seconds, CPU seconds, MiB of its largest process."""

    seconds: float
    cpu: float
    peak: float
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
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begin
        timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        if seconds >= limit:
            raise Stopped()
        if process.returncode != 0:
            raise ToolFailed(f"{command[0]}: {last_line(errors)}")
        output.seek(0)
        return Run(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output.read())


def family_of(pid):
    """The process and those that descend from it."""
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat") as file:
                    parents[int(name)] = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                pass  # it has ended meanwhile
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def cpu_seconds(pid):
    """Of a process, its children that run and those that it has waited for."""
    ticks = 0
    for member in family_of(pid):
        try:
            with open(f"/proc/{member}/stat") as file:
                ticks += sum(map(int, file.read().rsplit(")", 1)[1].split()[11:15]))
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def peak_memory_mib(pid):
    """Resident memory of a process and its children at their peaks."""
    kib = 0
    for member in family_of(pid):
        try:
            with open(f"/proc/{member}/status") as file:
                kib += sum(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        except OSError:
            pass
    return kib / 1024
