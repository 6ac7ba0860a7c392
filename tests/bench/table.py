"""Rows as text: a line while it runs, tables at the end, JSON."""
import dataclasses
import json
import os
import platform

from results import OURS


def figure(value, unit):
    if value is None:
        return "-"
    digits = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def reached(row, tool):
    """The median of a tool, and what is wrong with it."""
    if not row.samples.get(tool):
        return "-"
    value, problem = row.median(tool), row.problem(tool).split(":")[0]
    if problem == "BAD" or value is None:
        return problem or "-"
    return figure(value, row.unit) + (f" ({problem})" if problem else "")


def line(row):
    """All tools of a row, and why those failed that did."""
    tools = ", ".join(f"{tool} {reached(row, tool)}" for tool in row.samples)
    failures = [f"\n  {tool} {row.problem(tool)}" for tool in row.samples
                if row.problem(tool).startswith("failed")]
    return f"{row.what} [{row.distance.name}]: {tools}" + "".join(failures)


def ratio(value):
    return "-" if value is None else f"{value:.2f}"


def share(value):
    return "-" if value is None else f"{value:.1%}"


def verdict(row):
    if row.is_met is None:
        return ""
    return "yes" if row.is_met else "NO"


def peer(row):
    best = row.best_peer or next(iter(row.peers), None)
    return f"{reached(row, best)} {best}" if best else "-"


def limit(row):
    return "; ".join(f"{reached(row, tool)} {tool}" for tool in row.limits) or "-"


def markdown(head, lines):
    widths = [max(map(len, column)) for column in zip(head, *lines)]
    rule = ["-" * width for width in widths]

    def line_of(cells):
        return "| " + " | ".join(map(str.ljust, cells, widths)) + " |"
    return "\n".join(map(line_of, (head, rule, *lines)))


def against_the_bar(rows):
    head = ("what", "link", "ours", "best peer", "ratio", "of the link", "limit", "bar", "met")
    return markdown(head, [
        (row.what, row.distance.name, reached(row, OURS), peer(row),
         ratio(row.ratio_to(row.best_peer)), share(row.share_of_link), limit(row),
         ", ".join(bar.text for bar in row.bars), verdict(row)) for row in rows])


def costs(rows):
    """What ours took: processor, memory, network."""
    head = ("what", "link", "CPU-s/GiB", "peak MiB", "wire/wanted", "connections")
    return markdown(head, [
        (row.what, row.distance.name, ratio(row.cpu_per_gib),
         figure(row.median(OURS, "peak"), "").strip(), ratio(row.wire_share),
         figure(row.median(OURS, "connections"), "").strip())
        for row in rows if row.median(OURS, "cpu") is not None])


def links(distances):
    """What the names of the links stand for."""
    return ", ".join(f"{distance.name}: {distance}" for distance in distances)


def as_json(rows, settings):
    return json.dumps({
        "machine": {"system": platform.platform(), "processors": os.cpu_count()},
        "settings": settings,
        "rows": [{"name": row.name, "what": row.what, "unit": row.unit,
                  "link": dataclasses.asdict(row.distance), "payload": row.payload,
                  "bar": [bar.text for bar in row.bars], "met": row.is_met, "limits": row.limits,
                  "samples": {tool: [dataclasses.asdict(sample) for sample in samples]
                              for tool, samples in row.samples.items()}} for row in rows]},
        indent=1)
