#!/usr/bin/env python3
"""Measures the connector against its peers and against limits, in the same run, and prints ratios.

    tests/bench/bench.py BUILD_DIR [--size MiB] [--runs N] [--links direct,lan,wan,far]
                         [--only NAME,...] [--no-peers] [--quick] [--json FILE] [--plot FILE.svg]

Real servers (nginx, sshd) stand behind links that tests/bench/link.cpp imitates: direct (loopback
itself), lan (1 ms, 1 Gbit/s), wan (20 ms, 1 Gbit/s), far (100 ms, 200 Mbit/s). Sequential reads are
measured at all of them, the rest where its bar is; with --links, everything at those.
--only takes names such as http, sequential or sftp-random-4k.

Cold means a fresh mount, with its own pages in the kernel, of files that the server has in its page
cache. Runs of the tools are interleaved, each figure is the median. All that was read or written is
compared with the source: BAD is a tool that got it wrong. A tool that takes much longer than the
link needs is stopped, and a rate is what it had reached. Peers use the fastest cipher of OpenSSH.

Needs what the tests need; peers are in the group "bench" of tests/packages.sh, and left out where
they are not installed. The machine should be idle. The bars are for the default size.
"""
import argparse
import signal
import sys

import plot
import table
import transfers
from links import DISTANCES
from measurements import Choice
from mounts import PEERS
from rows import ROWS, memory
from testbed import Testbed


def parse():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", help="a build directory, for example build/release")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the large file")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--links", type=lambda text: text.split(","), help="direct,lan,wan,far")
    parser.add_argument("--only", type=lambda text: set(text.split(",")), default=set(),
                        help="rows by name, kind or protocol")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--quick", action="store_true",
                        help="small and once, without peers: whether everything works")
    parser.add_argument("--json", help="file for every single figure")
    parser.add_argument("--plot", help="file for the plot of rate against round-trip time")
    options = parser.parse_args()
    unknown = set(options.links or ()) - set(DISTANCES)
    if unknown:
        parser.error(f"no such link: {', '.join(sorted(unknown))}")
    if options.quick:
        options.size, options.runs, options.no_peers = 16, 1, True
        options.links = options.links or ["direct", "wan"]
    return options


def missing_peers():
    names = {peer.program for peer in PEERS if not peer.is_installed()}
    return sorted(names | transfers.missing())


def measure_all(testbed, choice):
    rows = []
    for each in ROWS:
        for row in each(testbed, choice):
            rows.append(row)
            print(table.line(row), flush=True)
    return rows + [memory(rows)]


def main():
    options = parse()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if not options.no_peers and missing_peers():
        print(f"Left out, not installed: {', '.join(missing_peers())}")
    distances = [DISTANCES[name] for name in options.links or DISTANCES]
    choice = Choice(options.only, distances, options.links is not None and not options.quick,
                    options.runs, not options.no_peers)
    scale = 10 if options.quick else 1
    with Testbed(options.build, distances, options.size, scale) as testbed:
        rows = measure_all(testbed, choice)
    print(f"\n{table.against_the_bar(rows)}\n\nWhat ours takes\n\n{table.costs(rows)}\n")
    print(f"Links: {table.links(distances)}.")
    if options.json:
        with open(options.json, "w") as file:
            file.write(table.as_json(rows, {"size": options.size, "runs": options.runs}))
    if options.plot:
        with open(options.plot, "w") as file:
            file.write(plot.svg(rows))
    sys.exit(1 if any(row.has_failed for row in rows) else 0)


if __name__ == "__main__":
    main()
