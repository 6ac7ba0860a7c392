"""The rows of the benchmark: which tools do what at which distance, and the bars."""
import itertools
import os
import shlex

import transfers
import workloads
from caches import disk_cache, shared_cache, warm
from dataset import MIB, SMALL
from latency import stalled, start_up
from links import DISTANCES
from measurements import DIRECT, WAN, MountMeasurement, TransferMeasurement
from mounts import Sshfs
from results import (OURS, Bar, Row, Sample, ahead_of, at_least, at_most, at_most_round_trips,
                     compare, connections_at_most, cpu_per_gib_at_most, of_the_link,
                     times_as_good_as)
from testbed import limit_of
from xnat import xnat

CACHE_BOUND = 256  # MiB, the default of cache.memory
WIRE_PER_READ = 128 * 1024  # what a random read may fetch beyond what was asked for


def plain_connections(testbed, address, distance):
    """What connections that do nothing else reach: one, and 16 with a part each."""
    size = testbed.data.size
    limit = limit_of(distance, size)

    def rate(command, seconds=lambda run: run.seconds):
        return lambda: testbed.by_command(command, address, limit,
                                          lambda run: size / MIB / seconds(run))
    if address.protocol == "http":
        url = address.url(testbed.data.big)
        part = size // 16
        parts = [["-sf", "-o", "/dev/null", "-r", f"{i * part}-{(i + 1) * part - 1}", url, "--next"]
                 for i in range(16)]
        parallel = ["--parallel", "--parallel-immediate", "--parallel-max", "16"]
        return {"curl": rate(["curl", "-sf", "-o", "/dev/null", url]),
                "curl x16": rate(["curl", *parallel, *itertools.chain(*parts)][:-1])}
    path = address.path(testbed.data.big)
    raw = os.path.join(testbed.build, "tests", "bench", "red_raw_channel")
    return {"raw channel": rate([raw, str(address.port), address.user, address.key, path],
                                lambda run: float(run.output)),
            "ssh cat": rate(f"{transfers.ssh(address)} cat {shlex.quote(path)} > /dev/null")}


def big(data):
    return data.size


def nothing(data):
    return 0


def files(which):
    return lambda data: data.files[which] * SMALL


def reads(size, count):
    return lambda data: size * count


SEQUENTIAL_BARS = {
    ("http", "direct"): (times_as_good_as("curl", 0.55), cpu_per_gib_at_most(1.0)),
    ("http", "wan"): (of_the_link(0.96), connections_at_most(16)),
    ("http", "far"): (of_the_link(0.92),),
    ("sftp", "direct"): (times_as_good_as("raw channel", 0.9),),
    ("sftp", "wan"): (of_the_link(0.94),),
    ("sftp", "far"): (of_the_link(0.90),),
}


def at_20_ms(**bars):
    """By protocol."""
    return {(protocol, WAN.name): each for protocol, each in bars.items()}


def on_both(*bars):
    return at_20_ms(http=bars, sftp=bars)


def wire_per_read(asked, count):
    """What random reads may cost on the wire."""
    return Bar("asked + 128 KiB on the wire", lambda row: compare(
        row.median(OURS, "wire"), lambda wire: wire <= count * (asked + WIRE_PER_READ)))


WRITABLE = {"writable": True}
ROWS = (
    start_up,
    MountMeasurement(
        "mount-ready", "mount ready", "ms", "tree", workloads.ready, nothing,
        bars=at_20_ms(http=(at_most(80, "ms"),), sftp=(at_most(350, "ms"),))),
    MountMeasurement(
        "sequential", "cold sequential read through the mount", "MiB/s", "big",
        workloads.sequential, big, distances=tuple(DISTANCES.values()), bars=SEQUENTIAL_BARS,
        limits=plain_connections),
    MountMeasurement(
        "random-4k", "random 4 KiB, 1 thread", "ms", "big", workloads.random_4k, reads(4096, 200),
        bars=on_both(at_most_round_trips(1.1), wire_per_read(4096, 200))),
    MountMeasurement(
        "random-128k", "random 128 KiB, 16 threads, 2,000 reads", "ops/s", "big",
        workloads.random_128k, reads(workloads.PIECE, 2000),
        bars=on_both(at_least(600, "ops/s"), wire_per_read(workloads.PIECE, 2000))),
    MountMeasurement(
        "find", "find -size +0, {tree:,} files in 10 directories", "s", "tree", workloads.find,
        nothing, bars=on_both(at_most(0.25, "s"))),
    MountMeasurement(
        "list", "ls -l of {wide:,} files", "s", "wide", workloads.list_wide, nothing,
        bars=on_both(at_most(0.6, "s"))),
    MountMeasurement(
        "small-files", "{small:,} files of 4 KiB in order, 1 thread", "files/s", "small",
        workloads.small_files, files("small"), bars=on_both(at_least(1000, "files/s"))),
    warm,
    disk_cache,
    shared_cache,
    TransferMeasurement(
        "receive-file", "receive-file", "MiB/s", "big/big.bin", transfers.RECEIVE_FILE, big,
        distances=(DIRECT, WAN),
        bars=at_20_ms(http=(of_the_link(0.97),), sftp=(of_the_link(0.94),))),
    TransferMeasurement(
        "send-file", "send-file", "MiB/s", "big/big.bin", {"sftp": transfers.SEND_FILE}, big,
        is_sent=True, bars=at_20_ms(sftp=(of_the_link(0.94),))),
    TransferMeasurement(
        "receive-dir", "receive-dir, {tree:,} x 4 KiB", "s", "tree", transfers.RECEIVE_DIR,
        files("tree"),
        bars=at_20_ms(http=(at_most(0.7, "s"), connections_at_most(32)), h2=(at_most(0.4, "s"),),
                      sftp=(ahead_of("ssh tar"),))),
    TransferMeasurement(
        "send-dir", "send-dir, {tree:,} x 4 KiB", "s", "tree", {"sftp": transfers.SEND_DIR},
        files("tree"), is_sent=True, bars=at_20_ms(sftp=(at_most(0.7, "s"),))),
    TransferMeasurement(
        "receive-large-tree", "receive-dir, {large_tree:,} x 4 KiB", "s", "large-tree",
        {"sftp": transfers.RECEIVE_DIR["sftp"]}, files("large_tree"), patience=60,
        bars=at_20_ms(sftp=(times_as_good_as("ssh tar", 1 / 1.5),))),
    TransferMeasurement(
        "send-large-tree", "send-dir, {large_tree:,} x 4 KiB", "s", "large-tree",
        {"sftp": transfers.SEND_DIR}, files("large_tree"), is_sent=True, patience=60,
        bars=at_20_ms(sftp=(times_as_good_as("tar to ssh tar", 1 / 1.5),))),
    MountMeasurement(
        "write-file", "writing a large file to a mount", "MiB/s", "written",
        workloads.write_large, big, protocols=("sftp",), peers=(Sshfs,), options=WRITABLE,
        bars=at_20_ms(sftp=(of_the_link(0.9),))),
    MountMeasurement(
        "write-tree", "tar x of {tree:,} x 4 KiB into a mount", "s", "written",
        workloads.unpack, files("tree"), protocols=("sftp",), peers=(Sshfs,), options=WRITABLE,
        bars=at_20_ms(sftp=(times_as_good_as("sshfs", 3),)), patience=240),
    xnat,
    stalled,
)


def memory(rows):
    """The largest that the daemons became in any of the rows."""
    row = Row("memory", "peak memory of a mount's daemon over all rows", "MiB", DIRECT,
              bars=(at_most(CACHE_BOUND + 40, "MiB"),))
    peaks = [(tool, sample.peak) for each in rows for tool, samples in each.samples.items()
             for sample in samples if sample.peak is not None]
    for tool, peak in sorted(peaks, key=lambda each: each[1]):
        row.samples[tool] = [Sample(peak)]
    return row
