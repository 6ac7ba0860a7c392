"""What is done with a mount. Each returns a figure once it has verified what it read.

Offsets of random reads are multiples of 4 KiB.
"""
import os
import random
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

from dataset import MIB, WIDE_SIZE, same_files, same_trees
from processes import Stopped, ToolFailed

PIECE = 128 * 1024  # what cat and cp ask for at a time


class BadData(Exception):
    """What was read is not what the server has."""


class Deadline:
    """Ends reads that take too long, by ending the mount if they hang."""

    def __init__(self, mount, seconds):
        self.mount = mount
        self.seconds = seconds

    def __enter__(self):
        self.was_reached = False
        self.end = time.monotonic() + self.seconds
        self.timer = threading.Timer(self.seconds + 5, self.mount.kill)
        self.timer.start()
        return self

    def __exit__(self, *_):
        self.timer.cancel()

    def has_passed(self):
        self.was_reached = self.was_reached or time.monotonic() > self.end
        return self.was_reached

    def check(self):
        """For what has no figure unless it was finished."""
        if self.has_passed():
            raise Stopped(self.seconds)


def check(is_right):
    if not is_right:
        raise BadData()


def rate_of_reading(path, data, deadline):
    """MiB/s of reading a copy of the large file in order; what it reached, if it is stopped."""
    buffer = bytearray(PIECE)
    total = 0
    begin = time.monotonic()
    with open(path, "rb", buffering=0) as file:
        while count := file.readinto(buffer):
            total += count
            if deadline.has_passed():
                break
        seconds = time.monotonic() - begin
        check(total == data.size or deadline.was_reached)
        check(data.begins_like_big(file, total))
    return total / MIB / seconds


def sequential(mount, data, deadline):
    """MiB/s of reading the large file."""
    return rate_of_reading(f"{mount.path}/big.bin", data, deadline)


def random_reads(mount, data, deadline, size, threads, count):
    """The latencies of the reads, and the seconds that all of them took."""
    choose = random.Random()
    offsets = [4096 * choose.randrange((data.size - size) // 4096) for _ in range(count)]

    def read_some(which):
        reads = []
        with open(f"{mount.path}/big.bin", "rb", buffering=0) as file:
            for offset in offsets[which::threads]:
                if deadline.has_passed():
                    break
                begin = time.monotonic()
                content = os.pread(file.fileno(), size, offset)
                reads.append((time.monotonic() - begin, offset, content))
        return reads
    with ThreadPoolExecutor(threads) as pool:
        begin = time.monotonic()
        reads = [read for each in pool.map(read_some, range(threads)) for read in each]
        seconds = time.monotonic() - begin
    with open(data.path(data.big), "rb") as local:
        check(all(os.pread(local.fileno(), size, offset) == content
                  for _, offset, content in reads))
    check(len(reads) == count or deadline.was_reached)
    return [latency for latency, _, _ in reads], seconds


def random_4k(mount, data, deadline):
    """ms that the median of 200 reads takes, one after the other."""
    latencies, _ = random_reads(mount, data, deadline, 4096, 1, 200)
    return 1000 * sorted(latencies)[len(latencies) // 2]


def random_128k(mount, data, deadline):
    """Reads per second of 16 threads that do 2,000 of them."""
    latencies, seconds = random_reads(mount, data, deadline, PIECE, 16, 2000)
    return len(latencies) / seconds


def lines_of(command, deadline):
    """What a command prints, and the seconds that it takes."""
    begin = time.monotonic()
    done = subprocess.run(command, capture_output=True, check=False, env={"LC_ALL": "C"})
    seconds = time.monotonic() - begin
    deadline.check()
    if done.returncode != 0:
        raise ToolFailed(done.stderr.decode(errors="replace").strip())
    return done.stdout.splitlines(), seconds


def find(mount, data, deadline):
    """Seconds of find -size +0 over the tree."""
    lines, seconds = lines_of(["find", mount.path, "-type", "f", "-size", "+0"], deadline)
    check(len(lines) == data.files["tree"])
    return seconds


def list_wide(mount, data, deadline):
    """Seconds of ls -l of the wide directory."""
    lines, seconds = lines_of(["ls", "-l", f"{mount.path}/000"], deadline)
    check(sum(line.split()[4] == b"%d" % WIDE_SIZE for line in lines[1:]) == data.files["wide"])
    return seconds


def small_files(mount, data, deadline):
    """Files per second of reading small files in the order of their names."""
    contents = {}
    directory = f"{mount.path}/000"
    begin = time.monotonic()
    for name in sorted(os.listdir(directory)):
        if deadline.has_passed():
            break
        with open(f"{directory}/{name}", "rb", buffering=0) as file:
            contents[name] = file.read()
    seconds = time.monotonic() - begin
    for name, content in contents.items():
        with open(data.path(f"small/000/{name}"), "rb") as file:
            check(file.read() == content)
    check(len(contents) == data.files["small"] or deadline.was_reached)
    return len(contents) / seconds


def ready(mount, data, deadline):
    """ms until the mount could be listed."""
    return 1000 * mount.seconds


def write_large(mount, data, deadline):
    """MiB/s of writing the large file; the server has it all when it is closed."""
    begin = time.monotonic()
    with open(f"{mount.path}/large", "wb", buffering=0) as target, \
            open(data.path(data.big), "rb", buffering=0) as source:
        while (piece := source.read(MIB)) and not deadline.has_passed():
            target.write(piece)
    seconds = time.monotonic() - begin
    written = data.path("written/large")
    count = os.path.getsize(written)
    check(deadline.was_reached or same_files(written, data.path(data.big)))
    os.unlink(written)
    return count / MIB / seconds


def unpack(mount, data, deadline):
    """Seconds of tar x of the tree."""
    archive = data.path("tree.tar")
    if not os.path.exists(archive):
        subprocess.run(["tar", "cf", archive, "-C", data.root, "tree"], check=True)
    unpacked = data.path("written/tree")
    try:
        _, seconds = lines_of(["tar", "xf", archive, "-C", mount.path], deadline)
        check(same_trees(data.path("tree"), unpacked))
        return seconds
    finally:
        shutil.rmtree(unpacked, ignore_errors=True)
