"""The distances between client and server: tests/bench/link.cpp imitates them."""
import json
import os
import signal
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True)
class Distance:
    """Round-trip time in ms and rate in Mbit/s; a rate of 0 stands for loopback itself."""

    name: str
    rtt_ms: float
    rate_mbit: float

    def __str__(self):
        if self.rate_mbit == 0:
            return "loopback"
        return f"{self.rtt_ms:g} ms, {self.rate_mbit:g} Mbit/s"

    @property
    def mib_per_second(self):
        return self.rate_mbit * 1e6 / 8 / 1024 ** 2


DISTANCES = {distance.name: distance for distance in (
    Distance("direct", 0, 0), Distance("lan", 1, 1000), Distance("wan", 20, 1000),
    Distance("far", 100, 200))}


class Link:
    """One of them, in front of servers. `ports` stand for the servers' ports at the far end."""

    def __init__(self, distance, build, targets):
        self.distance = distance
        self.process = None
        self.ports = targets
        if distance.rate_mbit > 0:
            relay = os.path.join(build, "tests", "bench", "red_link")
            self.process = subprocess.Popen(
                [relay, str(distance.rtt_ms / 2), str(distance.rate_mbit), *map(str, targets)],
                stdout=subprocess.PIPE, text=True)
            self.ports = [int(port) for port in self.process.stdout.readline().split()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process:
            self.process.terminate()
            self.process.wait()

    def counters(self):
        """Connections, their peak and the bytes since the last call; None on loopback itself."""
        if not self.process:
            return None
        self.process.send_signal(signal.SIGUSR1)
        return json.loads(self.process.stdout.readline())
