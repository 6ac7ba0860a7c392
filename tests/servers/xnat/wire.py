"""HTTP/1.1 on one connection: requests in, answers out, as Tomcat and Restlet word them."""

import os
import select
import socket
import ssl
import struct
import urllib.parse
from email.utils import formatdate

MAX_HEAD = 64 << 10
MAX_SWALLOW = 2 << 20  # what Tomcat reads of a body that nobody wanted before it closes
BLOCK = 256 << 10


class Gone(Exception):
    """The connection has ended or must end now."""


class Refused(Exception):
    """Tomcat refuses the request before anybody else sees it."""


class Request:
    def __init__(self, method, target, fields, minor_version):
        self.method = method
        self.target = target
        self.fields = fields
        path, _, query = target.partition("?")
        self.path = path
        self.parameters = urllib.parse.parse_qs(query, keep_blank_values=True)
        self.keep_alive = fields.get("connection", "").lower() != "close" and minor_version > 0
        self.chunked = "chunked" in fields.get("transfer-encoding", "").lower()
        try:
            self.length = int(fields.get("content-length", 0))
        except ValueError as error:
            raise Refused("Content-Length") from error

    def parameter(self, name, default=None):
        return self.parameters.get(name, [default])[-1]

    def is_true(self, name):
        """Whatever is not false is true, if it is there."""
        value = self.parameter(name)
        return value is not None and value.lower() not in ("false", "0")

    def is_false(self, name):
        value = self.parameter(name)
        return value is not None and value.lower() in ("false", "0")


class Answer:
    """`body` is bytes, a FilePart, or a function that writes chunks to what it is given."""

    def __init__(self, status=200, body=b"", content_type="text/plain;charset=ISO-8859-1",
                 fields=()):
        self.status = status
        self.body = body.encode() if isinstance(body, str) else body
        self.fields = list(fields)
        if content_type and (body or status == 200):
            self.fields.insert(0, ("Content-Type", content_type))
        self.close = False


class FilePart:
    """`length` bytes are promised, `available` of them come, then the connection stalls."""

    def __init__(self, content, offset, length, available=None):
        self.content = content
        self.offset = offset
        self.length = length
        self.available = length if available is None else available


class ChunkWriter:
    """Gathers small writes and sends them as chunks."""

    def __init__(self, wire):
        self._wire = wire
        self._gathered = bytearray()

    def write(self, block):
        self._gathered += block
        if len(self._gathered) >= BLOCK:
            self.flush()
        return len(block)

    def send_file(self, descriptor, offset, length):
        self.flush()
        if length > 0:
            self._wire.send(b"%x\r\n" % length)
            self._wire.send_file(descriptor, offset, length)
            self._wire.send(b"\r\n")

    def flush(self):
        if not self._gathered:
            return
        gathered, self._gathered = self._gathered, bytearray()
        self._wire.send(b"%x\r\n" % len(gathered))
        self._wire.send_body(gathered)
        self._wire.send(b"\r\n")

    def end(self):
        self.flush()
        self._wire.send(b"0\r\n\r\n")


class Wire:
    def __init__(self, sock, idle_seconds):
        self.number = 0  # of the connection
        self.sent = 0  # bytes of the body of the answer under way
        self.received = 0  # bytes of the body of the request under way
        self._socket = sock
        self._tls = isinstance(sock, ssl.SSLSocket)
        self._buffer = bytearray()
        self._quota = None
        self._at_quota = None
        self._unread = 0
        self._unread_chunks = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", idle_seconds, 0))

    # --- Requests --------------------------------------------------------------------------------

    def _fill(self):
        try:
            block = self._socket.recv(BLOCK)
        except OSError as error:
            raise Gone from error
        if not block:
            raise Gone
        self._buffer += block

    def read_request(self):
        """The next request's head. Raises Gone at the end of the connection."""
        while (end := self._buffer.find(b"\r\n\r\n")) < 0:
            if len(self._buffer) > MAX_HEAD:
                raise Gone
            self._fill()
        head = bytes(self._buffer[:end]).decode("iso-8859-1")
        del self._buffer[:end + 4]
        first, *lines = head.split("\r\n")
        parts = first.split(" ")
        if len(parts) != 3 or not parts[2].startswith("HTTP/1."):
            raise Gone
        fields = {}
        for line in lines:
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        request = Request(parts[0], parts[1], fields, int(parts[2][7:]))
        self._unread = request.length
        self._unread_chunks = request.chunked
        self.sent = self.received = 0
        self._quota = None
        if fields.get("expect", "").lower() == "100-continue":
            self.send(b"HTTP/1.1 100 \r\n\r\n")
        return request

    def body(self):
        """Yields the blocks of the request's body."""
        blocks = self._chunked_body() if self._unread_chunks else self._plain_body()
        for block in blocks:
            self.received += len(block)
            yield block

    def _take(self, count):
        if not self._buffer:
            self._fill()
        block = bytes(self._buffer[:count])
        del self._buffer[:count]
        return block

    def _plain_body(self):
        while self._unread > 0:
            block = self._take(self._unread)
            self._unread -= len(block)
            yield block

    def _line(self):
        while (end := self._buffer.find(b"\r\n")) < 0:
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[:end + 2]
        return line

    def _chunked_body(self):
        while True:
            left = int(self._line().split(b";")[0], 16)
            if left == 0:
                break
            while left > 0:
                block = self._take(left)
                left -= len(block)
                yield block
            self._line()
        while self._line():
            pass
        self._unread_chunks = False

    def swallow(self):
        """Reads what is left of the request's body; false if that is too much."""
        swallowed = 0
        for block in self.body():
            swallowed += len(block)
            if swallowed > MAX_SWALLOW:
                return False
        return True

    # --- Answers ---------------------------------------------------------------------------------

    def limit_body(self, quota, at_quota):
        """Calls at_quota() once before more than `quota` bytes of the answer's body are sent."""
        self._quota = quota
        self._at_quota = at_quota

    def answer(self, answer, head_only, stall):
        """Sends it; stall() is called where the server would keep the client waiting."""
        lines = [f"HTTP/1.1 {answer.status} "]
        lines += [f"{name}: {value}" for name, value in answer.fields]
        body = answer.body
        if callable(body):
            lines.append("Transfer-Encoding: chunked")
        elif answer.status not in (204, 304):
            length = body.length if isinstance(body, FilePart) else len(body)
            lines.append(f"Content-Length: {length}")
        lines.append(f"Date: {formatdate(usegmt=True)}")
        if answer.close:
            lines.append("Connection: close")
        head = "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n"
        if head_only:
            self.send(head)
        elif callable(body):
            self.send(head)
            writer = ChunkWriter(self)
            body(writer)
            writer.end()
        elif isinstance(body, FilePart):
            self._send_part(head, body, stall)
        elif self._quota is None:
            self.sent += len(body)
            self.send(head + body)
        else:
            self.send(head)
            self.send_body(body)

    def _send_part(self, head, part, stall):
        with part.content.open() as reader:
            self.send(head, more=part.available > 0)
            for descriptor, offset, length in reader.pieces(part.offset, part.available):
                self.send_file(descriptor, offset, length)
        if part.length != part.available:
            stall()
            raise Gone

    def send(self, block, more=False):
        try:
            if more and not self._tls:
                while block:
                    block = block[self._socket.send(block, socket.MSG_MORE):]
            else:
                self._socket.sendall(block)
        except OSError as error:
            raise Gone from error

    def send_body(self, block):
        block = memoryview(block)
        if self._quota is not None:
            if len(block) <= self._quota:
                self._quota -= len(block)
            else:
                before, block = block[:self._quota], block[self._quota:]
                self._send_counted(before)
                self._reach_quota()
        self._send_counted(block)

    def _send_counted(self, block):
        self.send(block)
        self.sent += len(block)

    def _reach_quota(self):
        self._quota = None
        self._at_quota()

    def send_file(self, descriptor, offset, length):
        """Bytes of a file as a part of the body. What it lacks is not made up for."""
        if self._quota is not None:
            if length <= self._quota:
                self._quota -= length
            else:
                before = self._quota
                self._send_file(descriptor, offset, before)
                offset += before
                length -= before
                self._reach_quota()
        self._send_file(descriptor, offset, length)

    def _send_file(self, descriptor, offset, length):
        while length > 0:
            try:
                if self._tls:
                    block = os.pread(descriptor, min(length, BLOCK), offset)
                    self._socket.sendall(block)
                    count = len(block)
                else:
                    count = os.sendfile(self._socket.fileno(), descriptor, offset, length)
            except OSError as error:
                raise Gone from error
            if count == 0:
                raise Gone
            self.sent += count
            offset += count
            length -= count

    def wait(self, seconds=None, event=None):
        """Waits for the time or until `event` becomes readable. Raises Gone if the client ends."""
        poll = select.poll()
        poll.register(self._socket, select.POLLRDHUP)
        if event is not None:
            poll.register(event, select.POLLIN)
        for descriptor, _ in poll.poll(None if seconds is None else seconds * 1000):
            if descriptor == self._socket.fileno():
                raise Gone

    def cut(self):
        """Ends the connection."""
        self.shut_down()
        raise Gone

    def reset(self):
        """Ends the connection with a TCP reset."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        raise Gone

    def shut_down(self):
        """From another thread: whatever waits on the connection ends."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self):
        try:
            self._socket.close()
        except OSError:
            pass
