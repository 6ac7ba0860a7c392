"""The rate of sequential reads against the round-trip time, as SVG."""
import math
from xml.sax.saxutils import escape

from results import OURS

WIDTH, HEIGHT = 380, 300  # of one panel, without its margins
LEFT, TOP, GAP, BOTTOM = 60, 40, 50, 90
# Okabe and Ito's colours, which the colour-blind can tell apart, on light and on dark.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
STYLE = """
  text { font: 12px sans-serif; fill: #444 }
  .title { font-size: 14px; font-weight: bold }
  .grid { stroke: #999; stroke-opacity: .35 }
  @media (prefers-color-scheme: dark) { text { fill: #ccc } }
"""
NEAREST, FARTHEST = 0.1, 200  # ms; loopback stands at the left end


def x_of(rtt_ms):
    at = math.log10(max(rtt_ms, NEAREST) / NEAREST) / math.log10(FARTHEST / NEAREST)
    return LEFT + at * WIDTH


def y_of(share):
    return TOP + (1 - min(share, 1)) * HEIGHT


def share_of(row, tool):
    """Of the link; on loopback of a plain connection."""
    value = row.median(tool)
    if row.distance.rate_mbit:
        limit = row.distance.mib_per_second
    else:
        limit = row.median(row.limits[0]) if row.limits else None
    return value / limit if value is not None and limit else None


def text(x, y, content, anchor="middle", kind=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}">{escape(content)}</text>'


def grid(rows):
    parts = []
    for percent in range(0, 101, 20):
        y = y_of(percent / 100)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{LEFT + WIDTH}" y1="{y:.0f}" y2="{y:.0f}"/>')
        parts.append(text(LEFT - 8, y + 4, f"{percent} %", "end"))
    for row in rows:
        x = x_of(row.distance.rtt_ms)
        parts.append(f'<line class="grid" x1="{x:.0f}" x2="{x:.0f}" y1="{TOP}" y2="{TOP + HEIGHT}"/>')
        label = f"{row.distance.rtt_ms:g} ms" if row.distance.rtt_ms else "loopback"
        parts.append(text(x, TOP + HEIGHT + 18, label))
        if row.distance.rate_mbit:
            parts.append(text(x, TOP + HEIGHT + 34, f"{row.distance.rate_mbit:g} Mbit/s"))
    return parts


def curve(rows, tool, colour):
    points = [(x_of(row.distance.rtt_ms), y_of(share)) for row in rows
              if (share := share_of(row, tool)) is not None]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    width = 3.5 if tool == OURS else 1.5
    return [f'<polyline fill="none" stroke="{colour}" stroke-width="{width}" points="{path}"/>',
            *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{width + 1}" fill="{colour}"/>'
              for x, y in points)]


def legend(tools):
    parts = []
    for i, (tool, colour) in enumerate(tools):
        x, y = LEFT + (i % 4) * WIDTH / 4, TOP + HEIGHT + 58 + 20 * (i // 4)
        parts.append(f'<rect x="{x:.0f}" y="{y - 8:.0f}" width="14" height="4" fill="{colour}"/>')
        parts.append(text(x + 19, y, tool, "start"))
    return parts


def panel(title, rows):
    rows = sorted(rows, key=lambda row: row.distance.rtt_ms)
    names = dict.fromkeys(tool for row in rows for tool in row.samples if tool not in row.limits)
    tools = list(zip(names, COLOURS))
    parts = [text(LEFT + WIDTH / 2, 22, title, kind="title"), *grid(rows), *legend(tools)]
    for tool, colour in reversed(tools):  # ours on top
        parts += curve(rows, tool, colour)
    return parts


def svg(rows):
    """One panel for each protocol that was measured."""
    panels = [(title, [row for row in rows if row.name == name]) for title, name in (
        ("HTTP: share of the link's rate", "http-sequential"),
        ("SFTP: share of the link's rate", "sftp-sequential"))]
    panels = [each for each in panels if each[1]]
    step = LEFT + WIDTH + GAP
    body = "\n".join(f'<g transform="translate({i * step} 0)">' + "\n".join(panel(*each)) + "</g>"
                     for i, each in enumerate(panels))
    width, height = step * len(panels), TOP + HEIGHT + BOTTOM
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" role="img" aria-label="Cold sequential reads through '
            f'a mount: share of the link\'s rate (loopback: of a plain connection) against round-trip '
            f'time">\n<style>{STYLE}</style>\n{body}\n</svg>\n')
