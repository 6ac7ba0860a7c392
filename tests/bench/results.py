"""What was measured, and the bars that it is held against."""
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

from links import Distance

GIB = 1024 ** 3
LESS_IS_BETTER = ("s", "ms", "MiB")  # units
OURS = "ours"


@dataclass
class Sample:
    """One run of one tool. CPU in seconds; peak memory of a mount's processes in MiB; bytes on the
    wire in both directions; connections that were opened."""

    value: float | None = None
    problem: str = ""  # why there is no value, or what it is worth: "BAD", "> 40 s", "not served"
    cpu: float | None = None
    peak: float | None = None
    wire: int | None = None
    connections: int | None = None


@dataclass(frozen=True)
class Bar:
    """What is to be reached. `is_met` may be asked only if there are figures of ours."""

    text: str
    is_met: Callable[["Row"], bool | None]


@dataclass
class Row:
    """One measurement at one distance: the samples of our tool, of peers and of limits."""

    name: str
    what: str
    unit: str
    distance: Distance
    payload: int = 0  # bytes that are wanted; 0: nothing is said about them
    bars: tuple[Bar, ...] = ()
    limits: tuple[str, ...] = ()  # tools that are what nature gives, not competitors
    samples: dict[str, list[Sample]] = field(default_factory=dict)

    def median(self, tool, of="value"):
        values = [getattr(sample, of) for sample in self.samples.get(tool, ())
                  if sample.problem != "BAD"]
        values = [value for value in values if value is not None]
        return statistics.median(values) if values else None

    @property
    def value(self):
        return self.median(OURS)

    def problem(self, tool):
        return next((sample.problem for sample in self.samples[tool] if sample.problem), "")

    @property
    def peers(self):
        return [tool for tool in self.samples if tool != OURS and tool not in self.limits]

    @property
    def best_peer(self):
        """The peer with the best median; None if none has a figure."""
        peers = [tool for tool in self.peers if self.median(tool) is not None]
        choose = min if self.unit in LESS_IS_BETTER else max
        return choose(peers, key=self.median, default=None)

    def ratio_to(self, tool):
        """How many times as good as the tool ours is; None if one has no figure."""
        theirs = self.median(tool)
        if not self.value or not theirs:
            return None
        return theirs / self.value if self.unit in LESS_IS_BETTER else self.value / theirs

    @property
    def share_of_link(self):
        if self.value is None or self.unit != "MiB/s" or self.distance.rate_mbit == 0:
            return None
        return self.value / self.distance.mib_per_second

    @property
    def cpu_per_gib(self):
        cpu = self.median(OURS, "cpu")
        return None if cpu is None or self.payload < GIB / 32 else cpu * GIB / self.payload

    @property
    def wire_share(self):
        """Bytes on the wire for each that was wanted."""
        wire = self.median(OURS, "wire")
        return None if wire is None or not self.payload else wire / self.payload

    @property
    def has_failed(self):
        """Whether ours gave wrong data or an error, which no figure can make good."""
        problem = self.problem(OURS) if OURS in self.samples else ""
        return problem == "BAD" or problem.startswith("failed")

    @property
    def is_met(self):
        """None: there is no bar, or what it needs was not measured."""
        if self.has_failed:
            return False
        if not self.bars or self.value is None:
            return None
        verdicts = [bar.is_met(self) for bar in self.bars]
        if False in verdicts:
            return False
        return None if None in verdicts else True


def compare(value, holds):
    return None if value is None else holds(value)


def at_least(bound, unit):
    return Bar(f">= {bound:,} {unit}", lambda row: row.value >= bound)


def at_most(bound, unit):
    return Bar(f"<= {bound:,} {unit}", lambda row: row.value <= bound)


def at_most_round_trips(bound):
    return Bar(f"<= {bound} round trips", lambda row: row.value <= bound * row.distance.rtt_ms)


def of_the_link(share):
    return Bar(f">= {share:.0%} of the link",
               lambda row: compare(row.share_of_link, lambda value: value >= share))


def times_as_good_as(tool, bound):
    return Bar(f">= {bound:.2g} of {tool}",
               lambda row: compare(row.ratio_to(tool), lambda value: value >= bound))


def ahead_of(tool):
    return Bar(f"ahead of {tool}", lambda row: compare(row.ratio_to(tool), lambda value: value > 1))


def cpu_per_gib_at_most(bound):
    return Bar(f"<= {bound} CPU-s/GiB",
               lambda row: compare(row.cpu_per_gib, lambda value: value <= bound))


def connections_at_most(bound):
    return Bar(f"<= {bound} connections",
               lambda row: compare(row.median(OURS, "connections"), lambda value: value <= bound))
