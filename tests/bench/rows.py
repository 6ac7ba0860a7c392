"""The rows of the benchmark: which tools do what at which distance, and the bars.

A row is a generator function of the testbed and the choice of what to run; it yields a finished Row
for each protocol and distance that was chosen.
"""
import contextlib
import itertools
import os
import shlex
import shutil
import subprocess
import threading
import time

import processes
import transfers
import workloads
from dataset import SMALL, same_files, same_trees
from links import DISTANCES
from mounts import PEERS, Httpdirfs, Ours, Sshfs, SshfsReadahead
from processes import installed
from results import (OURS, Bar, Row, Sample, ahead_of, at_least, at_most, at_most_round_trips,
                     compare, connections_at_most, cpu_per_gib_at_most, of_the_link, times_as_good_as)
from servers import HttpAddress, StallingServer
from testbed import limit_of, measure, sample_of
from workloads import BadData, check, read_whole

DIRECT, WAN = DISTANCES["direct"], DISTANCES["wan"]
CACHE_BOUND = 256  # MiB, the default of cache.memory
LABELS = {"http": "HTTP", "h2": "HTTP/2", "sftp": "SFTP"}


class Choice:
    """What of the benchmark is to run."""

    def __init__(self, names, distances, are_chosen, runs, with_peers):
        self.names = names
        self.distances = distances
        self.are_chosen = are_chosen  # or the default: rates at all of them, the rest at 20 ms
        self.runs = runs
        self.with_peers = with_peers

    def wants(self, kind, protocol=""):
        name = f"{protocol}-{kind}" if protocol else kind
        return not self.names or bool(self.names & {kind, protocol, name})

    def at(self, *usual):
        """The distances for rows that are usually measured at these."""
        return [each for each in self.distances if self.are_chosen or each in usual]


class GenericRow:
    """What rows of mounts and of transfers share."""

    def __call__(self, testbed, choice):
        for protocol, distance in itertools.product(self.protocols, choice.at(*self.distances)):
            if choice.wants(self.kind, protocol):
                yield self.measure(testbed, choice, protocol, distance)

    def new_row(self, testbed, protocol, distance):
        what = f"{LABELS[protocol]}: {self.what.format(**testbed.data.files)}"
        return Row(f"{protocol}-{self.kind}", what, self.unit, distance, self.payload(testbed.data),
                   self.bars.get((protocol, distance.name), ()))


class MountRow(GenericRow):
    """A workload on fresh mounts of one directory."""

    def __init__(self, kind, what, unit, directory, workload, payload, protocols=("http", "sftp"),
                 distances=(WAN,), bars=None, peers=PEERS, limits=None, options=None):
        self.kind = kind
        self.what = what
        self.unit = unit
        self.directory = directory
        self.workload = workload
        self.payload = payload
        self.protocols = protocols
        self.distances = distances
        self.bars = bars or {}  # by protocol and distance
        self.peers = peers
        self.limits = limits or (lambda *_: {})
        self.options = options or {}  # access data of ours

    def measure(self, testbed, choice, protocol, distance):
        row = self.new_row(testbed, protocol, distance)
        address = testbed.address(protocol, distance)
        limit = limit_of(distance, row.payload)

        def with_mount(kind, **options):
            return lambda: testbed.by_mount(kind, address, self.directory, self.workload, limit,
                                            **options)
        tools = {OURS: with_mount(Ours, **self.options)}
        if choice.with_peers:
            tools |= {peer.name: with_mount(peer) for peer in self.peers
                      if protocol in peer.protocols and peer.is_installed()}
        row.is_mount = True
        limits = self.limits(testbed, address, distance)
        row.limits = tuple(limits)
        return measure(row, tools | limits, choice.runs)


class TransferRow(GenericRow):
    """A command that carries something to a fresh local path, or to a fresh one on the server."""

    def __init__(self, kind, what, unit, source, tools, payload, is_sent=False, distances=(WAN,),
                 bars=None):
        self.kind = kind
        self.what = what
        self.unit = unit
        self.source = source
        self.tools = tools  # by protocol
        self.protocols = tuple(tools)
        self.payload = payload
        self.is_sent = is_sent
        self.distances = distances
        self.bars = bars or {}

    def measure(self, testbed, choice, protocol, distance):
        row = self.new_row(testbed, protocol, distance)
        address = testbed.address(protocol, distance)
        tools = {tool.name: lambda tool=tool: self.once(testbed, tool, address, row.payload)
                 for tool in self.tools[protocol]
                 if tool.program is None or choice.with_peers and installed(tool.program)}
        return measure(row, tools, choice.runs)

    def once(self, testbed, tool, address, payload):
        local_source = testbed.data.path(self.source)
        is_tree = os.path.isdir(local_source)
        # On the server, what is sent has its place beside the data set.
        target = testbed.scratch("root/sent" if self.is_sent else "received")
        if is_tree:
            os.mkdir(target)
        if self.is_sent:
            command = tool.command(address, "sent", local_source)
        else:
            command = tool.command(address, self.source, target)

        def value(run):
            seconds = run.seconds
            if not is_tree and not self.is_sent:
                begin = time.monotonic()
                with open(target, "rb+") as file:
                    os.fsync(file.fileno())  # ours has done that
                seconds += time.monotonic() - begin
            return payload / 1024 ** 2 / seconds if self.unit == "MiB/s" else seconds
        are_same = same_trees if is_tree else same_files
        return testbed.by_command(command, address, limit_of(address.link.distance, payload), value,
                                  lambda: are_same(local_source, target))


# --- limits ---

def plain_connections(testbed, address, distance):
    """What connections that do nothing else reach: one, and 16 with a part each."""
    size, size_mib = testbed.data.size, testbed.size_mib
    limit = limit_of(distance, size)

    def rate(command, seconds=lambda run: run.seconds):
        return lambda: testbed.by_command(command, address, limit,
                                          lambda run: size_mib / seconds(run))
    if address.protocol == "http":
        url = address.url(testbed.data.big)
        part = size // 16
        get = f"curl -sf -o /dev/null {url}"
        parallel = " ".join(f"{get} -r {i * part}-{(i + 1) * part - 1} &" for i in range(16))
        return {"curl": rate(get), "curl x16": rate(parallel + " wait")}
    path = address.path(testbed.data.big)
    raw = os.path.join(testbed.build, "tests", "bench", "red_raw_channel")
    return {"raw channel": rate([raw, str(address.port), address.user, address.key, path],
                                lambda run: float(run.output)),
            "ssh cat": rate(f"{transfers.ssh(address)} cat {shlex.quote(path)} > /dev/null")}


# --- what no generic row does ---

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

    def rate(path):
        count, seconds = read_whole(path, data.buffer)
        check(count == data.size)
        return Sample(count / 1024 ** 2 / seconds)
    with kind(testbed.address(protocol, DIRECT), "big", testbed.work) as mount:
        files = {kind.name: f"{mount.path}/big.bin", "local file": data.path(data.big)}
        for path in itertools.islice(itertools.cycle(files.values()), 4):
            rate(path)
        for name, path in itertools.islice(itertools.cycle(files.items()), 2 * choice.runs):
            row.samples.setdefault(name, []).append(rate(path))
            if name == kind.name:
                check(data.is_big(data.buffer))
    return Sample()


def disk_cache(testbed, choice):
    """What one mount has read, read by the next."""
    if not choice.wants("disk-cache", "http") or DIRECT not in choice.at(DIRECT):
        return
    row = Row("http-disk-cache", "HTTP: re-read from the cache on disk by another mount", "MiB/s",
              DIRECT, testbed.data.size, (ahead_of(Httpdirfs.name),), is_mount=True)
    address = testbed.address("http", DIRECT)
    limit = limit_of(DIRECT, testbed.data.size)

    def second_reader(kind, options):
        cache = testbed.scratch("cache")
        os.mkdir(cache)
        first = testbed.by_mount(kind, address, "big", workloads.sequential, limit, **options(cache))
        if first.problem:
            return first
        return testbed.by_mount(kind, address, "big", workloads.sequential, limit, **options(cache))
    tools = {OURS: lambda: second_reader(Ours, lambda cache: {"cache": {"dir": cache}})}
    if choice.with_peers and Httpdirfs.is_installed():
        tools[Httpdirfs.name] = lambda: second_reader(Httpdirfs, lambda cache: {"cache": cache})
    yield measure(row, tools, choice.runs)


def shared_cache(testbed, choice):
    """16 mounts of one data set at once, with one cache on disk."""
    for protocol, distance in itertools.product(("http", "sftp"), choice.at(WAN)):
        if distance.rate_mbit > 0 and choice.wants("shared-cache", protocol):
            row = Row(f"{protocol}-shared-cache",
                      f"{LABELS[protocol]}: 16 mounts at once, one cache on disk", "MiB/s", distance,
                      testbed.data.size,
                      (Bar("<= 1.02 x the data from the server",
                           lambda row: compare(row.wire_share, lambda share: share <= 1.02)),),
                      is_mount=True)
            yield measure(row, {OURS: lambda: read_by_16(testbed, protocol, distance)}, 1)


def read_by_16(testbed, protocol, distance):
    """MiB/s of all together; the wire's bytes are those of all."""
    address = testbed.address(protocol, distance)
    cache = testbed.scratch("cache")
    os.mkdir(cache)
    link = address.link
    link.counters()
    problems = []

    def read(mount, barrier):
        barrier.wait()
        try:
            if not same_files(f"{mount.path}/big.bin", testbed.data.path(testbed.data.big)):
                problems.append(BadData())
        except OSError as error:
            problems.append(error)
    with contextlib.ExitStack() as stack:
        mounts = [stack.enter_context(Ours(address, "big", testbed.work, cache={"dir": cache}))
                  for _ in range(16)]
        barrier = threading.Barrier(17)
        readers = [threading.Thread(target=read, args=(mount, barrier)) for mount in mounts]
        for reader in readers:
            reader.start()
        barrier.wait()
        begin = time.monotonic()
        for reader in readers:
            reader.join()
        seconds = time.monotonic() - begin
        if problems:
            raise problems[0]
        sample = Sample(16 * testbed.size_mib / seconds, cpu=sum(mount.cpu() for mount in mounts),
                        peak=max(mount.peak() for mount in mounts))
        testbed.count_traffic(sample, address)
        return sample


def start_up(testbed, choice):
    if choice.wants("start-up"):
        row = Row("start-up", "start of the process", "ms", DIRECT, bars=(at_most(20, "ms"),))
        yield measure(row, {OURS: lambda: Sample(
            1000 * processes.run([Ours.red, "cli-version"], 10).seconds)}, choice.runs)


def stalled(testbed, choice):
    """stat of a known name while 64 reads wait for a server that says nothing."""
    if choice.wants("stalled"):
        row = Row("stalled", "HTTP: stat of a known name, 64 reads wait for the server", "ms", DIRECT,
                  bars=(at_most(5, "ms"),))
        yield measure(row, {OURS: lambda: Sample(1000 * stat_while_stalled(testbed))}, choice.runs)


def stat_while_stalled(testbed):
    stub = StallingServer()
    connections = 32  # of a mount by default: the other reads wait for one
    with Ours(HttpAddress(stub.port, None, None), "", testbed.work) as mount:
        for i in range(64):
            os.stat(f"{mount.path}/f{i}")
        for i in range(64):
            threading.Thread(target=read_quietly, args=(f"{mount.path}/f{i}",), daemon=True).start()
        stub.wait_until_stalled(connections)
        begin = time.monotonic()
        os.stat(f"{mount.path}/f7")
        seconds = time.monotonic() - begin
        stub.close()
    return seconds


def read_quietly(path):
    try:
        with open(path, "rb", buffering=0) as file:
            file.read(100000)
    except OSError:
        pass


# --- XNAT ---

def xnat_access(testbed, distance, session):
    return {"baseUrl": f"http://127.0.0.1:{testbed.links[distance.name].ports[3]}", "project": "P",
            "subject": "S", "session": session, "auth": {"username": "admin", "password": "admin"}}


class XnatAddress:
    """A session of the stand-in's site."""

    protocol = "xnat"

    def __init__(self, testbed, distance):
        self.testbed = testbed
        self.link = testbed.links[distance.name]

    def access(self, path, is_file=False):
        return xnat_access(self.testbed, self.link.distance, path)


def add_session(testbed, session, scans, count, size):
    for scan in range(scans):
        resource = f"projects/P/subjects/S/experiments/{session}/scans/{scan}/resources/DICOM"
        testbed.xnat.ask("add_files", resource=resource, name="{}.dcm", count=count, size=size)


def xnat(testbed, choice):
    if not choice.wants("xnat"):
        return
    tenth = testbed.data.files["tree"] // 10
    sessions = {"LARGE": (10, tenth, 512 * 1024), "SMALL": (10, 10 * tenth, 20_000)}
    for session, shape in sessions.items():
        add_session(testbed, session, *shape)
    for distance in choice.at(WAN):
        address = XnatAddress(testbed, distance)
        for session, (scans, count, size) in sessions.items():
            payload = scans * count * size
            row = Row("xnat-receive-dir", f"XNAT: receive-dir of {scans * count:,} x {size:,} bytes",
                      "MiB/s", distance, payload,
                      (of_the_link(0.8),) if session == "LARGE" and distance == WAN else ())
            yield measure(row, {OURS: lambda: receive_session(testbed, address, session, payload)},
                          choice.runs)
        row = Row("xnat-mount-ready", "XNAT: mount ready", "ms", distance,
                  bars=(at_most_round_trips(5),) if distance.rtt_ms else ())
        yield measure(row, {OURS: lambda: testbed.by_mount(Ours, address, "LARGE", workloads.ready,
                                                           20)}, choice.runs)


def receive_session(testbed, address, session, payload):
    target = testbed.scratch("received")
    os.mkdir(target)
    testbed.xnat.ask("forget_requests")
    before = testbed.xnat.ask("counters")["logins"]
    command = transfers.ours("receive-dir").command(address, session, target)
    sample = testbed.by_command(command, address, limit_of(address.link.distance, payload),
                                lambda run: payload / 1024 ** 2 / run.seconds)
    logins = testbed.xnat.ask("counters")["logins"] - before
    if logins != 1:
        raise processes.ToolFailed(f"{logins} logins of one run")
    received = sum(os.path.getsize(os.path.join(directory, name))
                   for directory, _, names in os.walk(target) for name in names)
    check(received == payload)
    return sample


# --- the rows ---

def big(data):
    return data.size


def nothing(data):
    return 0


def files(which):
    return lambda data: data.files[which] * SMALL


def reads(size, count):
    return lambda data: size * count


WIRE_PER_READ = 128 * 1024
READ_BARS = {
    ("http", "direct"): (times_as_good_as("curl", 0.55), cpu_per_gib_at_most(1.0)),
    ("http", "wan"): (of_the_link(0.96), connections_at_most(16)),
    ("http", "far"): (of_the_link(0.92),),
    ("sftp", "direct"): (times_as_good_as("raw channel", 0.9),),
    ("sftp", "wan"): (of_the_link(0.94),),
    ("sftp", "far"): (of_the_link(0.90),),
}


def on_both(*bars):
    return {("http", "wan"): bars, ("sftp", "wan"): bars}


def wire_per_read(asked, count):
    """What random reads may cost on the wire."""
    return Bar("asked + 128 KiB on the wire", lambda row: compare(
        row.median(OURS, "wire"), lambda wire: wire <= count * (asked + WIRE_PER_READ)))


WRITABLE = {"writable": True}
ROWS = (
    start_up,
    MountRow("mount-ready", "mount ready", "ms", "tree", workloads.ready, nothing,
             bars={("http", "wan"): (at_most(80, "ms"),), ("sftp", "wan"): (at_most(350, "ms"),)}),
    MountRow("sequential", "cold sequential read through the mount", "MiB/s", "big",
             workloads.sequential, big, distances=tuple(DISTANCES.values()), bars=READ_BARS,
             limits=plain_connections),
    MountRow("random-4k", "random 4 KiB, 1 thread", "ms", "big", workloads.random_4k, reads(4096, 200),
             bars=on_both(at_most_round_trips(1.1), wire_per_read(4096, 200))),
    MountRow("random-128k", "random 128 KiB, 16 threads, 2,000 reads", "ops/s", "big",
             workloads.random_128k, reads(workloads.PIECE, 2000),
             bars=on_both(at_least(600, "ops/s"), wire_per_read(workloads.PIECE, 2000))),
    MountRow("find", "find -size +0, {tree:,} files in 10 directories", "s", "tree", workloads.find,
             nothing, bars=on_both(at_most(0.25, "s"))),
    MountRow("list", "ls -l of {wide:,} files", "s", "wide", workloads.list_wide, nothing,
             bars=on_both(at_most(0.6, "s"))),
    MountRow("small-files", "{small:,} files of 4 KiB in order, 1 thread", "files/s", "small",
             workloads.small_files, files("small"), bars=on_both(at_least(1000, "files/s"))),
    warm,
    disk_cache,
    shared_cache,
    TransferRow("receive-file", "receive-file", "MiB/s", "big/big.bin", transfers.RECEIVE_FILE, big,
                distances=(DIRECT, WAN), bars={("http", "wan"): (of_the_link(0.97),),
                                               ("sftp", "wan"): (of_the_link(0.94),)}),
    TransferRow("send-file", "send-file", "MiB/s", "big/big.bin", {"sftp": transfers.SEND_FILE}, big,
                is_sent=True, bars={("sftp", "wan"): (of_the_link(0.94),)}),
    TransferRow("receive-dir", "receive-dir, {tree:,} x 4 KiB", "s", "tree", transfers.RECEIVE_DIR,
                files("tree"),
                bars={("http", "wan"): (at_most(0.7, "s"), connections_at_most(32)),
                      ("h2", "wan"): (at_most(0.4, "s"),),
                      ("sftp", "wan"): (ahead_of("ssh tar"),)}),
    TransferRow("send-dir", "send-dir, {tree:,} x 4 KiB", "s", "tree", {"sftp": transfers.SEND_DIR},
                files("tree"), is_sent=True, bars={("sftp", "wan"): (at_most(0.7, "s"),)}),
    TransferRow("receive-large-tree", "receive-dir, {large_tree:,} x 4 KiB", "s", "large-tree",
                {"sftp": transfers.RECEIVE_DIR["sftp"]}, files("large_tree"),
                bars={("sftp", "wan"): (times_as_good_as("ssh tar", 1 / 1.5),)}),
    TransferRow("send-large-tree", "send-dir, {large_tree:,} x 4 KiB", "s", "large-tree",
                {"sftp": transfers.SEND_DIR}, files("large_tree"), is_sent=True,
                bars={("sftp", "wan"): (times_as_good_as("tar | ssh tar", 1 / 1.5),)}),
    MountRow("write-file", "writing a large file to a mount", "MiB/s", "written", workloads.write_large, big,
             ("sftp",), bars={("sftp", "wan"): (of_the_link(0.9),)}, peers=(Sshfs,),
             options=WRITABLE),
    MountRow("write-tree", "tar x of {tree:,} x 4 KiB into a mount", "s", "written", workloads.unpack,
             files("tree"), ("sftp",), bars={("sftp", "wan"): (times_as_good_as("sshfs", 3),)},
             peers=(Sshfs,), options=WRITABLE),
    xnat,
    stalled,
)


def memory(rows):
    """The largest that the daemons became in any of the rows."""
    row = Row("memory", "peak memory of a mount's daemon over all rows", "MiB", DIRECT,
              bars=(at_most(CACHE_BOUND + 40, "MiB"),))
    for each in rows:
        for tool, samples in each.samples.items() if each.is_mount else ():
            peaks = [sample.peak for sample in samples]
            peaks += [sample.value for sample in row.samples.get(tool, [])]
            known = [peak for peak in peaks if peak is not None]
            if known and tool not in each.limits:
                row.samples[tool] = [Sample(max(known))]
    return row
