# SPDX-License-Identifier: Apache-2.0
"""Starting, asking and stopping the two servers. Every wait is bounded; a server is ended by its own pid."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PATIENCE = 20  # seconds for anything that should take less than one
ENV = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}  # nothing of the caller's configures a server


class Broken(Exception):
    """A wrong answer, a crash, a server that does not start: the only things that fail a benchmark."""


def cpu_seconds(pids):
    """User and system time of whole processes, to the nanosecond: their CPU clocks (see clock_getcpuclockid(3))."""
    return sum(time.clock_gettime((~pid << 3) | 2) for pid in pids)


def worker_seconds(pid):
    """CPU time of the threads of a chimerad that serve requests, to the nanosecond."""
    total = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        if task.joinpath("comm").read_text().startswith("worker"):
            total += int(task.joinpath("schedstat").read_text().split()[0])
    return total / 1e9


def rss(pids):
    """Resident bytes."""
    total = 0
    for pid in pids:
        for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


@contextlib.contextmanager
def on_cpus(cpus):
    """What is started inside runs on these CPUs, all its threads included."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cpus or before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Exchange:
    """One keep-alive connection and one request for it."""

    def __init__(self, port, request):
        self.request = request
        self.rest = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Closing by RST leaves no TIME_WAIT: 10,000 of them would take the ports of the next round.
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")

    def send(self):
        self.socket.sendall(self.request)

    def receive(self):
        """One whole answer: status, head, body."""
        data = self.rest
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, rest = data.partition(b"\r\n\r\n")
        length = next((int(v) for k, _, v in (x.partition(b":") for x in head.split(b"\r\n")) if k.lower() == b"content-length"), None)
        if length is None:
            raise Broken(f"an answer without Content-Length: {head!r}")
        parts, have = [rest], len(rest)
        while have < length:
            parts.append(self._more())
            have += len(parts[-1])
        data = b"".join(parts)
        self.rest = data[length:]
        return int(head.split()[1]), head + b"\r\n\r\n", data[:length]

    def _more(self):
        data = self.socket.recv(1 << 20)
        if not data:
            raise Broken("the server closed a connection in the middle of an answer")
        return data

    def ask(self):
        self.send()
        return self.receive()

    def close(self):
        self.socket.close()


def request(path, body=None, headers=()):
    """`headers`: more of them, "Name: value" each."""
    more = "".join(f"{h}\r\n" for h in headers)
    if body is None:
        return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{more}\r\n".encode()
    return (f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n{more}"
            f"Content-Length: {len(body)}\r\n\r\n{body}").encode()


class Server:
    """A running server. `name` is "chimera" or "nginx"; `before` a command that starts the command (valgrind)."""

    def __init__(self, name, command, port, cpus=None, workers=1, before=(), folder=None):
        self.name, self.port, self.workers = name, port, workers
        self.log_path = pathlib.Path(folder) / f"{name}-{port}.log"
        self.children_expected = workers if name == "nginx" and workers > 1 else 0
        self.ended = False
        with on_cpus(cpus), open(self.log_path, "wb") as log:
            self.started = time.monotonic()
            self.process = subprocess.Popen([*before, *command], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=ENV,
                                            start_new_session=True)

    def wait_ready(self, req):
        """Seconds from just before exec to the first answer of 200."""
        end = self.started + PATIENCE
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise Broken(f"{self.name} ended with {self.process.returncode} before it was ready: {self.log_tail()}")
            if self._serves(req):
                took = time.monotonic() - self.started
                self._wait_children(end)
                return took
            time.sleep(0.0002)
        raise Broken(f"{self.name} was not ready within {PATIENCE} s: {self.log_tail()}")

    def wait_listening(self):
        """For a server whose answers we cannot read ourselves (TLS). nginx listens before it can be told to end: so it has to refuse something."""
        end = self.started + PATIENCE
        while time.monotonic() < end and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE) as s:
                s.sendall(b"?\r\n\r\n")
                s.recv(1)
                return
            time.sleep(0.001)
        raise Broken(f"{self.name} does not listen: {self.log_tail()}")

    def _serves(self, req):
        try:
            x = Exchange(self.port, req)
        except OSError:
            return False
        try:
            return x.ask()[0] == 200
        except (OSError, Broken):  # a server that is starting may still drop a connection
            return False
        finally:
            x.close()

    def _wait_children(self, end):
        while len(self.pids()) < 1 + self.children_expected and time.monotonic() < end:
            time.sleep(0.001)

    def pids(self):
        pid = self.process.pid
        children = pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if self.children_expected else []
        return [pid, *map(int, children)]

    def log_tail(self):
        return self.log_path.read_text(errors="replace")[-600:].strip()

    def account(self):
        """What can be said of it when something went wrong."""
        code = self.process.poll()
        return f"it {'runs' if code is None else f'ended with {code}'}; its log ends: {self.log_tail() or 'empty'}"

    def ready_line(self):
        """chimerad's own account of its start: the fields of its `ready` line."""
        for line in self.log_path.read_text(errors="replace").splitlines():
            with contextlib.suppress(ValueError):
                fields = json.loads(line)
                if fields.get("msg") == "ready":
                    return fields
        return {}

    def stop(self):
        """Ends it; complains if it had crashed or does not end in peace."""
        if self.ended:
            return
        self.ended = True
        early = self.process.poll()
        if early is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Broken(f"{self.name} did not end within {PATIENCE} s of SIGTERM: {self.log_tail()}") from None
        if early is not None or self.process.returncode != 0:
            raise Broken(f"{self.name} ended with {self.process.returncode}: {self.log_tail()}")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            self.stop()
        except Broken:
            if kind is None:
                raise


def compile_c(name, out, *flags, libs=()):
    cc = os.environ.get("CC", "cc").split()
    source = SOURCE / "tests/bench" / name
    done = subprocess.run([*cc, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", *flags, "-o", out, source, *libs],
                          capture_output=True, text=True, timeout=60)
    if done.returncode:
        raise Broken(f"{name} does not compile: {done.stderr}")


class Authority:
    """A certificate authority that nobody else knows, and a server's certificate for 127.0.0.1: `ca`, `cert`, `key`."""

    NAME = "upstream.test"

    def __init__(self, folder):
        self.ca, self.cert, self.key = (pathlib.Path(folder) / x for x in ("ca.pem", "cert.pem", "key.pem"))
        kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        ca_key = pathlib.Path(folder) / "ca-key.pem"
        self._openssl("req", "-x509", *kind, "-subj", "/CN=bench", "-keyout", ca_key, "-out", self.ca)
        self._openssl("req", "-x509", *kind, "-subj", f"/CN={self.NAME}", "-addext", f"subjectAltName=DNS:{self.NAME},IP:127.0.0.1",
                      "-addext", "basicConstraints=critical,CA:FALSE", "-CA", self.ca, "-CAkey", ca_key, "-keyout", self.key,
                      "-out", self.cert)

    @staticmethod
    def _openssl(*args):
        done = subprocess.run(["openssl", *args], stdin=subprocess.DEVNULL, capture_output=True, text=True, env=ENV, timeout=PATIENCE)
        if done.returncode:
            raise Broken(f"openssl {args[0]} failed: {done.stderr.strip()[-300:]}")


class Maker:
    """Knows the build, the plugin folder and the temporary folder; makes configurations and servers."""

    def __init__(self, build, folder, workers, cpus):
        self.folder, self.workers, self.cpus = pathlib.Path(folder), workers, cpus
        self.chimerad = pathlib.Path(build) / "chimerad"
        self.nginx_path = shutil.which("nginx", path=ENV["PATH"])
        self.plugins = self.folder / "plugins"
        self.plugins.mkdir()
        built = next((d for d in (pathlib.Path(build) / "plugins/.libs", pathlib.Path(build) / "plugins") if any(d.glob("*.so"))), None)
        if not built:
            raise Broken(f"{build}/plugins holds no .so: run make there first")
        for so in built.glob("*.so"):
            (self.plugins / so.name).symlink_to(so.resolve())
        self.plugin("b_static")
        compile_c("load.c", self.folder / "load")

    def has(self, plugin):
        return (self.plugins / f"{plugin}.so").exists()

    def plugin(self, name, source=None, flags=(), libs=()):
        """Compiles a plugin of tests/bench into the plugin folder."""
        if not self.has(name):
            compile_c(source or f"{name}.c", self.plugins / f"{name}.so", f"-I{SOURCE}/sdk/include", "-fPIC", "-shared",
                      "-fvisibility=hidden", *flags, libs=libs)

    def chimera(self, sections, **how):
        port = free_port()
        ini = self.folder / f"chimera-{port}.ini"
        state = self.folder / f"state-{port}"
        state.mkdir(exist_ok=True)
        ini.touch(mode=0o600)  # there may be a key in it
        # Under valgrind every turn of a loop is a slow one, after which all hooks are timed; budget 0: none is for that.
        slow = "hook_budget = 0s\n" if how.get("before") else ""
        ini.write_text(f"[server]\nprofile = prod\nlisten = 127.0.0.1:{port}\nworkers = {self.workers}\nplugin_dir = {self.plugins}\n"
                       f"state_dir = {state}\ncontrol = control.sock\ndrain_delay = 0s\ndrain_timeout = 5s\n{slow}{sections}")
        return Server("chimera", [self.chimerad, "-c", ini], port, **self._how(how))

    def nginx(self, location, listen="", http="", **how):
        """`location`: what `location /` holds; `listen`: more for the server block's listen; `http`: more for the http block."""
        port = free_port()
        folder = self.folder / f"nginx-{port}"
        folder.mkdir(exist_ok=True)
        conf = folder / "nginx.conf"
        many = self.workers > 1
        temps = "".join(f"{x}_temp_path {folder}/{x};\n" for x in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        conf.write_text(
            f"daemon off;\nmaster_process {'on' if many else 'off'};\nworker_processes {self.workers};\n"
            f"{'user root;' if many and os.getuid() == 0 else ''}\npid {folder}/pid;\nerror_log stderr error;\n"
            "worker_rlimit_nofile 20000;\nevents { worker_connections 16000; }\n"
            f"http {{\n{temps}access_log off;\nkeepalive_requests 100000000;\nkeepalive_timeout 75s;\ndefault_type text/plain;\n{http}"
            f"server {{ listen 127.0.0.1:{port}{' reuseport' if many else ''}{listen}; location / {{ {location} }} }}\n}}\n")
        return Server("nginx", [self.nginx_path, "-p", folder, "-e", "stderr", "-c", conf], port, **self._how(how))

    def nginx_200(self, body, **how):
        return self.nginx(f"return 200 \"{body}\";", **how)

    def upstream(self, body, tls=None, **how):
        """
        What a proxy asks: it answers everything with this JSON. `tls`: see Authority. No session is resumed, so that all handshakes cost
        the same: they are not what is measured, but counts of instructions have them in.
        """
        http = ""
        if tls:
            http = f"ssl_certificate {tls.cert};\nssl_certificate_key {tls.key};\nssl_protocols TLSv1.3;\nssl_session_tickets off;\n"
        return self.nginx(f"default_type application/json; return 200 '{body}';", " ssl" if tls else "", http, **how)

    def nginx_proxy(self, port, tls=None, **how):
        """proxy_pass to that port, with connections that are kept, and the certificate checked."""
        http = f"upstream up {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 100000000; }}\n"
        location = f"proxy_pass {'https' if tls else 'http'}://up; proxy_http_version 1.1; proxy_set_header Connection \"\";"
        if tls:
            http += (f"proxy_ssl_trusted_certificate {tls.ca};\nproxy_ssl_verify on;\nproxy_ssl_name {tls.NAME};\n"
                     "proxy_ssl_server_name on;\nproxy_ssl_protocols TLSv1.3;\n")
        return self.nginx(location, http=http, **how)

    def nginx_stream(self, port, **how):
        """The same for answers that must leave as they come."""
        http = f"upstream up {{ server 127.0.0.1:{port}; keepalive 64; keepalive_requests 100000000; }}\n"
        location = "proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off;"
        return self.nginx(location, http=http, **how)

    def _how(self, how):
        return {"workers": self.workers, "folder": self.folder, "cpus": self.cpus, **how}
