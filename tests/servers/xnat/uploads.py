"""PUT, POST and DELETE below .../files.

After handlePost() and handleDelete() of FileList.java and storeCatalogEntry() of CatalogUtils.java:
the catalog is read, the bytes are written to the disk, the catalog is written; whoever wrote it
meanwhile makes the last step fail.
"""

import json
import mmap
import os
import re
import tarfile
import time
import zipfile
import zlib

from archive import Entry
from contents import StoredContent
from pages import status_page
from wire import Answer, Gone

IN_BODY_TYPES = ("application/octet-stream", "text/plain", "text/xml", "application/xml",
                 "application/dicom", "application/zip", "application/x-tar",
                 "application/x-gtar", "application/gzip", "application/json", "text/csv")
PACKED = re.compile(r"\.(zip|jar|rar|ear|gar|mrb|tar|tgz|tar\.gz)$", re.IGNORECASE)
UNSUPPORTED_NAME = "_catalog.xml"


class Unreadable(Exception):
    """XNAT answers 500."""


class Upload:
    """One file of a request: where it goes and a file on the disk that holds its bytes."""

    def __init__(self, name, path):
        self.name = name
        self.path = path


class CatalogSnapshot:
    """The catalog as it was read before the bytes came."""

    def __init__(self, resource):
        self.version = resource.version
        self.entries = dict(resource.entries)


class Uploads:
    def __init__(self, archive, settings):
        self._archive = archive
        self._settings = settings

    # --- PUT and POST ----------------------------------------------------------------------------

    def store(self, request, place, user, wire, faults):
        with self._archive.mutex:
            item = place.security_item()
            if item is None or not self._archive.edits(user, item):
                return Answer(200)
            path = place.route.file_path()
            if refusal := self._refuse(request, path):
                return refusal
            resource = self._resource_for(request, place)
            snapshot = CatalogSnapshot(resource)
        time.sleep(self._settings.catalog_time)
        receiving = Receiving(self._archive, request, wire, faults, resource, path)
        try:
            uploads = receiving.receive()
            if not uploads:
                return status_page(400, "didn't provide any data")
            duplicates, added = self._keep(request, resource, uploads)
        except (Unreadable, zipfile.BadZipFile, tarfile.TarError, zlib.error) as error:
            return status_page(500, str(error))
        if "hold_upload" in faults:
            faults["hold_upload"].hold(wire)
        time.sleep(self._settings.catalog_time)
        if "concurrent_modification" in faults or not self._write(resource, snapshot, added):
            return status_page(500, "Another thread or process modified the catalog")
        if duplicates:
            text = json.dumps({"duplicates": duplicates}, separators=(",", ":"))
            return Answer(200, text, "text/html;charset=ISO-8859-1")
        return Answer(200)

    @staticmethod
    def _refuse(request, path):
        kind = request.fields.get("content-type", "").partition(";")[0].strip().lower()
        in_body = request.is_true("inbody") or kind in IN_BODY_TYPES
        if request.is_true("inbody") and kind == "multipart/form-data":
            return status_page(406, "In-body File posts must include the file directly")
        if in_body and (request.chunked or request.length == 0) and kind != "application/zip":
            return status_page(500, "In-body File posts must include the file directly as the "
                               "body of the message.")
        if not in_body and kind != "multipart/form-data":
            return status_page(400, "didn't provide any data. If you think you sent data to "
                               "upload, you can try with the query-string parameter inbody=true "
                               "or use multipart/form-data encoding.")
        if in_body and not path:
            return status_page(500, "there is no filename specified")
        if path.endswith(UNSUPPORTED_NAME):
            return status_page(500, f"XNAT cannot catalog {path}")
        if any(part in ("..", ".") for part in path.split("/")):
            return status_page(500, "not within the resource")
        return None

    def _resource_for(self, request, place):
        found = place.wanted_resources(False)
        if found:
            return found[0].resource
        names = place.route.resource_names
        resource = self._archive.add_resource(place.owners()[0], place.route.direction,
                                              names[0] if names else "")
        set_attributes(resource, request)
        return resource

    def _keep(self, request, resource, uploads):
        """Puts what has come in its place on the disk; returns what was there and what is new."""
        duplicates, added = [], {}
        for upload in uploads:
            if request.is_true("extract") and PACKED.search(upload.name):
                self._extract(request, resource, upload, duplicates, added)
                os.unlink(upload.path)
            else:
                self._place(request, resource, upload.name, upload.path, duplicates, added)
        return duplicates, added

    def _place(self, request, resource, name, path, duplicates, added):
        with self._archive.mutex:
            entry = resource.entries.get(name)
            there = name in resource.stray or (entry and entry.content)
            if there and not request.is_true("overwrite"):
                duplicates.append(name)
                os.unlink(path)
                return
            discard(resource, name)
            added[name] = resource.stray[name] = StoredContent(path)

    def _extract(self, request, resource, upload, duplicates, added):
        for name, stream in members_of(upload):
            name = name.removeprefix("./")
            if name.endswith(UNSUPPORTED_NAME):
                continue
            if ".." in name.split("/") or name.startswith("/"):
                raise Unreadable(f"{name} is not within the resource")
            path = self._archive.disk.keep(stream).path
            self._place(request, resource, name, path, duplicates, added)

    def _write(self, resource, snapshot, added):
        """Writes the catalog. False if it is not the one that was read."""
        with self._archive.mutex:
            if resource.version != snapshot.version:
                if self._settings.lost_updates_refused:
                    return False
                for name in set(resource.entries) - set(snapshot.entries):
                    resource.stray[name] = resource.entries.pop(name).content
            for name, content in added.items():
                # It may have been replaced or removed meanwhile.
                if resource.stray.get(name) is content:
                    resource.entries[name] = Entry(name, resource.stray.pop(name))
            resource.write_catalog()
        return True

    # --- DELETE ----------------------------------------------------------------------------------

    def delete(self, request, place, user):
        """Every entry whose path begins so, whatever comes then."""
        found = place.wanted_resources(False) if place.route.resource else []
        if not found:
            return status_page(400, "Unable to determine resource, parent, or security.")
        if not self._archive.deletes(user, place.security_item()):
            return status_page(403, "User account doesn't have permission to modify this experiment.")
        resource = found[0].resource
        path = place.route.file_path()
        # java.util.regex and an asterisk at the end: the start decides there, too.
        names = [name for name in resource.entries if name.startswith(path.rstrip("*"))]
        if not names:
            return Answer(204) if request.is_true("accept-not-found") \
                else status_page(404, "No matched files")
        for name in names:
            entry = resource.entries.pop(name)
            if request.is_false("removeFiles"):
                if entry.content:
                    resource.stray[name] = entry.content
            elif entry.content:
                entry.content.drop()
        resource.write_catalog()
        return Answer(200)


class Receiving:
    """Takes a request's body to the disk."""

    def __init__(self, archive, request, wire, faults, resource, path):
        self._archive = archive
        self._request = request
        self._wire = wire
        self._cut = faults.get("drop_upload")
        self._resource = resource
        self._path = path

    def receive(self):
        body = self._archive.disk.new_path()
        if self._request.fields.get("content-type", "").startswith("multipart/form-data"):
            self._write_body(body)
            try:
                return self._parts(body)
            finally:
                os.unlink(body)
        if self._request.is_true("overwrite") and not self._unpacks():
            self._lose_old(self._path)
        try:
            self._write_body(body)
        except Gone:
            self._leave_cut(body)
            raise
        return [Upload(self._path, body)]

    def _unpacks(self):
        return self._request.is_true("extract") and PACKED.search(self._path)

    def _lose_old(self, name):
        """Overwriting deletes first."""
        with self._archive.mutex:
            discard(self._resource, name)

    def _leave_cut(self, path):
        """What has come of an upload that broke off lies where the file would."""
        with self._archive.mutex:
            entry = self._resource.entries.get(self._path)
            if entry and entry.content is None:
                entry.content = StoredContent(path)
            elif entry is None and self._path not in self._resource.stray \
                    and not self._unpacks():
                self._resource.stray[self._path] = StoredContent(path)
            else:
                os.unlink(path)

    def _write_body(self, path):
        inflate = None
        if self._request.fields.get("content-encoding", "") == "gzip":
            inflate = zlib.decompressobj(31)
        with open(path, "wb", buffering=0) as file:
            for block in self._wire.body():
                if self._cut and self._wire.received > self._cut.size:
                    file.write(block[:len(block) - self._wire.received + self._cut.size])
                    raise Gone
                file.write(inflate.decompress(block) if inflate else block)

    def _parts(self, body):
        """The files of multipart/form-data (RFC 7578)."""
        match = re.search(r'boundary="?([^";]+)"?', self._request.fields["content-type"])
        if not match or os.path.getsize(body) == 0:
            raise Unreadable("the request was rejected because no multipart boundary was found")
        uploads = []
        with open(body, "rb") as file, \
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
            delimiter = b"--" + match[1].encode()
            at = text.find(delimiter)
            while at >= 0 and text[at + len(delimiter):at + len(delimiter) + 2] == b"\r\n":
                head_end = text.find(b"\r\n\r\n", at)
                end = text.find(b"\r\n" + delimiter, head_end + 2)
                if head_end < 0 or end < 0:
                    raise Unreadable("Stream ended unexpectedly")
                name = filename_of(text[at:head_end].decode())
                if name is not None:
                    uploads.append(self._part(name, text, head_end + 4, end))
                at = end + 2
        return uploads

    def _part(self, filename, text, start, end):
        path = self._archive.disk.new_path()
        with open(path, "wb") as file:
            file.write(memoryview(text)[start:end])
        name = self._path or filename
        if self._path.endswith("/"):
            name = self._path + filename
        return Upload(name, path)


def filename_of(head):
    match = re.search(r'content-disposition:.*filename="([^"]*)"', head, re.IGNORECASE)
    return match[1].rpartition("\\")[2].rpartition("/")[2] if match else None


def members_of(upload):
    """(name, file object) of each file in an archive."""
    if upload.name.lower().endswith((".tar", ".tgz", ".tar.gz")):
        with tarfile.open(upload.path) as archive:
            for member in archive:
                if member.isfile():
                    yield member.name, archive.extractfile(member)
        return
    with zipfile.ZipFile(upload.path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                with archive.open(member) as stream:
                    yield member.filename, stream


def discard(resource, name):
    """The file on the disk goes, its entry in the catalog stays."""
    entry = resource.entries.get(name)
    content = resource.stray.pop(name, None) or (entry and entry.content)
    if content:
        content.drop()
    if entry:
        entry.content = None


def set_attributes(resource, request):
    for name in ("format", "content", "description", "tags"):
        if value := request.parameter(name):
            setattr(resource, name, value)
