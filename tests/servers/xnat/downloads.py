"""GET below .../files: listings of catalogs, single files, ranges of them, archives.

After FileList.java and ZipRepresentation.java; ranges after RangeFilter and RangeRepresentation of
Restlet 1.1.10.
"""

import json
import os
import re
import tarfile
import time
import urllib.parse
import zipfile
import zlib
from email.utils import formatdate, parsedate_to_datetime

from pages import status_page
from tables import table, total
from wire import Answer, FilePart

CONTENT_TYPES = {
    "bmp": "image/bmp", "gif": "image/gif", "html": "text/html", "jpg": "image/jpeg",
    "jpeg": "image/jpeg", "pdf": "application/pdf", "png": "image/png", "svg": "image/svg+xml",
    "tif": "image/tiff", "tiff": "image/tiff", "txt": "text/plain", "xml": "text/xml",
}
ARCHIVES = {"zip": ("application/zip", ".zip"), "tar": ("application/x-tar", ".tar"),
            "tar.gz": ("application/x-gtar", ".tar.gz")}
FILE_COLUMNS = ["Name", "Size", "URI", "collection", "file_tags", "file_format", "file_content",
                "cat_ID", "digest"]
INSIDE_ARCHIVE = re.compile(r"(.*?\.(?:zip|jar|rar|ear|gar|mrb))[!/](.+)", re.IGNORECASE)
VARY = ("Vary", "Accept-Charset, Accept-Encoding, Accept-Language, Accept")


class Member:
    """An entry of a catalog and where a listing says that it is."""

    def __init__(self, entry, found, uri):
        self.entry = entry
        self.found = found
        self.uri = uri


class Downloads:
    def __init__(self, archive, settings):
        self._archive = archive
        self._settings = settings

    def answer(self, request, place):
        found = place.wanted_resources(request.is_true("all"))
        form = request.parameter("format", "json")
        path = place.route.file_path()
        single = bool(len(found) == 1 and place.route.resource and form not in ARCHIVES)
        if path:
            return self._by_path(request, place, found, path, form, single)
        members = members_of(request, place, found, single)
        if form in ARCHIVES:
            return self._archive_of(request, place, members, form)
        return self._list(request, members)

    # --- Listings --------------------------------------------------------------------------------

    def _list(self, request, members):
        checksums = self._settings.checksums
        rows = []
        for member in members:
            entry, resource = member.entry, member.found.resource
            rows.append([entry.path.rpartition("/")[2], entry.size, self._locator(request, member),
                         resource.label, entry.tags, entry.format or resource.format,
                         entry.content_label or resource.content, str(resource.number),
                         entry.digest(checksums)])
        columns = list(FILE_COLUMNS)
        if (locator := request.parameter("locator")) in ("absolutePath", "projectPath"):
            columns[2] = locator
        root = json.dumps(self._settings.context)
        return table(request, rows, columns,
                     f'"Columns":[{{"key":"URI","serverRoot":{root}}}],', ',"title": "Files"')

    @staticmethod
    def _locator(request, member):
        resource = member.found.resource
        path = f"{resource.item.project.id}/{resource.number}/{member.entry.path}"
        return {"absolutePath": f"/data/xnat/archive/{path}",
                "projectPath": path}.get(request.parameter("locator"), member.uri)

    # --- One file --------------------------------------------------------------------------------

    def _by_path(self, request, place, found, path, form, single):
        inside = INSIDE_ARCHIVE.fullmatch(path)
        if inside and single:
            return self._inside(request, found, *inside.groups())
        entry = entry_named(found, path)
        if entry is None and path.endswith(("/", "*")):
            return self._folder(request, place, found, path, form, single)
        if entry is None or entry.content is None:
            return missing(request, single)
        if form in ARCHIVES and not path.lower().endswith(ARCHIVES[form][1]):
            return packed([(path.rpartition("/")[2], entry.content)], form, archive_name(place),
                          self._compression(request))
        if request.is_true("listContents") and zipfile_of(entry.content):
            return contents_of(request, zipfile_of(entry.content))
        return self._file(request, entry, path)

    def _folder(self, request, place, found, path, form, single):
        there = [member for member in members_of(request, place, found, single)
                 if member.entry.path.startswith(path.rstrip("*"))]
        if form in ARCHIVES:
            files = [(member.entry.path, member.entry.content) for member in there
                     if member.entry.content]
            if not files:
                return missing(request, single)
            return packed(files, form, archive_name(place), self._compression(request))
        if path.endswith("*"):
            return missing(request, single)
        return self._list(request, there)

    @staticmethod
    def _inside(request, found, path, name):
        entry = entry_named(found, path)
        if entry is None or entry.content is None:
            return missing(request, True)
        opened = zipfile_of(entry.content)
        if opened is None:
            return Answer(415)
        try:
            content = opened.read(urllib.parse.unquote_plus(name))
        except KeyError:
            return missing(request, True)
        return Answer(body=lambda out: out.write(content), content_type=content_type(name))

    def _file(self, request, entry, path):
        content = entry.content
        name = path.rpartition("/")[2].replace('"', "")
        fields = [("Cache-Control", "must-revalidate"),
                  ("Content-Disposition", f'attachment; filename="{name}";'),
                  ("Last-Modified", formatdate(content.modified, usegmt=True)), VARY]
        if status := condition(request, content.modified):
            return Answer(status, fields=fields[2:])
        answer = self._ranged(request, content)
        if answer.status == 501:
            return answer
        answer.fields = [("Content-Type", content_type(path)), *answer.fields, *fields]
        return answer

    # --- Ranges ----------------------------------------------------------------------------------

    def _ranged(self, request, content):
        field = request.fields.get("range", "")
        if self._settings.ranges == "ignored":
            return whole(content, [])
        if not field.startswith("bytes=") or content.size == 0:
            return whole(content, [("Accept-Ranges", "bytes")])
        if "," in field:
            return (status_page(501) if self._settings.ranges == "as_xnat"
                    else whole(content, [("Accept-Ranges", "bytes")]))
        parsed = re.fullmatch(r"bytes=(\d*)-(\d*)", field)
        if self._settings.ranges == "repaired":
            return repaired_range(parsed, content)
        return restlet_range(parsed, content)

    # --- Archives --------------------------------------------------------------------------------

    def _compression(self, request):
        return int(request.parameter("compression", "0"))

    def _archive_of(self, request, place, members, form):
        files = [(self._member_name(request, place, member), member.entry.content)
                 for member in members if member.entry.content]
        if not files:
            return missing(request, False)
        return packed(files, form, archive_name(place), self._compression(request))

    def _member_name(self, request, place, member):
        structure = request.parameter("structure", "default")
        found, resource = member.found, member.found.resource
        if structure == "improved":
            return improved_name(found, member.entry.path)
        if structure == "legacy":
            return f"{resource.item.project.id}/{resource.number}/{member.entry.path}"
        name = from_anchor(member.uri, anchors(request, place))
        name = name.replace(f"/{resource.number}/files/", f"/{resource.label}/files/")
        if structure == "simplified":
            return name.replace("/resources", "").replace("/files", "")
        for part in (*place.scans, *place.reconstructions):
            if part.type:
                kind = re.sub(r"\W", "_", part.type, flags=re.ASCII)
                # Anywhere in the path, which also catches a directory of a scan's name.
                name = name.replace(f"/{part.id}/", f"/{part.id}-{kind}/")
        return name


def accepts(request, entry):
    for name, value in (("file_format", entry.format), ("file_content", entry.content_label)):
        wanted = request.parameters.get(name)
        if wanted and (value or "NULL") not in wanted:
            return False
    return True


def members_of(request, place, found, single):
    members = []
    for each in found:
        base = f"{place.base_uri()}/resources/{each.resource.number}" if single else each.uri
        members += [Member(entry, each, f"{base}/files/{entry.path}")
                    for entry in each.resource.entries.values() if accepts(request, entry)]
    return members


def entry_named(found, path):
    """By the path as it came, else decoded. IDs of entries are their paths here."""
    for wanted in (path, urllib.parse.unquote_plus(path)):
        for each in found:
            if wanted in each.resource.entries:
                return each.resource.entries[wanted]
    return None


def missing(request, with_empty_body):
    if request.is_true("accept-not-found"):
        return Answer(204)
    return Answer(404) if with_empty_body else status_page(404, "Unable to find file.")


def content_type(path):
    return CONTENT_TYPES.get(path.rpartition(".")[2].lower(), "application/octet-stream")


def condition(request, modified):
    """304 or 412, or nothing. RFC 9110, section 13, as far as Restlet goes."""
    modified = int(modified)
    try:
        if field := request.fields.get("if-modified-since"):
            if modified <= parsedate_to_datetime(field).timestamp():
                return 304
        if field := request.fields.get("if-unmodified-since"):
            if modified > parsedate_to_datetime(field).timestamp():
                return 412
    except (TypeError, ValueError):
        pass
    return None


def whole(content, fields):
    return Answer(body=FilePart(content, 0, content.size), content_type="", fields=fields)


def partial(content, first, length, shown_last, available=None):
    shown = f"bytes {first}-{shown_last}/{content.size}"
    return Answer(206, FilePart(content, max(first, 0), length, available), "",
                  [("Accept-Ranges", "bytes"), ("Content-Range", shown)])


def restlet_range(parsed, content):
    """It never looks where the file ends: more is promised than there is, the rest is awaited."""
    size = content.size
    if parsed is None or parsed[1] == parsed[2] == "":
        return Answer(206, fields=[("Accept-Ranges", "bytes")])
    if parsed[1] == "":
        length = int(parsed[2])
        return partial(content, size - length, length, size - 1, min(length, size))
    first = int(parsed[1])
    if parsed[2] == "":
        return partial(content, first, size - first, size - 1, max(0, size - first))
    length = int(parsed[2]) - first + 1
    return partial(content, first, length, int(parsed[2]), max(0, min(length, size - first)))


def repaired_range(parsed, content):
    size = content.size
    if parsed is None or parsed[1] == parsed[2] == "":
        return whole(content, [("Accept-Ranges", "bytes")])
    first = int(parsed[1]) if parsed[1] else max(0, size - int(parsed[2]))
    last = int(parsed[2]) if parsed[1] and parsed[2] else size - 1
    if first >= size:
        return Answer(416, fields=[("Content-Range", f"bytes */{size}")])
    last = min(last, size - 1)
    return partial(content, first, last - first + 1, last)


# --- Archives ------------------------------------------------------------------------------------


def archive_name(place):
    item = (place.sessions or place.experiments or [place.subject or place.project])[0]
    return item.label if item else "null"


def anchors(request, place):
    """What the path of a member starts with, by the ID that is looked for in its URI."""
    sessions = place.sessions or place.experiments
    if not sessions:
        item = place.subject or place.project
        return {item.id: item.label}
    before = ""
    found = {}
    for session in sessions:
        if place.sessions and request.is_true("projectIncludedInPath"):
            before = session.project.id + "/"
        if place.sessions and request.is_true("subjectIncludedInPath") and session.subject:
            before += session.subject.label + "/"
        found[session.id] = before + session.label
        before = ""
    return found


def from_anchor(uri, found):
    for anchor, shown in found.items():
        at = uri.find(f"/{anchor}/")
        if at >= 0:
            return shown + uri[at + 1 + len(anchor):]
    return uri.lstrip("/")


def improved_name(found, path):
    name = found.category + "/"
    if found.cat_id:
        name += found.cat_id
        if found.cat_desc:
            name += "_" + re.sub(r'[\\/:*?"<>|]', "_", found.cat_desc)
        name += "/"
    return f"{name}{found.resource.label or found.resource.number}/{path}"


def packed(files, form, name, compression):
    """`files` are (path, content). Zip members are stored or deflated: the number is the method."""
    mime, extension = ARCHIVES[form]
    if form == "zip" and compression not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return status_page(500, "invalid compression method")
    write = write_zip if form == "zip" else write_tar
    return Answer(body=lambda out: write(out, files, compression, form), content_type=mime,
                  fields=[("Content-Disposition", f'attachment; filename="{name}{extension}";')])


class Unseekable:
    """Makes the zip and tar modules write in one go."""

    def __init__(self, out):
        self._out = out

    def write(self, block):
        return self._out.write(block)

    def flush(self):
        pass


def blocks_of(content):
    with content.open() as reader:
        for descriptor, offset, length in reader.pieces(0, content.size):
            while length > 0 and (block := os.pread(descriptor, min(length, 1 << 18), offset)):
                offset += len(block)
                length -= len(block)
                yield block


def write_zip(out, files, compression, _):
    with zipfile.ZipFile(Unseekable(out), "w", compression) as archive:
        for path, content in files:
            member = zipfile.ZipInfo(path, time.gmtime(content.modified)[:6])
            member.compress_type = compression
            member.file_size = content.size
            if compression == zipfile.ZIP_STORED:
                add_stored(archive, member, content)
            else:
                with archive.open(member, "w") as target:
                    for block in blocks_of(content):
                        target.write(block)


def add_stored(archive, member, content):
    """Java's ZipOutputStream tells sizes and checksum beforehand, where the zip module, which
    cannot look ahead in a stream, would tell them behind the data."""
    crc = 0
    for block in blocks_of(content):
        crc = zlib.crc32(block, crc)
    member.CRC = crc
    member.compress_size = content.size
    member.header_offset = archive.fp.tell()
    archive.fp.write(member.FileHeader())
    for block in blocks_of(content):
        archive.fp.write(block)
    archive.start_dir = archive.fp.tell()
    archive.filelist.append(member)
    archive.NameToInfo[member.filename] = member
    archive._didModify = True


def write_tar(out, files, _, form):
    mode = "w|gz" if form == "tar.gz" else "w|"
    with tarfile.open(fileobj=Unseekable(out), mode=mode, format=tarfile.GNU_FORMAT) as archive:
        for path, content in files:
            member = tarfile.TarInfo(path)
            member.size = content.size
            member.mtime = int(content.modified)
            archive.addfile(member, ReadBlocks(content))


class ReadBlocks:
    """A content as a file that is read from its beginning to its end."""

    def __init__(self, content):
        self._blocks = blocks_of(content)
        self._left = b""

    def read(self, size):
        while len(self._left) < size and (block := next(self._blocks, b"")):
            self._left += block
        block, self._left = self._left[:size], self._left[size:]
        return block


def zipfile_of(content):
    path = content.place().get("path")
    try:
        return zipfile.ZipFile(path) if path else None
    except zipfile.BadZipFile:
        return None


def contents_of(request, opened):
    rows = [[member.filename, str(member.file_size)] for member in opened.infolist()]
    return table(request, rows, ["File Name", "Size"], after=total(rows))
