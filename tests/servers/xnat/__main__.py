"""A stand-in for XNAT, for tests: python3 tests/servers/xnat [SETTINGS]; see XNAT.md."""

import json
import os
import signal
import ssl
import sys
import tempfile
import threading

from accounts import Accounts
from application import Application, Settings
from archive import Archive
from contents import Disk, Pattern
from control import Control
from faults import Faults
from server import ControlServer, Server, Traffic, accept_connections, listen

DEFAULTS = {"port": 0, "control_port": 0, "directory": "", "pattern": "", "context": "",
            "open": False, "password": "admin", "certificate": "", "key": "",
            "requests_per_connection": 100}


def read_settings(arguments):
    settings = dict(DEFAULTS)
    if arguments:
        with open(arguments[0], encoding="utf-8") as file:
            settings |= json.load(file)
    settings["directory"] = settings["directory"] or tempfile.mkdtemp(prefix="xnat-")
    settings["pattern"] = settings["pattern"] or os.path.join(settings["directory"], "pattern")
    return settings


def tls_of(settings):
    if not settings["certificate"]:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
    return context


def start(listener, serve):
    threading.Thread(target=accept_connections, args=(listener, serve), daemon=True).start()


def main():
    given = read_settings(sys.argv[1:])
    tls = tls_of(given)
    archive = Archive(Disk(given["directory"]), Pattern(given["pattern"]))
    people = Accounts(given["password"], max_sessions=1000, max_failed_logins=20,
                      session_timeout=900.0)
    settings = Settings(given["context"], given["open"])
    faults, traffic = Faults(), Traffic()
    application = Application(archive, people, settings, secure=tls is not None)
    control = Control(archive, people, settings, faults, traffic)
    server = Server(application, settings, faults, traffic, given["requests_per_connection"], tls)

    control_listener = listen(given["control_port"])
    start(control_listener, ControlServer(control).serve)
    listener = listen(given["port"])
    start(listener, server.serve)
    print(f"{'https' if tls else 'http'}://127.0.0.1:{listener.getsockname()[1]}{given['context']}"
          f" user admin, control http://127.0.0.1:{control_listener.getsockname()[1]}", flush=True)
    # Threads may wait for clients for ever.
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    os._exit(0)


main()
