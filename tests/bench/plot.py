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
HIGHEST = 1.2  # share: more connections than the limit has may pass it


def x_of(rtt_ms):
    at = math.log10(max(rtt_ms, NEAREST) / NEAREST) / math.log10(FARTHEST / NEAREST)
    return LEFT + at * WIDTH


def y_of(share):
    return TOP + (1 - min(share, HIGHEST) / HIGHEST) * HEIGHT


def share_of(row, tool):
    """Of the link; on loopback of a plain connection."""
    value = row.median(tool)
    if row.distance.rate_mbit:
        limit = row.distance.mib_per_second
    else:
        limit = row.median(row.limits[0])
    return value / limit if value is not None and limit else None


def text(x, y, content, anchor="middle", kind=""):
    return (f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" class="{kind}">'
            f'{escape(content)}</text>')


def grid_line(x1, y1, x2, y2):
    return f'<line class="grid" x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}"/>'


def grid(rows):
    parts = []
    for percent in range(0, round(100 * HIGHEST) + 1, 20):
        y = y_of(percent / 100)
        parts.append(grid_line(LEFT, y, LEFT + WIDTH, y))
        parts.append(text(LEFT - 8, y + 4, f"{percent} %", "end"))
    for row in rows:
        x = x_of(row.distance.rtt_ms)
        parts.append(grid_line(x, TOP, x, TOP + HEIGHT))
        label = f"{row.distance.rtt_ms:g} ms" if row.distance.rtt_ms else "loopback"
        parts.append(text(x, TOP + HEIGHT + 18, label))
        rate = row.distance.rate_mbit
        whole = f"{rate:g} Mbit/s" if rate else f"of {row.limits[0]}"
        parts.append(text(x, TOP + HEIGHT + 34, whole))
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


def tools_of(rows):
    """Those that reached something."""
    return dict.fromkeys(tool for row in rows for tool in row.samples
                         if tool not in row.limits and row.median(tool) is not None)


def panel(title, rows, colours):
    rows = sorted(rows, key=lambda row: row.distance.rtt_ms)
    tools = [(tool, colours[tool]) for tool in tools_of(rows)]
    parts = [text(LEFT + WIDTH / 2, 22, title, kind="title"), *grid(rows), *legend(tools)]
    for tool, colour in reversed(tools):  # ours on top
        parts += curve(rows, tool, colour)
    return parts


def svg(rows):
    """One panel for each protocol that was measured."""
    panels = []
    for label, name in (("HTTP", "http-sequential"), ("SFTP", "sftp-sequential")):
        measured = [row for row in rows if row.name == name]
        if measured:
            panels.append((f"{label}: share of the link's rate", measured))
    colours = dict(zip(tools_of([row for _, rows in panels for row in rows]), COLOURS))
    step = LEFT + WIDTH + GAP
    body = "\n".join(f'<g transform="translate({i * step} 0)">{"".join(panel(*each, colours))}</g>'
                     for i, each in enumerate(panels))
    width, height = step * len(panels), TOP + HEIGHT + BOTTOM
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img"
  width="{width}" height="{height}" aria-label="Cold sequential reads through a mount: share of the
  link's rate against round-trip time">
<style>{STYLE}</style>
{body}
</svg>
"""
