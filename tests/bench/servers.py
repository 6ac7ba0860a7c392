"""The servers that the data comes from, on free ports of this host."""
import getpass
import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request

HERE = os.path.dirname(os.path.abspath(__file__))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    sys.exit(f"nothing listens on port {port}")


class Server:
    """A process that serves until the with block ends."""

    def start(self, command, **options):
        self.process = subprocess.Popen(command, **options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()


class Nginx(Server):
    """Index pages, HTTP/1.1 on one port, HTTP/2 over TLS on another."""

    def __init__(self, work, root):
        self.port, self.tls_port = free_port(), free_port()
        self.certificate = os.path.join(work, "certificate.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
                        "-keyout", os.path.join(work, "tls_key.pem"), "-out", self.certificate],
                       check=True, capture_output=True)
        config = os.path.join(work, "nginx.conf")
        with open(config, "w") as file:
            file.write(self.configuration(work, root))
        self.start(["/usr/sbin/nginx", "-p", work, "-c", config, "-e",
                    os.path.join(work, "nginx.log")])
        wait_for_port(self.port)

    def configuration(self, work, root):
        user = "user root;" if os.getuid() == 0 else ""
        return f"""
            daemon off; {user} worker_processes {os.cpu_count()}; pid {work}/nginx.pid;
            worker_rlimit_nofile 8192; error_log {work}/nginx.log;
            events {{ worker_connections 4096; }}
            http {{ access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
              client_body_temp_path {work}/b; proxy_temp_path {work}/p;
              fastcgi_temp_path {work}/f; uwsgi_temp_path {work}/u; scgi_temp_path {work}/s;
              server {{ listen 127.0.0.1:{self.port} backlog=1024;
                listen 127.0.0.1:{self.tls_port} ssl http2 backlog=1024;
                ssl_certificate {self.certificate}; ssl_certificate_key {work}/tls_key.pem;
                root {root}; autoindex on; }} }}"""


class Sshd(Server):
    """Lets this user in by a key."""

    def __init__(self, work):
        self.port = free_port()
        self.key = os.path.join(work, "key")
        for name in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f",
                            os.path.join(work, name)], check=True)
        config = os.path.join(work, "sshd_config")
        with open(config, "w") as file:
            file.write(f"""
                Port {self.port}
                ListenAddress 127.0.0.1
                HostKey {work}/host_key
                PidFile none
                AuthorizedKeysFile {work}/key.pub
                StrictModes no
                UsePAM no
                MaxStartups 200
                MaxSessions 200
                Subsystem sftp /usr/lib/openssh/sftp-server
                """)
        os.makedirs("/run/sshd", exist_ok=True)
        self.start(["/usr/sbin/sshd", "-D", "-f", config, "-E", os.path.join(work, "sshd.log")])
        wait_for_port(self.port)


class Xnat(Server):
    """The stand-in for an XNAT site that the tests use."""

    def __init__(self, work):
        self.port, self.control = free_port(), free_port()
        directory = os.path.join(work, "xnat")
        os.mkdir(directory)
        pattern = os.path.join(work, "pattern")
        with open(pattern, "wb") as file:
            file.write(os.urandom(1024 * 1024 + 7))
        settings = os.path.join(work, "xnat.json")
        with open(settings, "w") as file:
            json.dump({"port": self.port, "control_port": self.control, "directory": directory,
                       "pattern": pattern}, file)
        server = os.path.join(os.path.dirname(HERE), "servers", "xnat")
        self.start([sys.executable, server, settings], stdout=subprocess.DEVNULL)
        wait_for_port(self.port)

    def ask(self, verb, **arguments):
        request = urllib.request.Request(f"http://127.0.0.1:{self.control}/{verb}",
                                         json.dumps(arguments).encode())
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)


class StallingServer:
    """An index of 64 files whose content never comes."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.port = self.listener.getsockname()[1]
        self.stalled = 0
        self.changed = threading.Condition()
        self.sockets = []
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.sockets.append(connection)
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection.makefile("rb") as requests:
            while True:
                line = requests.readline()
                if not line:
                    return
                while requests.readline() not in (b"\r\n", b""):
                    pass
                self.answer(connection, *line.split()[:2])

    def answer(self, connection, method, target):
        if method == b"GET" and target == b"/":
            rows = "".join(f'<a href="f{i}">f{i}</a> 01-Jan-2024 00:00 1000000\r\n'
                           for i in range(64))
            body = f"<html><h1>Index of /</h1><pre>{rows}</pre></html>".encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n"
                               b"Content-Length: %d\r\n\r\n" % len(body) + body)
        elif method == b"HEAD":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        elif method == b"GET":
            with self.changed:
                self.stalled += 1
                self.changed.notify_all()
        else:
            connection.sendall(b"HTTP/1.1 405 No\r\nContent-Length: 0\r\n\r\n")

    def wait_until_stalled(self, count):
        with self.changed:
            self.changed.wait_for(lambda: self.stalled >= count, timeout=10)

    def close(self):
        self.listener.close()
        for connection in self.sockets:
            connection.close()


class HttpAddress:
    """Where a client finds nginx: its own port or a link's, and the directory that it serves."""

    protocol = "http"

    def __init__(self, port, link, root, certificate=None):
        self.port = port
        self.link = link
        self.root = root
        self.certificate = certificate  # None: plain HTTP/1.1

    def url(self, path=""):
        if self.certificate:
            return f"https://localhost:{self.port}/{path}"
        return f"http://127.0.0.1:{self.port}/{path}"

    def access(self, path, is_file=False):
        trust = {"caCertificate": self.certificate} if self.certificate else {}
        return {"url": self.url(path if is_file else os.path.join(path, "")), **trust}


class SshAddress:
    """Where a client finds sshd, and the directory on it that paths are relative to."""

    protocol = "sftp"
    user = getpass.getuser()
    # The fastest that OpenSSH and the peers share on a machine with AES instructions.
    cipher = "aes128-gcm@openssh.com"

    def __init__(self, port, link, root, key):
        self.port = port
        self.link = link
        self.root = root
        self.key = key

    def path(self, path):
        return os.path.join(self.root, path)

    def options(self):
        return ["-o", f"Port={self.port}", "-o", f"IdentityFile={self.key}", "-o",
                "IdentitiesOnly=yes", "-o", "StrictHostKeyChecking=no", "-o",
                "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o",
                f"Ciphers={self.cipher}"]

    def access(self, path, is_file=False):
        with open(self.key) as file:
            auth = {"username": self.user, "privateKey": file.read()}
        return {"host": "127.0.0.1", "port": self.port, "auth": auth,
                "filePath" if is_file else "dirPath": self.path(path)}
