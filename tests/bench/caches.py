"""Measurements of what was read before: in the kernel's page cache, in the cache on disk."""
import contextlib
import itertools
import os
import time
from concurrent.futures import ThreadPoolExecutor

import workloads
from dataset import same_files
from measurements import DIRECT, LABELS, WAN
from mounts import Httpdirfs, Ours, SshfsReadahead
from results import OURS, Bar, Row, Sample, ahead_of, compare, times_as_good_as
from testbed import limit_of, measure, sample_of
from workloads import Deadline, check, rate_of_reading


def warm(testbed, choice):
    """Pairs: the mount, then a local file, both in the page cache."""
    for protocol in ("http", "sftp"):
        if choice.wants("warm", protocol) and DIRECT in choice.at(DIRECT):
            row = Row(f"{protocol}-warm", f"{LABELS[protocol]}: warm re-read, page cache", "MiB/s",
                      DIRECT, bars=(times_as_good_as("local file", 0.9),), limits=("local file",))
            kinds = [Ours] + [SshfsReadahead] * (protocol == "sftp" and choice.with_peers
                                                 and SshfsReadahead.is_installed())
            for kind in kinds:
                sample = sample_of(lambda: warm_pairs(testbed, choice, kind, protocol, row))
                if sample.problem:
                    row.samples[kind.name] = [sample]
            yield row


def warm_pairs(testbed, choice, kind, protocol, row):
    data = testbed.data
    limit = limit_of(DIRECT, data.size * (choice.runs + 2))
    with kind(testbed.address(protocol, DIRECT), "big", testbed.work) as mount, \
            Deadline(mount, limit) as deadline:
        files = {kind.name: f"{mount.path}/big.bin", "local file": data.path(data.big)}
        pairs = itertools.cycle(files.items())
        for _, path in itertools.islice(pairs, 4):
            rate_of_reading(path, data, deadline)
        for name, path in itertools.islice(pairs, 2 * choice.runs):
            row.samples.setdefault(name, []).append(Sample(rate_of_reading(path, data, deadline)))
    return Sample()


def disk_cache(testbed, choice):
    """What one mount has read, read by the next."""
    if not choice.wants("disk-cache", "http") or DIRECT not in choice.at(DIRECT):
        return
    row = Row("http-disk-cache", "HTTP: re-read from the cache on disk by another mount", "MiB/s",
              DIRECT, testbed.data.size, (ahead_of(Httpdirfs.name),))
    address = testbed.address("http", DIRECT)
    limit = limit_of(DIRECT, testbed.data.size)

    def second_reader(kind, options):
        cache = testbed.scratch("cache")
        os.mkdir(cache)

        def read():
            return testbed.by_mount(kind, address, "big", workloads.sequential, limit,
                                    **options(cache))
        first = read()
        os.sync()  # writing the cache to disk would go on beside the second
        return first if first.problem else read()
    tools = {OURS: lambda: second_reader(Ours, ours_with(testbed))}
    if choice.with_peers and Httpdirfs.is_installed():
        tools[Httpdirfs.name] = lambda: second_reader(Httpdirfs, lambda cache: {"cache": cache})
    yield measure(row, tools, choice.runs)


def ours_with(testbed):
    """Access data with a cache on disk that holds everything."""
    return lambda directory: {"cache": {"dir": directory, "size": 4 * testbed.data.size}}


def shared_cache(testbed, choice):
    """16 mounts of one data set at once, with one cache on disk."""
    for protocol, distance in itertools.product(("http", "sftp"), choice.at(WAN)):
        if distance.rate_mbit > 0 and choice.wants("shared-cache", protocol):
            row = Row(f"{protocol}-shared-cache",
                      f"{LABELS[protocol]}: 16 mounts at once, one cache on disk", "s", distance,
                      testbed.data.size,
                      (Bar("<= 1.02 x the data from the server",
                           lambda row: compare(row.wire_share, lambda share: share <= 1.02)),))
            yield measure(row, {OURS: lambda: read_by_16(testbed, protocol, distance)}, 1)


def read_by_16(testbed, protocol, distance):
    """Seconds until all have read the large file; the wire's bytes are those of all."""
    address = testbed.address(protocol, distance)
    cache = testbed.scratch("cache")
    os.mkdir(cache)
    address.link.counters()
    limit = limit_of(distance, testbed.data.size)

    def is_right(mount):
        return same_files(f"{mount.path}/big.bin", testbed.data.path(testbed.data.big))
    with contextlib.ExitStack() as stack:
        mounts = [stack.enter_context(Ours(address, "big", testbed.work,
                                           **ours_with(testbed)(cache))) for _ in range(16)]
        for mount in mounts:
            stack.enter_context(Deadline(mount, limit))
        begin = time.monotonic()
        with ThreadPoolExecutor(16) as pool:
            check(all(pool.map(is_right, mounts)))
        seconds = time.monotonic() - begin
        sample = Sample(seconds, cpu=sum(mount.cpu() for mount in mounts),
                        peak=max(mount.peak() for mount in mounts))
        testbed.count_traffic(sample, address)
        return sample
