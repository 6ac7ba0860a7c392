"""Works on an XNAT as a user of pyxnat does: pyxnat_client.py URL USER PASSWORD.

Exits with 0 if all came back as it was sent. pyxnat is a client that others wrote, for the real
server: what it does not understand, the stand-in does not imitate well.
"""

import os
import sys
import tempfile
import zipfile

import pyxnat

CONTENTS = {"f.txt": b"first\n", "sub/dir/g h.txt": os.urandom(70000), "IM1": b"1", "IM10": b"10"}


def check(actual, expected):
    if actual != expected:
        raise AssertionError(f"{actual!r}, expected {expected!r}")


def create(server):
    project = server.select.project("NEW")
    project.create()
    session = project.subject("Subject_1").experiment("Session_1")
    session.create(experiments="xnat:mrSessionData")
    scan = session.scan("7")
    scan.create(scans="xnat:mrScanData")
    assessor = session.assessor("Quality_1")
    assessor.create(assessors="xnat:qcManualAssessorData")
    resource = scan.resource("DATA")
    resource.create()
    return session, scan, resource


def labels(collection):
    return [each.label() for each in collection]


def check_lists(server, session):
    check(sorted(server.select.projects().get()), ["NEW", "OLD"])
    project = server.select.project("NEW")
    check(labels(project.subjects()), ["Subject_1"])
    check(labels(project.subject("Subject_1").experiments()), ["Session_1"])
    check(list(session.scans().get()), ["7"])
    check(session.datatype(), "xnat:mrSessionData")
    check(session.scan("7").datatype(), "xnat:mrScanData")
    check(labels(session.scan("7").resources()), ["DATA"])
    check(labels(session.assessors()), ["Quality_1"])
    check(session.scan("8").exists(), False)


def put_files(resource, directory):
    for name, content in CONTENTS.items():
        path = os.path.join(directory, "source")
        with open(path, "wb") as file:
            file.write(content)
        resource.file(name).put(path)


def check_files(resource, directory):
    check(sorted(file.id() for file in resource.files()), sorted(CONTENTS))
    for name, content in CONTENTS.items():
        file = resource.file(name)
        check(file.size(), str(len(content)))
        with open(file.get(os.path.join(directory, "back")), "rb") as back:
            check(back.read(), content)


def check_archive(resource, directory):
    paths = resource.get(directory, extract=True)
    check(sorted(os.path.relpath(path, os.path.join(directory, "DATA")) for path in paths),
          sorted(CONTENTS))
    for path in paths:
        with open(path, "rb") as file:
            check(file.read(), CONTENTS[os.path.relpath(path, os.path.join(directory, "DATA"))])


def check_session_archive(session, directory):
    with zipfile.ZipFile(session.scans().download(directory, type="ALL")) as archive:
        check(sorted(archive.namelist()),
              sorted(f"Session_1/scans/7/resources/DATA/files/{name}" for name in CONTENTS))
        check(archive.testzip(), None)


def main():
    url, user, password = sys.argv[1:]
    server = pyxnat.Interface(server=url, user=user, password=password)
    check(server.version()["version"], "1.8.10")
    session, scan, resource = create(server)
    check_lists(server, session)
    with tempfile.TemporaryDirectory() as directory:
        put_files(resource, directory)
        check_files(resource, directory)
        check_archive(resource, directory)
        check_session_archive(session, directory)
    resource.file("f.txt").delete()
    check(resource.file("f.txt").exists(), False)
    scan.delete()
    check(list(session.scans().get()), [])
    server.disconnect()


main()
