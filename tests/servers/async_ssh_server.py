"""An SFTP server for the tests: async_ssh_server.py SETTINGS (see async_ssh_server.cpp).

Serves the file system as it is, relative paths from the directory that it is started in.
"""

import asyncio
import json
import logging
import os
import signal
import sys

import asyncssh
import asyncssh.sftp


def refuse(*_):
    raise asyncssh.SFTPPermissionDenied("renaming is not allowed here")


def choose_extensions(settings):
    """The library has no switch for what it offers."""
    handler = asyncssh.sftp.SFTPServerHandler
    if not settings["extensions"]:
        handler._extensions = []
    elif not settings["posix_rename"]:
        handler._extensions = [
            extension for extension in handler._extensions
            if extension[0] != b"posix-rename@openssh.com"
        ]


class Files(asyncssh.SFTPServer):
    """What the library offers, where it is allowed."""


class Account(asyncssh.SSHServer):
    """Knows one user, by the password or by the authorized keys."""

    def __init__(self, settings):
        self._settings = settings
        self._connection = None

    def connection_made(self, conn):
        self._connection = conn

    def begin_auth(self, username):
        if self._settings["public_key"]:
            self._connection.set_authorized_keys(self._settings["authorized_keys"])
        return True

    def _is_right(self, username, password):
        return username == self._settings["user"] and password == self._settings["secret"]

    def password_auth_supported(self):
        return self._settings["password"]

    def validate_password(self, username, password):
        return self._is_right(username, password)

    def kbdint_auth_supported(self):
        return self._settings["keyboard_interactive"]

    def get_kbdint_challenge(self, username, lang, submethods):
        return "", "Who are you?", "", [("Password:", False)]

    def validate_kbdint_response(self, username, responses):
        return len(responses) == 1 and self._is_right(username, responses[0])


async def serve(settings, host_key):
    server = await asyncssh.listen(
        "127.0.0.1", settings["port"], reuse_address=True,
        server_host_keys=[host_key],
        server_factory=lambda: Account(settings),
        sftp_factory=Files,
        encoding=None)
    await server.wait_closed()


def main():
    # The first process of a namespace is not ended by a signal that it does not expect.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    with open(sys.argv[1], encoding="utf-8") as file:
        settings = json.load(file)
    choose_extensions(settings)
    if not settings["rename"]:
        Files.rename = Files.posix_rename = refuse
    loop = asyncio.new_event_loop()
    logging.basicConfig(level=logging.INFO)
    os.umask(0o022)
    host_key = asyncssh.read_private_key(settings["host_key"])
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(settings["owner"])
        os.setuid(settings["owner"])
    loop.run_until_complete(serve(settings, host_key))


main()
