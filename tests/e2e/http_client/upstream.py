# SPDX-License-Identifier: Apache-2.0
"""Servers for the tests of http_client: Upstream, whose answers the test decides, Proxy, certificates, and calls through t_fetch."""
import json
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading

import chimera as kit
import pytest


class Conn:
    """One connection to an Upstream. `closed` is set when the client has closed it."""

    def __init__(self, server, sock, index):
        self.server, self.sock, self.index = server, sock, index
        self.requests = 0
        self.closed = threading.Event()
        self.buffer = b""

    def read(self):
        try:
            data = self.sock.recv(65536)
        except OSError:
            data = b""
        if not data:
            self.closed.set()
        self.buffer += data
        return bool(data)

    def request(self):
        """(request line, fields as {lower name: value}, body), or None at the end."""
        while b"\r\n\r\n" not in self.buffer:
            if not self.read():
                return None
        head, self.buffer = self.buffer.split(b"\r\n\r\n", 1)
        line, *rest = head.decode("latin-1").split("\r\n")
        fields = dict((name.lower(), value) for name, value in (f.split(": ", 1) for f in rest))
        length = int(fields.get("content-length", "0"))
        while len(self.buffer) < length:
            if not self.read():
                return None
        body, self.buffer = self.buffer[:length], self.buffer[length:]
        self.requests += 1
        return line, fields, body

    def send(self, data):
        try:
            self.sock.sendall(data)
        except OSError:
            self.closed.set()

    def answer(self, body=b"ok", *fields, status="200 OK"):
        head = "".join(f"{f}\r\n" for f in (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", f"X-Connection: {self.index}", *fields))
        self.send(head.encode("latin-1") + b"\r\n" + body)

    def wait_closed(self):
        while not self.closed.is_set() and self.read():
            pass

    def close(self):
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()


class Upstream:
    """A server that answers each request by handler(conn, line, fields, body); at first with "ok". False from it closes the connection.

    conns: all connections so far. `go`: set it to let those go on whose handler waits for it.
    """

    def __init__(self, handler=None, context=None, host="127.0.0.1", port=0):
        self.handler = handler or (lambda conn, line, fields, body: conn.answer())
        self.context = context
        self.conns, self.lines, self.go, self.arrived = [], [], threading.Event(), threading.Semaphore(0)
        self.sock = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=512)
        self.host, self.port = host, self.sock.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.sock.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self.serve, args=(sock,), daemon=True).start()

    def serve(self, sock):
        if self.context:
            try:
                sock = self.context.wrap_socket(sock, server_side=True)
            except OSError:
                sock.close()
                return
        conn = Conn(self, sock, len(self.conns))
        self.conns.append(conn)
        while True:
            request = conn.request()
            if request is None:
                break
            self.lines.append(request[0])
            self.arrived.release()
            if self.handler(conn, *request) is False:
                break
        conn.close()
        conn.closed.set()

    def wait_arrived(self, n=1):
        for _ in range(n):
            assert self.arrived.acquire(timeout=kit.DEADLINE), "waited in vain for a request"

    def hold(self, conn, *_):
        """A handler: answers when `go` is set."""
        assert self.go.wait(kit.DEADLINE)
        conn.answer()

    def url(self, path="/", host=None):
        return f"http{'s' if self.context else ''}://{host or self.host}:{self.port}{path}"

    def open(self):
        return [c for c in self.conns if not c.closed.is_set()]

    def close(self):
        self.go.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)  # or accept() would take one more
        except OSError:
            pass
        self.sock.close()
        for c in self.conns:
            c.close()


class Proxy(Upstream):
    """An HTTP proxy that knows CONNECT alone. tunnels: what it was asked for. refuse: the status it answers with instead."""

    def __init__(self):
        super().__init__(self.tunnel)
        self.tunnels, self.refuse = [], None

    def tunnel(self, conn, line, fields, body):
        method, target, _ = line.split(" ")
        self.tunnels.append((method, target))
        if self.refuse or method != "CONNECT":
            conn.answer(b"no", status=self.refuse or "405 Method Not Allowed")
            return False
        host, port = target.rsplit(":", 1)
        other = socket.create_connection((host.strip("[]"), int(port)))
        conn.send(b"HTTP/1.1 200 Connection established\r\nX-Proxy: yes\r\n\r\n")

        def copy(a, b):
            try:
                while True:
                    data = a.recv(65536)
                    if not data:
                        break
                    b.sendall(data)
            except OSError:
                pass
            for s in (a, b):
                try:
                    s.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass
        back = threading.Thread(target=copy, args=(other, conn.sock), daemon=True)
        back.start()
        copy(conn.sock, other)
        back.join()
        other.close()
        return False


KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Certificates:
    """A certification authority of the tests' own. ca: its PEM file; server(name…): (certificate, key) for these names."""

    def __init__(self, folder):
        if not shutil.which("openssl"):
            pytest.skip("openssl is not installed")
        self.folder = str(folder)
        os.makedirs(self.folder, exist_ok=True)
        self.ca, self.key = self.path("ca.pem"), self.path("ca.key")
        self.run("req", "-x509", *KEY, "-keyout", self.key, "-out", self.ca, "-days", "3", "-subj", "/CN=tests",
                 "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign")

    def path(self, name):
        return os.path.join(self.folder, name)

    def run(self, *args):
        subprocess.run(["openssl", *args], check=True, stdin=subprocess.DEVNULL, capture_output=True)

    def make(self, name, subject, *extensions):
        cert, key, csr, ext = (self.path(name + end) for end in (".pem", ".key", ".csr", ".ext"))
        with open(ext, "w", encoding="ascii") as f:
            f.write("\n".join(extensions))
        self.run("req", *KEY, "-keyout", key, "-out", csr, "-subj", subject)
        self.run("x509", "-req", "-in", csr, "-CA", self.ca, "-CAkey", self.key, "-CAcreateserial", "-days", "2", "-out", cert,
                 "-extfile", ext)
        return cert, key

    def server(self):
        return self.make("server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1", "extendedKeyUsage=serverAuth")

    def client(self):
        return self.make("client", "/CN=chimera", "extendedKeyUsage=clientAuth")

    def context(self, alpn=None):
        c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        c.load_cert_chain(*self.server())
        if alpn:
            c.set_alpn_protocols(alpn)
        return c


class Fetch:
    """A call through t_fetch, see its head; `result` waits for its answer."""

    def __init__(self, server, url, **order):
        self.conn = server.connect()
        self.conn.send(kit.request_bytes("POST", "/t/fetch", json.dumps({"url": url, **order}).encode()))

    def response(self):
        with self.conn:
            return self.conn.response()

    def result(self):
        r = self.response()
        assert r.status == 200, r
        result = r.json()
        assert result["wrong"] == [], result
        assert (result["rc"], result["resumed"]) in ((2, 1), (0, 0)), result
        return result

    def leave(self):
        self.conn.abort()


def fetch(server, url, **order):
    return Fetch(server, url, **order).result()


def good(server, url, **order):
    """A call that must get a 200."""
    r = fetch(server, url, **order)
    assert (r["error_name"], r["status"]) == ("ok", 200), r
    return r


def field(result, name):
    """The one field of that name in the answer, or None."""
    found = [value for n, value in result["fields"] if n.lower() == name.lower()]
    assert len(found) < 2
    return found[0] if found else None


def gauge(server, name):
    return server.metric("chimera_http_client_" + name)


def wait_gauge(server, name, value):
    kit.wait_for(lambda: gauge(server, name) == value, lambda: f"{name} to be {value}, it is {gauge(server, name)}")


def detail_is(result, error, pattern):
    assert result["error_name"] == error, result
    assert re.search(pattern, result["detail"]), result["detail"]
