"""Servers, links and data for the length of a run, and how one sample is taken."""
import os
import shutil
import tempfile
from contextlib import ExitStack

import processes
from dataset import DataSet
from links import Link
from mounts import NotServed, Ours
from processes import Stopped, ToolFailed
from results import Sample
from servers import HttpAddress, Nginx, SshAddress, Sshd, Xnat
from workloads import BadData, Deadline


class Testbed:
    def __init__(self, build, distances, size_mib, scale):
        self.build = build
        self.size_mib = size_mib
        self.scale = scale
        self.distances = distances
        self.stack = ExitStack()

    def __enter__(self):
        with ExitStack() as stack:
            self.work = tempfile.mkdtemp(prefix="red-bench-")
            stack.callback(shutil.rmtree, self.work, ignore_errors=True)
            os.chmod(self.work, 0o755)
            self.root = os.path.join(self.work, "root")
            self.data = DataSet(self.root, self.size_mib, self.scale)
            Ours.red = os.path.join(self.build, "cli", "red-connector")
            self.nginx = stack.enter_context(Nginx(self.work, self.root))
            self.sshd = stack.enter_context(Sshd(self.work))
            self.xnat = stack.enter_context(Xnat(self.work))
            targets = [self.nginx.port, self.nginx.tls_port, self.sshd.port, self.xnat.port]
            self.links = {distance.name: stack.enter_context(Link(distance, self.build, targets))
                          for distance in self.distances}
            self.stack = stack.pop_all()
        return self

    def __exit__(self, *_):
        self.stack.close()

    def address(self, protocol, distance):
        """The protocol is http, h2 (HTTP/2 over TLS) or sftp."""
        link = self.links[distance.name]
        plain, tls, ssh, _ = link.ports
        if protocol == "http":
            return HttpAddress(plain, link, self.root)
        if protocol == "h2":
            return HttpAddress(tls, link, self.root, self.nginx.certificate)
        return SshAddress(ssh, link, self.root, self.sshd.key)

    def scratch(self, name):
        """A local path that does not exist yet."""
        path = os.path.join(self.work, name)
        if os.path.isdir(path):
            shutil.rmtree(path)
        elif os.path.exists(path):
            os.unlink(path)
        return path

    def by_mount(self, kind, address, directory, workload, limit, **options):
        """What a workload reaches on a fresh mount."""
        address.link.counters()
        with kind(address, directory, self.work, **options) as mount, \
                Deadline(mount, limit) as deadline:
            try:
                sample = Sample(workload(mount, self.data, deadline))
            except (OSError, Stopped):
                if not deadline.has_passed():
                    raise
                sample = Sample()
            sample.cpu, sample.peak = mount.cpu(), mount.peak()
            self.count_traffic(sample, address)
            if deadline.was_reached:
                sample.problem = str(Stopped(limit))
            return sample

    def by_command(self, command, address, limit, value, is_right=lambda: True):
        """What `value` makes of the run of a command, if it did what it should."""
        address.link.counters()
        run = processes.run(command, limit)
        sample = Sample(value(run), cpu=run.cpu)
        self.count_traffic(sample, address)
        if not is_right():
            raise BadData()
        return sample

    @staticmethod
    def count_traffic(sample, address):
        counters = address.link.counters()
        if counters:
            sample.wire = counters["up"] + counters["down"]
            sample.connections = counters["connections"]


PATIENCE = 20


def limit_of(distance, payload, patience=PATIENCE):
    """Seconds that a tool may take: twice what the link needs, and some."""
    mib_per_second = distance.mib_per_second or 100
    return patience + 2 * payload / 1024 ** 2 / mib_per_second


def sample_of(once):
    """A sample, with what went wrong said in it."""
    try:
        return once()
    except NotServed:
        return Sample(problem="not served")
    except BadData:
        return Sample(problem="BAD")
    except Stopped as stopped:
        return Sample(problem=str(stopped))
    except (ToolFailed, OSError) as error:
        return Sample(problem=f"failed: {error}")


def measure(row, tools, runs):
    """Interleaves the runs, so that what else the machine does meets all tools alike. A tool with a
    problem is not asked again."""
    for _ in range(runs):
        for name, once in tools.items():
            samples = row.samples.setdefault(name, [])
            if not samples or not samples[-1].problem:
                samples.append(sample_of(once))
    return row
