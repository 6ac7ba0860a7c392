"""Tables as XFTTable.java writes them: every value is a text."""

import csv
import io
import json
from xml.sax.saxutils import escape

from wire import Answer

FIRST_BLOCK = 16 << 10


def in_blocks(text, content_type):
    """An answer whose length is not told beforehand."""
    block = text.encode("utf-8", "surrogateescape")

    def write(out):
        for start in range(0, len(block), FIRST_BLOCK):
            out.write(block[start:start + FIRST_BLOCK])

    return Answer(body=write, content_type=content_type)


def to_json(rows, columns, before="", after=""):
    dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    texts = [dump(dict(zip(columns, row))) for row in rows]
    return f'{{"ResultSet":{{{before}"Result":[{",".join(texts)}]{after}}}}}'


def to_csv(rows, columns):
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def to_xml(rows, columns, title):
    heads = "".join(f"<column>{escape(column)}</column>" for column in columns)
    lines = "".join("<row>" + "".join(f"<cell>{escape(cell)}</cell>" for cell in row) + "</row>"
                    for row in rows)
    return f'<ResultSet title="{title}"><results><columns>{heads}</columns><rows>{lines}</rows>' \
           "</results></ResultSet>"


def to_html(rows, columns):
    heads = "".join(f"<th>{escape(column)}</th>" for column in columns)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>"
                    for row in rows)
    return f"<html><body><table><tr>{heads}</tr>{lines}</table></body></html>"


def table(request, rows, columns, before="", after=""):
    rows = arranged(request, rows, columns)
    form = request.parameter("format", "json")
    if form == "csv":
        return in_blocks(to_csv(rows, columns), "text/csv")
    if form == "xml":
        return in_blocks(to_xml(rows, columns, "results"), "text/xml")
    if form == "html":
        return in_blocks(to_html(rows, columns), "text/html")
    return in_blocks(to_json(rows, columns, before, after), "application/json")


def arranged(request, rows, columns):
    column = request.parameter("sortBy")
    if column in columns:
        at = columns.index(column)
        rows = sorted(rows, key=lambda row: row[at],
                      reverse=request.parameter("sortOrder", "").upper() == "DESC")
    return rows


def total(rows):
    return f', "totalRecords": "{len(rows)}"'
