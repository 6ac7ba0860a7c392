"""Connections: a thread for each, and what went over them."""

import collections
import socket
import ssl
import threading
import time

from application import Exchange
from pages import proxy_page
from wire import Gone, Refused, Wire

# What Tomcat closes the connection after.
CLOSING = (400, 408, 411, 413, 414, 500, 501, 503)


class Traffic:
    """Counts connections, from their first requests on, requests and bytes."""

    def __init__(self):
        self._mutex = threading.Lock()
        self._wires = set()
        self._most = 0
        self._count = 0
        self._requests = []

    def opened(self, wire):
        with self._mutex:
            self._count += 1
            wire.number = self._count
            self._wires.add(wire)
            self._most = max(self._most, len(self._wires))

    def closed(self, wire):
        with self._mutex:
            self._wires.discard(wire)

    def add(self, exchange, status):
        request, wire = exchange.request, exchange.wire
        entry = (exchange.kind, request.method, request.target, status,
                 request.fields.get("range", ""), exchange.user, wire.number, wire.sent,
                 wire.received)
        with self._mutex:
            self._requests.append(entry)

    def drop_connections(self):
        with self._mutex:
            for wire in self._wires:
                wire.shut_down()

    def requests(self):
        with self._mutex:
            return [entry[:8] for entry in self._requests]

    def counters(self):
        with self._mutex:
            return {"requests": collections.Counter(entry[0] for entry in self._requests),
                    "open_connections": len(self._wires), "most_connections": self._most,
                    "bytes_sent": sum(entry[7] for entry in self._requests),
                    "bytes_received": sum(entry[8] for entry in self._requests)}

    def forget(self):
        with self._mutex:
            self._requests.clear()
            self._most = len(self._wires)


class Server:
    def __init__(self, application, settings, faults, traffic, requests_per_connection, tls):
        self._application = application
        self._settings = settings
        self._faults = faults
        self._traffic = traffic
        self._limit = requests_per_connection
        self._tls = tls

    def serve(self, sock):
        if self._tls:
            try:
                sock = self._tls.wrap_socket(sock, server_side=True)
            except (OSError, ssl.SSLError):
                sock.close()
                return
        wire = Wire(sock, idle_seconds=20)
        try:
            self._converse(wire)
        except Gone:
            pass
        finally:
            self._traffic.closed(wire)
            wire.close()

    def _converse(self, wire):
        count = 0
        is_open = True
        while is_open:
            try:
                request = wire.read_request()
            except Refused:
                return
            count += 1
            if count == 1:
                self._traffic.opened(wire)
            last = not request.keep_alive or count == self._limit
            is_open = self._exchange(Exchange(request, wire, self._settings.context), last)

    def _exchange(self, exchange, last):
        """Answers one request; false if the connection is to end."""
        request, wire = exchange.request, exchange.wire
        status = 0
        try:
            faults = self._faults.take(request)
            if "delay" in faults:
                wire.wait(faults["delay"].delay)
            if "status" in faults:
                answer = proxy_page(faults["status"].status)
            else:
                answer = self._application.answer(exchange, faults)
            if "lose_answer" in faults:
                answer = proxy_page(faults["lose_answer"].status)
            answer.close = last or answer.status in CLOSING
            self._limit_body(wire, faults)
            status = answer.status
            wire.answer(answer, request.method == "HEAD",
                        lambda: wire.wait(self._settings.stall))
            return wire.swallow() and not answer.close
        finally:
            self._traffic.add(exchange, status)

    def _limit_body(self, wire, faults):
        if "hold" in faults:
            fault, act = faults["hold"], lambda: faults["hold"].hold(wire)
        elif "truncate" in faults:
            fault, act = faults["truncate"], wire.cut
        elif "reset" in faults:
            fault, act = faults["reset"], wire.reset
        else:
            return
        if fault.size == 0:
            act()
        else:
            wire.limit_body(fault.size, act)


class ControlServer:
    """The same for what tests say."""

    def __init__(self, control):
        self._control = control

    def serve(self, sock):
        wire = Wire(sock, idle_seconds=3600)
        try:
            while True:
                request = wire.read_request()
                answer = self._control.answer(request, b"".join(wire.body()))
                answer.close = not request.keep_alive
                wire.answer(answer, False, None)
                if answer.close:
                    return
        except (Gone, Refused):
            pass
        finally:
            wire.close()


def accept_connections(listener, serve):
    while True:
        try:
            sock, _ = listener.accept()
        except OSError:
            # Out of descriptors: the ones that are open will end.
            time.sleep(0.01)
            continue
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def listen(port):
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(512)
    return listener
