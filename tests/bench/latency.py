"""Measurements of what should take no time."""
import os
import threading
import time

import processes
from measurements import DIRECT
from mounts import Ours
from results import OURS, Row, Sample, at_most
from servers import HttpAddress, StallingServer
from testbed import measure


def start_up(testbed, choice):
    if choice.wants("start-up"):
        row = Row("start-up", "start of the process", "ms", DIRECT, bars=(at_most(20, "ms"),))
        yield measure(row, {OURS: lambda: Sample(
            1000 * processes.run([Ours.red, "cli-version"], 10).seconds)}, choice.runs)


def stalled(testbed, choice):
    """stat of a known name while 64 reads wait for a server that says nothing."""
    if choice.wants("stalled"):
        row = Row("stalled", "HTTP: stat of a known name, 64 reads wait for the server", "ms",
                  DIRECT, bars=(at_most(5, "ms"),))
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
