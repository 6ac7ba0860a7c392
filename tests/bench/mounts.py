"""Remote directories as mounts: ours, and the peers with their best settings.

A mount is ready when its directory can be listed.
"""
import json
import os
import shutil
import subprocess
import tempfile
import time

from processes import (Stopped, ToolFailed, cpu_seconds, family_of, installed, last_line,
                       peak_memory_mib)

PATIENCE = 30  # seconds that a mount may take to be ready, and to end


class NotServed(Exception):
    """This build of the connector does not offer what is to be measured."""


class Mount:
    """A directory of the server as a local one for the length of a with block."""

    pid = None
    was_killed = False

    def __init__(self, address, directory, work):
        self.address = address
        self.directory = directory
        self.work = tempfile.mkdtemp(prefix="mount-", dir=work)
        self.path = os.path.join(self.work, "mnt")
        os.mkdir(self.path)

    def __enter__(self):
        begin = time.monotonic()
        try:
            self.start()
            os.listdir(self.path)
        except BaseException:
            self.kill()
            raise
        self.seconds = time.monotonic() - begin
        self.identify()
        self.cpu_before = cpu_seconds(self.pid)
        return self

    def __exit__(self, *_):
        self.stop()
        shutil.rmtree(self.work, ignore_errors=True)

    def identify(self):
        """Finds the process that serves the mount, once it is ready."""

    def cpu(self):
        """Seconds since the mount was ready."""
        return cpu_seconds(self.pid) - self.cpu_before

    def peak(self):
        return peak_memory_mib(self.pid)

    def kill(self):
        """Ends reads that hang."""
        self.was_killed = True
        for pid in family_of(self.pid) if self.pid else []:
            try:
                os.kill(pid, 9)
            except ProcessLookupError:
                pass
        subprocess.run(["fusermount3", "-uzq", self.path], check=False)


class Ours(Mount):
    """red-connector mount-dir."""

    name = "ours"
    protocols = ("http", "sftp")
    red = None  # the executable, set once

    def __init__(self, address, directory, work, **access):
        super().__init__(address, directory, work)
        self.access = {**address.access(directory), **access}

    @staticmethod
    def is_installed():
        return True

    def start(self):
        file = os.path.join(self.work, "access.json")
        with open(file, "w") as output:
            json.dump(self.access, output)
        done = subprocess.run([self.red, "mount-dir", file, self.path], capture_output=True,
                              text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise ToolFailed(f"mount-dir: {done.stderr.strip()}")
        if "cache.dir" in done.stderr:
            subprocess.run([self.red, "umount-dir", self.path], check=True)
            raise NotServed()

    def identify(self):
        table = subprocess.run([self.red, "mounts"], capture_output=True, text=True,
                               check=True).stdout
        line = next(line for line in table.splitlines() if self.path in line)
        self.pid = next(int(word) for word in line.split() if word.isdigit())

    def stop(self):
        done = subprocess.run([self.red, "umount-dir", self.path], capture_output=True, text=True,
                              timeout=PATIENCE)
        if done.returncode != 0 and not self.was_killed:
            raise ToolFailed(f"umount-dir: {done.stderr.strip()}")


class Peer(Mount):
    """A mount whose process stays in the foreground."""

    @classmethod
    def is_installed(cls):
        return installed(cls.program)

    def start(self):
        self.log = open(os.path.join(self.work, "log"), "wb+")
        self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=self.log,
                                        stderr=self.log, start_new_session=True)
        self.pid = self.process.pid
        deadline = time.monotonic() + PATIENCE
        while not os.path.ismount(self.path):
            if self.process.poll() is not None:
                raise ToolFailed(f"{self.name}: {last_line(self.log)}")
            if time.monotonic() > deadline:
                raise Stopped(PATIENCE)
            time.sleep(0.001)

    def stop(self):
        # Not lazily at first: who still has files open would be measured with what comes next.
        if subprocess.run(["fusermount3", "-u", self.path], stderr=subprocess.DEVNULL,
                          check=False).returncode != 0:
            self.kill()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            self.process.wait()
        self.log.close()


class Sshfs(Peer):
    """With its defaults, but the fastest cipher."""

    name = "sshfs"
    program = "sshfs"
    protocols = ("sftp",)
    settings = ()

    def command(self):
        return ["sshfs", "-f", *self.address.options(), *self.settings,
                f"{self.address.user}@127.0.0.1:{self.address.path(self.directory)}", self.path]


class SshfsReadahead(Sshfs):
    """With the kernel's page cache, and a readahead of 8 MiB where the kernel lets us set it."""

    name = "sshfs ra8M"
    settings = ("-o", "kernel_cache", "-o", "max_conns=4", "-o", "dcache_max_size=100000")

    def start(self):
        super().start()
        device = os.stat(self.path).st_dev
        try:
            with open(f"/sys/class/bdi/{os.major(device)}:{os.minor(device)}/read_ahead_kb",
                      "w") as file:
                file.write("8192")
        except OSError:
            pass  # not root: as sshfs


def rclone_source(address, directory):
    """The remote as rclone's arguments."""
    if address.protocol == "http":
        trust = ["--ca-cert", address.certificate] if address.certificate else []
        return [":http:", "--http-url", address.url(directory + "/"), *trust]
    return [f":sftp:{address.path(directory)}", "--sftp-host", "127.0.0.1", "--sftp-port",
            str(address.port), "--sftp-user", address.user, "--sftp-key-file", address.key,
            "--sftp-disable-hashcheck"]


class Rclone(Peer):
    """With its defaults."""

    name = "rclone"
    program = "rclone"
    protocols = ("http", "sftp")
    settings = ()

    def command(self):
        source, *options = rclone_source(self.address, self.directory)
        return ["rclone", "--config", "/dev/null", "mount", source, self.path, "--read-only",
                *options, *self.settings]


class RcloneFull(Rclone):
    """With its cache on disk and a large buffer."""

    name = "rclone full"

    def __init__(self, address, directory, work):
        super().__init__(address, directory, work)
        self.settings = ("--vfs-cache-mode", "full", "--cache-dir",
                         os.path.join(self.work, "cache"), "--buffer-size", "64M",
                         "--vfs-read-ahead", "256M", "--dir-cache-time", "1h", "--attr-timeout",
                         "1m")


class Httpdirfs(Peer):
    """With its cache on disk: without, it fetches every piece of 128 KiB alone. Its check whether
    the server takes ranges fails with nginx, which does."""

    name = "httpdirfs"
    program = "httpdirfs"
    protocols = ("http",)

    def __init__(self, address, directory, work, cache=None):
        super().__init__(address, directory, work)
        self.cache = cache or os.path.join(self.work, "cache")
        os.makedirs(self.cache, exist_ok=True)

    def command(self):
        return ["httpdirfs", "-f", "--no-range-check", "--cache", "--cache-location", self.cache,
                self.address.url(self.directory + "/"), self.path]


PEERS = (Rclone, RcloneFull, Httpdirfs, Sshfs, SshfsReadahead)
