"""Measurements that are alike for many rows: a workload on mounts, a command that carries data.

A measurement is called with the testbed and the choice of what to run, and yields a finished Row
for each protocol and distance that was chosen.
"""
import itertools
import os
import time

from dataset import same_files, same_trees
from links import DISTANCES
from mounts import PEERS, Ours
from processes import installed
from results import OURS, Row
from testbed import PATIENCE, limit_of, measure

DIRECT, WAN = DISTANCES["direct"], DISTANCES["wan"]
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


class Measurement:
    """What those of mounts and of transfers share."""

    def __call__(self, testbed, choice):
        for protocol, distance in itertools.product(self.protocols, choice.at(*self.distances)):
            if choice.wants(self.kind, protocol):
                yield self.measure(testbed, choice, protocol, distance)

    def new_row(self, testbed, protocol, distance):
        what = f"{LABELS[protocol]}: {self.what.format(**testbed.data.files)}"
        return Row(f"{protocol}-{self.kind}", what, self.unit, distance, self.payload(testbed.data),
                   self.bars.get((protocol, distance.name), ()))


class MountMeasurement(Measurement):
    """A workload on fresh mounts of one directory."""

    def __init__(self, kind, what, unit, directory, workload, payload, protocols=("http", "sftp"),
                 distances=(WAN,), bars=None, peers=PEERS, limits=None, options=None,
                 patience=PATIENCE):
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
        self.patience = patience

    def measure(self, testbed, choice, protocol, distance):
        row = self.new_row(testbed, protocol, distance)
        address = testbed.address(protocol, distance)
        limit = limit_of(distance, row.payload, self.patience)

        def with_mount(kind, **options):
            return lambda: testbed.by_mount(kind, address, self.directory, self.workload, limit,
                                            **options)
        tools = {OURS: with_mount(Ours, **self.options)}
        if choice.with_peers:
            tools |= {peer.name: with_mount(peer) for peer in self.peers
                      if protocol in peer.protocols and peer.is_installed()}
        limits = self.limits(testbed, address, distance)
        row.limits = tuple(limits)
        return measure(row, tools | limits, choice.runs)


class TransferMeasurement(Measurement):
    """A command that carries something to a fresh local path, or to a fresh one on the server."""

    def __init__(self, kind, what, unit, source, tools, payload, is_sent=False, distances=(WAN,),
                 bars=None, patience=PATIENCE):
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
        self.patience = patience

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
        limit = limit_of(address.link.distance, payload, self.patience)
        return testbed.by_command(command, address, limit, value,
                                  lambda: are_same(local_source, target))
