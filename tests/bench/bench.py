#!/usr/bin/env python3
"""Measures the connector against limits that are measured in the same run, and prints ratios.

    tests/bench/bench.py BUILD_DIR [--size MiB] [--runs N] [--only NAME]

Needs what the tests need (nginx, curl, sshd) and sshfs; link emulation is built with the project
(tests/bench/link).
The machine should be idle. Every figure is the median of the runs.
"""
import argparse
import getpass
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

MIB = 1024 * 1024


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    sys.exit(f"nothing listens on port {port}")


def drop_page_cache_of(path):
    with open(path, "rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_all(path, chunk=128 * 1024):
    """Seconds to read a file to its end, in the pieces that cat and cp take."""
    buffer = bytearray(chunk)
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while file.readinto(buffer):
            pass
    return time.monotonic() - begin


class Bench:
    def __init__(self, options):
        self.options = options
        self.work = tempfile.mkdtemp(prefix="red-bench-")
        os.chmod(self.work, 0o755)
        self.root = os.path.join(self.work, "www")
        os.mkdir(self.root)
        self.red = os.path.join(options.build, "cli", "red-connector")
        self.processes = []
        self.rows = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            process.terminate()
            process.wait()
        shutil.rmtree(self.work, ignore_errors=True)

    def start(self, *command, **options):
        process = subprocess.Popen(command, **options)
        self.processes.append(process)
        return process

    def start_nginx(self):
        self.port = free_port()
        config = os.path.join(self.work, "nginx.conf")
        user = "user root;" if os.getuid() == 0 else ""
        with open(config, "w") as file:
            file.write(f"""
                daemon off; {user} worker_processes 1; pid {self.work}/pid; error_log {self.work}/err.log;
                events {{ worker_connections 1024; }}
                http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
                  client_body_temp_path {self.work}/b; proxy_temp_path {self.work}/p;
                  fastcgi_temp_path {self.work}/f; uwsgi_temp_path {self.work}/u;
                  scgi_temp_path {self.work}/s;
                  server {{ listen 127.0.0.1:{self.port}; root {self.root}; autoindex on; }} }}""")
        self.start("/usr/sbin/nginx", "-p", self.work, "-c", config, "-e",
                   os.path.join(self.work, "err.log"))
        wait_for_port(self.port)

    def start_sshd(self):
        self.ssh_port = free_port()
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            os.path.join(self.work, name)], check=True)
        config = os.path.join(self.work, "sshd_config")
        with open(config, "w") as file:
            file.write(f"""
                Port {self.ssh_port}
                ListenAddress 127.0.0.1
                HostKey {self.work}/host_key
                PidFile none
                AuthorizedKeysFile {self.work}/key.pub
                StrictModes no
                UsePAM no
                MaxStartups 100
                Subsystem sftp /usr/lib/openssh/sftp-server
                """)
        os.makedirs("/run/sshd", exist_ok=True)
        self.start("/usr/sbin/sshd", "-D", "-f", config, "-E", os.path.join(self.work, "sshd.log"))
        wait_for_port(self.ssh_port)

    def start_link(self, delay_ms, rate_mbit, to=None):
        port = free_port()
        self.start(os.path.join(self.options.build, "tests", "bench", "red_link"), str(port),
                   str(to or self.port), str(delay_ms), str(rate_mbit), stdout=subprocess.DEVNULL)
        wait_for_port(port)
        return port

    def url(self, port, path=""):
        return f"http://127.0.0.1:{port}/{path}"

    def access(self, port, path=""):
        name = os.path.join(self.work, f"access-{port}.json")
        with open(name, "w") as file:
            json.dump({"url": self.url(port, path)}, file)
        return name

    def curl(self, port, path):
        begin = time.monotonic()
        subprocess.run(["curl", "-s", "-o", "/dev/null", self.url(port, path)], check=True)
        return time.monotonic() - begin

    def median(self, measure):
        return statistics.median(measure() for _ in range(self.options.runs))

    def report(self, what, value, bar):
        self.rows.append((what, value, bar))
        print(f"{what:<62} {value:<34} {bar}", flush=True)

    def ssh_access(self, port, path, **more):
        name = os.path.join(self.work, f"ssh-{port}.json")
        with open(os.path.join(self.work, "key")) as file:
            key = file.read()
        with open(name, "w") as file:
            json.dump({"host": "127.0.0.1", "port": port,
                       "auth": {"username": getpass.getuser(), "privateKey": key},
                       "dirPath": path, **more}, file)
        return name

    def ssh_options(self, port):
        return ["-o", f"Port={port}", "-o", f"IdentityFile={self.work}/key", "-o",
                "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]

    # --- mounts ---

    def mount(self, port):
        return Mount(self, self.access(port))

    def ssh_mount(self, port, path, **more):
        return Mount(self, self.ssh_access(port, path, **more))

    # --- what is measured ---

    def start_up(self):
        def once():
            begin = time.monotonic()
            subprocess.run([self.red, "cli-version"], stdout=subprocess.DEVNULL, check=True)
            return time.monotonic() - begin
        self.report("start of the process", f"{1000 * self.median(once):.1f} ms", "<= 20 ms")

    def mount_ready(self):
        port = self.start_link(10, 1000)

        def once():
            with self.mount(port) as mount:
                return mount.seconds
        self.report("mount-dir ready at 20 ms", f"{1000 * self.median(once):.0f} ms", "<= 80 ms")

    def cold_loopback(self):
        size = self.options.size
        rates, cpus, peaks = [], [], []
        for _ in range(self.options.runs):
            plain = self.curl(self.port, "big.bin")
            with self.mount(self.port) as mount:
                before = mount.cpu_seconds()
                seconds = read_all(mount.path + "/big.bin")
                cpus.append((mount.cpu_seconds() - before) / (size / 1024))
                peaks.append(mount.peak_memory_mib())
            rates.append(plain / seconds)
            print(f"  curl {size / plain:.0f} MiB/s, mount {size / seconds:.0f} MiB/s", flush=True)
        self.report("cold sequential read on loopback, of curl -o /dev/null",
                    f"{statistics.median(rates):.2f}", ">= 0.5")
        self.report("  CPU seconds of the daemon per GiB", f"{statistics.median(cpus):.2f}", "<= 1.0")
        self.report("  peak memory of the daemon", f"{max(peaks):.0f} MiB", "<= bound (256) + 40 MiB")

    def cold_wan(self):
        port = self.start_link(10, 1000)
        size = self.options.size

        def once():
            with self.mount(port) as mount:
                return size * MIB / read_all(mount.path + "/big.bin") / (1000e6 / 8)
        self.report("cold sequential read at 1 Gbit/s and 20 ms, of the link",
                    f"{self.median(once):.3f}", ">= 0.9")

    def warm(self):
        local = os.path.join(self.root, "big.bin")
        with self.mount(self.port) as mount:
            path = mount.path + "/big.bin"
            for each in (path, local, path, local):
                read_all(each)

            def once():
                return read_all(local) / read_all(path)
            self.report("warm re-read, of a cached local file", f"{self.median(once):.2f}", ">= 0.9")

    def receive_file(self):
        target = os.path.join(self.work, "received.bin")

        def once(port):
            begin = time.monotonic()
            subprocess.run([self.red, "receive-file", self.access(port, "big.bin"), target],
                           check=True)
            seconds = time.monotonic() - begin
            os.unlink(target)
            return seconds

        def with_curl():
            begin = time.monotonic()
            subprocess.run(["curl", "-s", "-o", target, self.url(self.port, "big.bin")], check=True)
            with open(target, "rb+") as file:
                os.fsync(file.fileno())
            seconds = time.monotonic() - begin
            os.unlink(target)
            return seconds
        ratios = [with_curl() / once(self.port) for _ in range(self.options.runs)]
        self.report("receive-file on loopback, of curl -o FILE and fsync",
                    f"{statistics.median(ratios):.2f}", "")
        port = self.start_link(10, 1000)
        size = self.options.size
        share = self.median(lambda: size * MIB / once(port) / (1000e6 / 8))
        self.report("receive-file at 1 Gbit/s and 20 ms, of the link", f"{share:.3f}", "")

    def receive_tree(self):
        tree = os.path.join(self.root, "tree")
        for i in range(1000):
            os.makedirs(f"{tree}/{i // 100}", exist_ok=True)
            with open(f"{tree}/{i // 100}/{i}", "wb") as file:
                file.write(os.urandom(4096))
        target = os.path.join(self.work, "tree")

        def once(port):
            os.mkdir(target)
            begin = time.monotonic()
            subprocess.run([self.red, "receive-dir", self.access(port, "tree"), target], check=True)
            seconds = time.monotonic() - begin
            shutil.rmtree(target)
            return seconds
        self.report("receive-dir of 1,000 files of 4 KiB on loopback",
                    f"{self.median(lambda: once(self.port)):.2f} s", "")
        port = self.start_link(10, 1000)
        self.report("receive-dir of 1,000 files of 4 KiB at 20 ms",
                    f"{self.median(lambda: once(port)):.2f} s", "")

    # --- SSH ---

    def ssh_cold_loopback(self):
        size = self.options.size
        raw_ratios, sshfs_ratios = [], []
        for _ in range(self.options.runs):
            raw = float(subprocess.run(
                [os.path.join(self.options.build, "tests", "bench", "red_raw_channel"),
                 str(self.ssh_port), getpass.getuser(), f"{self.work}/key",
                 f"{self.root}/big.bin"], check=True, capture_output=True, text=True).stdout)
            with self.ssh_mount(self.ssh_port, self.root) as mount:
                ours = read_all(mount.path + "/big.bin")
            with Sshfs(self, self.ssh_port, self.root) as mount:
                theirs = read_all(mount.path + "/big.bin")
            print(f"  raw {size / raw:.0f} MiB/s, mount {size / ours:.0f}, sshfs {size / theirs:.0f}",
                  flush=True)
            raw_ratios.append(raw / ours)
            sshfs_ratios.append(theirs / ours)
        self.report("SFTP: cold sequential read on loopback, of a raw channel",
                    f"{statistics.median(raw_ratios):.2f}", ">= 0.9")
        self.report("  of sshfs", f"{statistics.median(sshfs_ratios):.2f}", ">= 1.3")

    def ssh_cold_wan(self):
        port = self.start_link(10, 1000, self.ssh_port)
        size = self.options.size

        def once():
            with self.ssh_mount(port, self.root) as mount:
                return size * MIB / read_all(mount.path + "/big.bin") / (1000e6 / 8)
        self.report("SFTP: cold sequential read at 1 Gbit/s and 20 ms, of the link",
                    f"{self.median(once):.3f}", ">= 0.9")

    def ssh_trees(self):
        """10,000 files of 4 KiB in 100 directories at 20 ms."""
        tree = os.path.join(self.root, "many")
        for i in range(100):
            os.makedirs(f"{tree}/{i}")
            for j in range(100):
                with open(f"{tree}/{i}/{j}", "wb") as file:
                    file.write(os.urandom(4096))
        port = self.start_link(10, 1000, self.ssh_port)
        target = os.path.join(self.work, "target")
        ssh = " ".join(["ssh", *self.ssh_options(port), "127.0.0.1"])

        def timed(command, before=None):
            shutil.rmtree(target, ignore_errors=True)
            os.mkdir(target)
            begin = time.monotonic()
            subprocess.run(command, check=True, shell=isinstance(command, str),
                           stdout=subprocess.DEVNULL)
            return time.monotonic() - begin
        access = self.ssh_access(port, tree)
        ours = self.median(lambda: timed([self.red, "receive-dir", access, target]))
        tar = self.median(lambda: timed(f"{ssh} tar cf - -C {tree} . | tar xf - -C {target}"))
        self.report("SFTP: receive-dir of 10,000 small files at 20 ms, of ssh tar | tar",
                    f"{ours / tar:.2f} ({ours:.2f} s)", "<= 1.5")
        sftp = ["sftp", "-q", *self.ssh_options(port), "-r"]
        part = timed([*sftp, f"127.0.0.1:{tree}/0", target])
        self.report("  sftp -r takes (100 files, times 100) times as long",
                    f"{100 * part / ours:.0f}", ">= 10")
        access = self.ssh_access(port, target)
        ours = self.median(lambda: timed([self.red, "send-dir", access, tree]))
        tar = self.median(lambda: timed(f"tar cf - -C {tree} . | {ssh} tar xf - -C {target}"))
        self.report("SFTP: send-dir of them, of tar | ssh tar", f"{ours / tar:.2f} ({ours:.2f} s)",
                    "<= 1.5")
        begin = time.monotonic()
        with self.ssh_mount(port, tree) as mount:
            begin = time.monotonic()
            subprocess.run(["find", mount.path, "-size", "+1M"], check=True)
            ours = time.monotonic() - begin
        with Sshfs(self, port, tree) as mount:
            begin = time.monotonic()
            subprocess.run(["find", mount.path, "-size", "+1M"], check=True)
            theirs = time.monotonic() - begin
        self.report("SFTP: find over them through a cold mount; sshfs takes so many times as long",
                    f"{theirs / ours:.1f} ({ours:.2f} s)", ">= 5")

    def ssh_writes(self):
        port = self.start_link(10, 1000, self.ssh_port)
        written = os.path.join(self.work, "written")
        os.makedirs(written, exist_ok=True)
        size = self.options.size

        def write_large():
            with self.ssh_mount(port, written, writable=True) as mount:
                begin = time.monotonic()
                subprocess.run(["dd", "if=/dev/zero", f"of={mount.path}/large", "bs=1M",
                                f"count={size}", "status=none"], check=True)
                seconds = time.monotonic() - begin
            os.unlink(f"{written}/large")
            return size * MIB / seconds / (1000e6 / 8)
        self.report("SFTP: dd to a writable mount at 1 Gbit/s and 20 ms, of the link",
                    f"{self.median(write_large):.3f}", ">= 0.9")
        small = os.path.join(self.work, "small")
        os.mkdir(small)
        for i in range(1000):
            with open(f"{small}/{i}", "wb") as file:
                file.write(os.urandom(1000))
        archive = os.path.join(self.work, "small.tar")
        subprocess.run(["tar", "cf", archive, "-C", self.work, "small"], check=True)

        def unpack(mount):
            with mount:
                begin = time.monotonic()
                subprocess.run(["tar", "xf", archive, "-C", mount.path], check=True)
                seconds = time.monotonic() - begin
            shutil.rmtree(f"{written}/small")
            return seconds
        ours = unpack(self.ssh_mount(port, written, writable=True))
        theirs = unpack(Sshfs(self, port, written))
        self.report("SFTP: tar x of 1,000 small files; sshfs takes so many times as long",
                    f"{theirs / ours:.1f} ({ours:.1f} s)", ">= 3")

    # --- XNAT ---

    def start_xnat(self):
        self.xnat_port, self.xnat_control = free_port(), free_port()
        pattern = os.path.join(self.work, "pattern")
        with open(pattern, "wb") as file:
            file.write(os.urandom(MIB + 7))
        settings = os.path.join(self.work, "xnat.json")
        os.mkdir(os.path.join(self.work, "xnat"))
        with open(settings, "w") as file:
            json.dump({"port": self.xnat_port, "control_port": self.xnat_control,
                       "directory": os.path.join(self.work, "xnat"), "pattern": pattern}, file)
        server = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
                              "servers", "xnat")
        self.start(sys.executable, server, settings, stdout=subprocess.DEVNULL)
        wait_for_port(self.xnat_port)

    def xnat(self, verb, **arguments):
        request = urllib.request.Request(f"http://127.0.0.1:{self.xnat_control}/{verb}",
                                         json.dumps(arguments).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    def xnat_access(self, port, session):
        name = os.path.join(self.work, f"xnat-{port}-{session}.json")
        with open(name, "w") as file:
            json.dump({"baseUrl": f"http://127.0.0.1:{port}", "project": "P", "subject": "S",
                       "session": session, "auth": {"username": "admin", "password": "admin"}}, file)
        return name

    def xnat_trees(self):
        self.start_xnat()
        port = self.start_link(10, 1000, self.xnat_port)
        target = os.path.join(self.work, "xnat-target")

        def share_of_link(session, scans, count, size):
            for scan in range(scans):
                resource = f"projects/P/subjects/S/experiments/{session}/scans/{scan}/resources/DICOM"
                self.xnat("add_files", resource=resource, name="{}.dcm", count=count, size=size)
            access = self.xnat_access(port, session)

            def once():
                os.mkdir(target)
                begin = time.monotonic()
                subprocess.run([self.red, "receive-dir", access, target], check=True)
                seconds = time.monotonic() - begin
                shutil.rmtree(target)
                return scans * count * size / seconds / (1000e6 / 8)
            return self.median(once)
        self.xnat("forget_requests")
        share = share_of_link("LARGE", 10, 100, 512 * 1024)
        logins = self.xnat("counters")["logins"] / self.options.runs
        self.report("XNAT: receive-dir of 1,000 files of 512 KiB at 20 ms, of the link",
                    f"{share:.2f}", ">= 0.8")
        self.report("  logins of a run", f"{logins:.0f}", "1")
        self.report("XNAT: receive-dir of 10,000 files of 20 KB in 10 scans, of the link",
                    f"{share_of_link('SMALL', 10, 1000, 20_000):.2f}", "")
        with Mount(self, self.xnat_access(port, "LARGE")) as mount:
            self.report("XNAT: mount-dir ready at 20 ms", f"{1000 * mount.seconds:.0f} ms",
                        "<= 5 round trips")

    def stalled(self):
        """stat of a known name while 64 reads wait for a server that says nothing."""
        stub = StallingServer()
        with self.mount(stub.port) as mount:
            for i in range(64):
                os.stat(f"{mount.path}/f{i}")
            for i in range(64):
                threading.Thread(target=lambda i=i: read_quietly(f"{mount.path}/f{i}"),
                                 daemon=True).start()
            stub.wait_until_stalled(64 if stub.limit is None else stub.limit)
            begin = time.monotonic()
            os.stat(f"{mount.path}/f7")
            seconds = time.monotonic() - begin
            stub.close()
        self.report("stat of a known name with 64 reads outstanding on a stalled server",
                    f"{1000 * seconds:.2f} ms", "at once")


def read_quietly(path):
    try:
        with open(path, "rb", buffering=0) as file:
            file.read(100000)
    except OSError:
        pass


class StallingServer:
    """An index of 64 files whose content never comes."""

    limit = 32  # connections per mount by default: the other reads wait for one

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.stalled = 0
        self.changed = threading.Condition()
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection.makefile("rb") as requests:
            while True:
                line = requests.readline()
                if not line:
                    return
                while requests.readline() not in (b"\r\n", b""):
                    pass
                method, target = line.split()[:2]
                if method == b"GET" and target == b"/":
                    rows = "".join(f'<a href="f{i}">f{i}</a> 01-Jan-2024 00:00 1000000\r\n'
                                   for i in range(64))
                    body = f"<html><h1>Index of /</h1><pre>{rows}</pre></html>".encode()
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                                       b"Content-Length: %d\r\n\r\n" % len(body) + body)
                elif method == b"HEAD":
                    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
                elif method == b"GET":
                    with self.changed:
                        self.stalled += 1
                        self.changed.notify_all()
                else:
                    connection.sendall(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")

    def wait_until_stalled(self, count):
        with self.changed:
            self.changed.wait_for(lambda: self.stalled >= count, timeout=10)

    def close(self):
        self.listener.close()
        for connection in self.sockets:
            connection.close()


class Mount:
    def __init__(self, bench, access):
        self.bench = bench
        self.access = access
        self.path = tempfile.mkdtemp(prefix="mount-", dir=bench.work)

    def __enter__(self):
        begin = time.monotonic()
        subprocess.run([self.bench.red, "mount-dir", self.access, self.path],
                       check=True)
        self.seconds = time.monotonic() - begin
        table = subprocess.run([self.bench.red, "mounts"], capture_output=True, text=True,
                               check=True).stdout
        line = next(line for line in table.splitlines() if self.path in line)
        self.pid = next(int(word) for word in line.split() if word.isdigit())
        return self

    def __exit__(self, *_):
        subprocess.run([self.bench.red, "umount-dir", self.path], check=True)

    def cpu_seconds(self):
        with open(f"/proc/{self.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_memory_mib(self):
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024


class Sshfs:
    """The peer, with its defaults."""

    def __init__(self, bench, port, path):
        self.options = bench.ssh_options(port)
        self.source = f"127.0.0.1:{path}"
        self.path = tempfile.mkdtemp(prefix="sshfs-", dir=bench.work)

    def __enter__(self):
        subprocess.run(["sshfs", *self.options, self.source, self.path], check=True)
        return self

    def __exit__(self, *_):
        subprocess.run(["fusermount3", "-u", self.path], check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", help="a build directory, for example build/release")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--only", help="one measurement by its name")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    with Bench(options) as bench:
        with open(os.path.join(bench.root, "big.bin"), "wb") as file:
            for _ in range(options.size):
                file.write(os.urandom(MIB))
        bench.start_nginx()
        bench.start_sshd()
        for measure in (bench.start_up, bench.mount_ready, bench.cold_loopback, bench.warm,
                        bench.cold_wan, bench.receive_file, bench.receive_tree, bench.stalled,
                        bench.ssh_cold_loopback, bench.ssh_cold_wan, bench.ssh_trees,
                        bench.ssh_writes, bench.xnat_trees):
            if options.only in (None, measure.__name__):
                measure()


if __name__ == "__main__":
    main()
