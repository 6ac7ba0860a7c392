"""Measurements with XNAT, for which there are no peers."""
import os

import workloads
from dataset import MIB
from measurements import WAN
from mounts import Ours
from processes import ToolFailed
from results import OURS, Row, at_most_round_trips, of_the_link
from testbed import limit_of, measure
from transfers import ours
from workloads import check


class XnatAddress:
    """A session of the stand-in's site."""

    protocol = "xnat"

    def __init__(self, testbed, distance):
        self.link = testbed.links[distance.name]

    def access(self, session, is_file=False):
        return {"baseUrl": f"http://127.0.0.1:{self.link.ports[-1]}", "project": "P",
                "subject": "S", "session": session,
                "auth": {"username": "admin", "password": "admin"}}


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
            row = Row("xnat-receive-dir",
                      f"XNAT: receive-dir, {scans * count:,} x {size // 1000} KB", "MiB/s",
                      distance, payload,
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
    command = ours("receive-dir").command(address, session, target)
    sample = testbed.by_command(command, address, limit_of(address.link.distance, payload),
                                lambda run: payload / MIB / run.seconds)
    logins = testbed.xnat.ask("counters")["logins"] - before
    if logins != 1:
        raise ToolFailed(f"{logins} logins of one run")
    received = sum(os.path.getsize(os.path.join(directory, name))
                   for directory, _, names in os.walk(target) for name in names)
    check(received == payload)
    return sample
