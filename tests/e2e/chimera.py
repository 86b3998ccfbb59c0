# SPDX-License-Identifier: Apache-2.0
"""What the end-to-end tests share: a chimerad of one's own (Chimera), and a client that believes nothing it is sent (Connection).

Everything waits for a condition, up to DEADLINE; nothing sleeps for a guessed time. Ports are the kernel's choice.
"""
import contextlib
import errno
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import threading
import time

import canary

CHIMERAD = os.environ.get("CHIMERAD", "chimerad")
CHIMERACTL = os.environ.get("CHIMERACTL", "chimeractl")
PLUGINS = os.environ.get("CHIMERA_PLUGINS", "")
TEST_PLUGINS = os.environ.get("CHIMERA_TEST_PLUGINS", "")
SRC = os.environ.get("CHIMERA_SRC", os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))
WORKERS = int(os.environ.get("CHIMERA_TEST_WORKERS", "2"))
HEAVY = os.environ.get("CHIMERA_HEAVY", "") == "1"


def sanitizers_of(path):
    """The run-time libraries that a program was built with: {"asan", "tsan"}; they cost memory and time."""
    try:
        with open(shutil.which(path) or path, "rb") as f:
            image = f.read()
    except OSError:
        return set()
    return {name for name in ("asan", "tsan") if b"__%s_init" % name.encode() in image}


SANITIZERS = sanitizers_of(CHIMERAD)
DEADLINE = float(os.environ.get("CHIMERA_TEST_DEADLINE", "120" if SANITIZERS else "30"))
REPORTS = re.compile(rb"ERROR: (Address|Leak|Thread)Sanitizer|WARNING: ThreadSanitizer|runtime error:|SUMMARY: \w+Sanitizer|DEADLYSIGNAL")


def seeded(seed=None):
    """A random.Random whose seed is printed, and taken from CHIMERA_SEED to repeat a run."""
    seed = int(os.environ.get("CHIMERA_SEED", seed if seed is not None else random.SystemRandom().randrange(1 << 32)))
    print(f"CHIMERA_SEED={seed}")
    return random.Random(seed)


def wait_for(probe, what, deadline=None):
    """The first true value of probe(); an AssertionError that names `what` after the deadline."""
    end = time.monotonic() + (deadline or DEADLINE)
    pause = 0.001
    while True:
        value = probe()
        if value:
            return value
        assert time.monotonic() < end, f"waited in vain for {what() if callable(what) else what}"
        time.sleep(pause)
        pause = min(pause * 2, 0.05)


HELD = []  # sockets of free_port()


def free_port():
    """A TCP port of 127.0.0.1 that is the caller's until these tests end: nobody listens there, and connecting is refused.

    A socket that does not listen holds it. The kernel gives such a port to nobody who asks for any port, or connects from any; a server
    that names it gets it, because that, too, sets SO_REUSEADDR, as all servers do.
    """
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("127.0.0.1", 0))
    HELD.append(s)
    return s.getsockname()[1]


# ---- the client ----------------------------------------------------------------------------------------------------------

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\x20-\x7e]*)")
HTTP_DATE = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} \d\d:\d\d:\d\d GMT")


class BadAnswer(AssertionError):
    """The server's bytes are no HTTP/1.1 answer."""


class Closed(AssertionError):
    """The connection ended where an answer was to come."""


class Response:
    """One answer. `fields`: (name, value) in order; `interim`: statuses of the 1xx before it; `trailers` of a chunked body."""

    def __init__(self, status, reason, fields):
        self.status = status
        self.reason = reason
        self.fields = fields
        self.body = b""
        self.interim = []
        self.trailers = []
        self.chunked = False

    def header(self, name):
        """The value of the one field of that name, or None; two of them are an error."""
        v = [value for n, value in self.fields if n.lower() == name.lower()]
        assert len(v) < 2, f"{name} stands {len(v)} times in {self.fields}"
        return v[0] if v else None

    def json(self):
        return json.loads(self.body.decode("utf-8"))

    @property
    def text(self):
        return self.body.decode("utf-8")

    @property
    def keeps(self):
        return (self.header("Connection") or "").lower() != "close"

    def problem(self, status, code):
        """Asserts the one shape of errors (RFC 9457) and returns the object."""
        assert self.status == status, f"{self.status} {self.body!r}"
        assert self.header("Content-Type") == "application/problem+json"
        p = self.json()
        assert p["status"] == status and p["code"] == code, p
        assert p["type"] == "urn:chimera:problem:" + code, p
        assert p["title"] == self.reason and len(p["detail"]) > 10, p
        return p

    def __repr__(self):
        return f"<{self.status} {self.reason} {dict(self.fields)} {self.body[:200]!r}>"


class Connection:
    """A socket to the daemon with a strict reader of answers. `address`: (host, port), or the path of a unix socket."""

    def __init__(self, address, timeout=None, rcvbuf=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        if rcvbuf:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.sock.settimeout(timeout or DEADLINE)
        self.sock.connect(address)
        if family == socket.AF_INET:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.ended = False  # the server's FIN or RST has come
        self.reset = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.sock.close()

    def fileno(self):
        return self.sock.fileno()

    def abort(self):
        """Closes with an RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.sock.close()

    def send(self, data):
        """Sends all; a server that has closed meanwhile is no error here: what it answered is still read."""
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.reset = True

    def finish(self):
        """FIN: nothing more will be sent."""
        try:
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as e:
            if e.errno != errno.ENOTCONN:
                raise

    def more(self, n=1 << 16):
        """Reads on; False at the end."""
        if self.ended:
            return False
        try:
            data = self.sock.recv(n)
        except ConnectionResetError:
            data = b""
            self.reset = True
        if not data:
            self.ended = True
            return False
        self.buffer += data
        return True

    def line(self, most=1 << 16):
        """A line without its CRLF; a bare LF or CR is an error."""
        while b"\n" not in self.buffer:
            if len(self.buffer) > most:
                raise BadAnswer(f"a line longer than {most} bytes: {self.buffer[:100]!r}")
            if not self.more():
                raise Closed(f"the connection ended {'with RST ' if self.reset else ''}in a head: {self.buffer!r}")
        line, self.buffer = self.buffer.split(b"\n", 1)
        if not line.endswith(b"\r") or b"\r" in line[:-1]:
            raise BadAnswer(f"a line that does not end with CRLF: {line!r}")
        return line[:-1]

    def exactly(self, n):
        parts, got = [], 0
        while got < n:
            if not self.buffer and not self.more(min(n - got, 1 << 20)):
                raise Closed(f"the connection ended {n - got} bytes before the end of the body")
            part, self.buffer = self.buffer[: n - got], self.buffer[n - got :]
            parts.append(part)
            got += len(part)
        return b"".join(parts)

    def read_fields(self):
        fields = []
        while True:
            line = self.line()
            if not line:
                return fields
            name, colon, value = line.partition(b":")
            value = value.strip(b" \t")
            if not colon or not TOKEN.fullmatch(name) or re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value):
                raise BadAnswer(f"a malformed field: {line!r}")
            fields.append((name.decode(), value.decode("latin-1")))

    def head(self):
        line = self.line()
        m = STATUS_LINE.fullmatch(line)
        if not m:
            raise BadAnswer(f"a malformed status line: {line!r}")
        return Response(int(m[1]), m[2].decode(), self.read_fields())

    def chunks(self):
        """Yields the data of each chunk of a chunked body; returns the trailers."""
        while True:
            size = self.line()
            if not re.fullmatch(rb"[0-9a-fA-F]{1,16}", size):
                raise BadAnswer(f"a malformed chunk size: {size!r}")
            n = int(size, 16)
            if n == 0:
                return self.read_fields()
            yield self.exactly(n)
            if self.exactly(2) != b"\r\n":
                raise BadAnswer("chunk data without CRLF behind it")

    def response(self, head=False):
        """The next answer; `head`: to a HEAD request, so without a body."""
        r = self.head()
        interim = []
        while 100 <= r.status < 200:
            interim.append(r.status)
            r = self.head()
        r.interim = interim
        length, coding = r.header("Content-Length"), r.header("Transfer-Encoding")
        if length is not None and coding is not None:
            raise BadAnswer("both Content-Length and Transfer-Encoding")
        if length is not None and not re.fullmatch(r"0|[1-9][0-9]*", length):
            raise BadAnswer(f"a malformed Content-Length: {length!r}")
        if r.status == 204 and (length is not None or coding is not None):
            raise BadAnswer("a 204 says how long its body is")
        if head or r.status in (204, 304):
            return r
        if coding is not None:
            if coding.lower() != "chunked":
                raise BadAnswer(f"Transfer-Encoding: {coding}")
            r.chunked = True
            parts, it = [], self.chunks()
            try:
                while True:
                    parts.append(next(it))
            except StopIteration as end:
                r.trailers = end.value
            r.body = b"".join(parts)
        elif length is not None:
            r.body = self.exactly(int(length))
        else:
            r.body = self.rest()
        return r

    def rest(self):
        """All that comes to the end of the connection."""
        while self.more():
            pass
        data, self.buffer = self.buffer, b""
        return data

    def expect_close(self):
        """Asserts that the server closes, and sends nothing more before."""
        rest = self.rest()
        assert rest == b"", f"bytes after the last answer: {rest!r}"

    def ask(self, method, target, body=None, headers=(), host="test"):
        """Sends one request and returns its answer; the connection stays open if the server keeps it."""
        self.send(request_bytes(method, target, body, headers, host))
        return self.response(head=method == "HEAD")


def request_bytes(method, target, body=None, headers=(), host="test"):
    """A request in bytes: `body` bytes give a Content-Length, a list of bytes is sent chunked."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}"]
    lines += [f"{n}: {v}" for n, v in (headers.items() if isinstance(headers, dict) else headers)]
    data = b""
    if isinstance(body, str):
        body = body.encode()
    if isinstance(body, bytes):
        lines.append(f"Content-Length: {len(body)}")
        data = body
    elif body is not None:
        lines.append("Transfer-Encoding: chunked")
        data = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in body if part) + b"0\r\n\r\n"
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + data


# ---- metrics ---------------------------------------------------------------------------------------------------------------

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(.*)\})? (\S+)')
LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(,|$)')


def parse_metrics(text):
    """Prometheus' text format, strictly: [(name, {label: value}, value)]."""
    out = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        m = SAMPLE.fullmatch(line)
        assert m, f"a malformed sample: {line!r}"
        labels, at, inner = {}, 0, m[3] or ""
        while at < len(inner):
            pair = LABEL.match(inner, at)
            assert pair, f"malformed labels: {line!r}"
            assert pair[1] not in labels, f"a label twice: {line!r}"
            labels[pair[1]] = re.sub(r"\\(.)", lambda e: "\n" if e[1] == "n" else e[1], pair[2])
            at = pair.end()
        out.append((m[1], labels, float(m[4])))
    return out


# ---- the server ------------------------------------------------------------------------------------------------------------

def config_text(sections):
    """{"server": {"listen": "…"}, "trace": {}} as INI; a value of None leaves the key out, a section of None itself."""
    lines = []
    for name, keys in sections.items():
        if keys is None:
            continue
        lines.append(f"[{name}]")
        lines += [f"{k} = {v}" for k, v in keys.items() if v is not None]
        lines.append("")
    return "\n".join(lines)


def clean_environment(extra=None):
    """The environment without what would change a daemon's config; with `extra`."""
    drop = re.compile(r"CHIMERA|LISTEN_|NOTIFY_SOCKET|JOURNAL_STREAM|STATE_DIRECTORY|PROMPT_BACKEND|LLM_|STARTUP_"
                      r"|CHAOS_|OTEL_|CI$|BANTER_|WATCHDOG_|OPENAI_|DATABASE_URL|PG[A-Z]+$")
    env = {k: v for k, v in os.environ.items() if not drop.match(k)}
    env["CHIMERA_MIGRATIONS"] = os.path.join(SRC, "migrations")  # not the installed ones
    env["CHIMERA__SERVER__CORE_DUMPS"] = "yes"  # else nobody may look into /proc/PID, LeakSanitizer and tests included
    env.update(extra or {})
    return env


def plugin_folder(folder):
    """Makes `folder` (mode 755) with copies of the real and the test plugins: plugin_dir is one folder."""
    os.makedirs(folder, mode=0o755, exist_ok=True)
    os.chmod(folder, 0o755)
    for source in (PLUGINS, TEST_PLUGINS):
        for name in sorted(os.listdir(source)) if source and os.path.isdir(source) else ():
            if name.endswith(".so"):
                target = os.path.join(folder, name)
                shutil.copyfile(os.path.join(source, name), target)
                os.chmod(target, 0o755)
    return folder


def has_plugin(folder, name):
    return os.path.exists(os.path.join(folder, name + ".so"))


def run_chimerad(*args, env=None, cwd=None, timeout=None, **kw):
    """Runs chimerad to its end, for -t, -T, -V and starts that fail: a CompletedProcess with text."""
    # LeakSanitizer guesses where libraries keep their threads' memory, and crashes on its guess where many are loaded: it does not look there.
    env = {"LSAN_OPTIONS": "use_tls=0", **(env or {})}
    done = subprocess.run([CHIMERAD, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, env=clean_environment(env), cwd=cwd,
                          timeout=timeout or DEADLINE, check=False, **kw)
    assert not REPORTS.search(done.stderr), done.stderr.decode(errors="replace")
    canary.check(done.stdout + done.stderr, f"what chimerad says with {args}")
    done.stdout, done.stderr = done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace")
    return done


RUNNING = set()  # so that a failed test can show what its servers said


class Chimera:
    """A chimerad in a folder of its own.

    sections: the config as {section: {key: value}}, laid over the defaults below; text: the whole file instead (listeners, state_dir
    and plugin_dir are then set by -o unless given=True leaves all of that to the text). args, env, cwd: as for any program; prefix: words
    before it, such as ["prlimit", "--nofile=40"]. wait=False: start() returns without waiting for `ready`. kept: patterns of files in its
    state_dir that may hold secrets (see canary.py).
    """

    def __init__(self, folder, plugins, sections=None, text=None, args=(), env=None, prefix=(), cwd=None, given=False, kept=()):
        self.folder = str(folder)
        self.plugins = str(plugins)
        self.path = os.path.join(self.folder, "chimera.ini")
        self.state = os.path.join(self.folder, "state")
        self.errors_path = os.path.join(self.folder, "stderr")
        self.args, self.env, self.prefix, self.cwd, self.given = list(map(str, args)), env, list(prefix), cwd, given
        self.kept = kept
        self.process = None
        self.pid = 0
        self.checked = False
        self.read_to = 0
        self.tail = b""
        self.lines = []  # of the log, as objects
        self.reading = threading.Lock()
        os.makedirs(self.state, exist_ok=True)
        self.write(text if text is not None else sections or {})

    # ---- life

    def config(self, sections):
        """The defaults with `sections` over them: what write() writes."""
        full = {"server": {"profile": "dev", "listen": "127.0.0.1:0", "status_listen": "127.0.0.1:0", "state_dir": self.state,
                           "plugin_dir": self.plugins, "workers": WORKERS},
                "log": {"format": "json", "level": "info"}, "health": {}, "prometheus": {}}
        for name, keys in sections.items():
            full[name] = None if keys is None else {**(full.get(name) or {}), **keys}
        return config_text(full)

    def write(self, config):
        """(Re)writes the config file in place: sections or text."""
        text = config if isinstance(config, str) else self.config(config)
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(text)
        if isinstance(config, str) and not self.given and not any(a.startswith("server.plugin_dir") for a in self.args):
            for key, value in (("plugin_dir", self.plugins), ("state_dir", self.state)):
                self.args += ["-o", f"server.{key}={value}"]

    def start(self, wait=True):
        with open(self.errors_path, "ab") as err:
            self.read_to = err.tell()
            self.lines, self.tail, self.checked = [], b"", False
            self.process = subprocess.Popen([*self.prefix, CHIMERAD, "-c", self.path, *self.args], stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=err, env=clean_environment(self.env), cwd=self.cwd
                                                or self.folder)
        self.pid = self.process.pid
        RUNNING.add(self)
        if wait:
            self.wait_ready()
        return self

    def wait_ready(self):
        wait_for(lambda: self.said("ready") or self.process.poll() is not None, lambda: "ready; it said:\n" + self.stderr())
        assert self.process.poll() is None, f"chimerad ended with {self.process.returncode}:\n{self.stderr()}"

    def signal(self, number):
        self.process.send_signal(number)

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    def wait_exit(self, timeout=None):
        """Waits for the end and returns the exit code; a sanitizer's report fails."""
        code = self.process.wait(timeout or DEADLINE)
        self.check_stderr()
        RUNNING.discard(self)
        return code

    def stop(self, expect=0):
        """SIGTERM, and asserts how it ended."""
        if not self.alive and self.checked:
            return
        if self.alive:
            self.signal(signal.SIGTERM)
        try:
            code = self.wait_exit()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"chimerad did not end within {DEADLINE} s of SIGTERM:\n{self.stderr()}") from None
        assert code == expect, f"chimerad ended with {code}, not {expect}:\n{self.stderr()}"

    def kill(self):
        if self.alive:
            self.process.kill()
            self.process.wait()
            self.checked = True
            self.check_secrets()
        RUNNING.discard(self)

    def __enter__(self):
        return self if self.process else self.start()

    def __exit__(self, kind, *_):
        if kind:
            self.kill()
            self.check_stderr()
        else:
            self.stop()

    # ---- what it says

    def stderr(self):
        with open(self.errors_path, "rb") as f:
            return f.read().decode(errors="replace")

    def check_stderr(self):
        self.checked = True
        with open(self.errors_path, "rb") as f:
            text = f.read()
        assert not REPORTS.search(text), text.decode(errors="replace")
        self.check_secrets(text)

    def check_secrets(self, text=None):
        """Asserts that no canary is in its log (`text`, if it was read already) or in its state_dir."""
        canary.check(self.stderr() if text is None else text, "the log")
        canary.check_folder(self.state, self.kept)

    @property
    def log(self):
        """All lines of the log since start(), as objects; what is no JSON object stands under "text"."""
        with self.reading, open(self.errors_path, "rb") as f:  # a test's threads may look at once
            f.seek(self.read_to)
            data = f.read()
            self.read_to += len(data)
            *whole, self.tail = (self.tail + data).split(b"\n")
            for raw in whole:
                line = raw.decode("utf-8", errors="replace")
                try:
                    value = json.loads(line)
                except ValueError:
                    value = None
                self.lines.append(value if isinstance(value, dict) else {"text": line, "msg": ""})
            return self.lines

    def said(self, words, **fields):
        """The log lines whose message holds `words` and that have these fields; a__b stands for a.b."""
        want = {k.replace("__", "."): v for k, v in fields.items()}
        return [line for line in self.log if words in line.get("msg", "") and all(line.get(k) == v for k, v in want.items())]

    def wait_said(self, words, **fields):
        return wait_for(lambda: self.said(words, **fields), lambda: f"the log line {words!r} {fields}; it said:\n{self.stderr()}")[0]

    # ---- where it listens

    def address(self, kind="public", index=0):
        """(host, port) or the path of the index-th listener of a class: public, status, admin, control."""
        text = [line["addr"] for line in self.said("listening") if line.get("class") == kind][index]
        if text.startswith("unix:"):
            return text[5:]
        host, port = text.rsplit(":", 1)
        return host.strip("[]"), int(port)

    def url(self, path="/", kind="public"):
        host, port = self.address(kind)
        return f"http://{host}:{port}{path}"

    def connect(self, kind="public", **kw):
        return Connection(self.address(kind), **kw)

    # ---- requests

    def request(self, method, target, body=None, headers=(), kind="public", host="test"):
        """One request on a connection of its own."""
        with self.connect(kind) as c:
            r = c.ask(method, target, body, headers, host)
        if r.status >= 400:
            canary.check(f"{r.fields}".encode() + r.body, f"the answer {r.status} to {method} {target}")
        return r

    def get(self, target, **kw):
        return self.request("GET", target, **kw)

    def raw(self, *parts, answers=1, head=False, finish=False, closes=None, kind="public"):
        """Sends bytes as they are and returns the list of answers; answers=None: all until the server closes.

        finish: FIN behind them. closes=True: the server must close after the last answer; False: it must go on to serve.
        """
        with self.connect(kind) as c:
            for part in parts:
                c.send(part)
            if finish:
                c.finish()
            got = []
            while answers is None or len(got) < answers:
                if answers is None and not c.buffer and not c.more():
                    break
                got.append(c.response(head))
            if closes:
                c.expect_close()
            elif closes is False:
                assert c.ask("GET", "/").status < 500
            return got

    def one(self, *parts, **kw):
        """raw() for one answer."""
        return self.raw(*parts, **kw)[0]

    @contextlib.contextmanager
    def blocked(self):
        """[t_block] holds up a worker while the body runs: not for a time, which may be over before a slow test has looked."""
        path = os.path.join(self.folder, "go-on")
        with self.connect() as s:
            s.send(request_bytes("GET", "/block?until=" + path))
            try:
                yield
            finally:
                with open(path, "w", encoding="ascii"):
                    pass
            assert s.response().body == b"blocked"
        os.unlink(path)

    # ---- numbers

    def metrics(self):
        r = self.request("GET", "/metrics", kind="status")
        assert r.status == 200, r
        canary.check(r.body, "/metrics")
        return parse_metrics(r.text)

    def metric(self, name, **labels):
        """The sum of all samples of that name with these labels; 0 if there is none."""
        return sum(v for n, have, v in self.metrics() if n == name and all(have.get(k) == str(want) for k, want in labels.items()))

    def wait_metric(self, name, least, **labels):
        return wait_for(lambda: self.metric(name, **labels) >= least, f"{name}{labels} >= {least}")

    def rss(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.pid}/statm", encoding="ascii") as f:
            return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def cpu(self):
        """Processor time used so far, in seconds."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            words = f.read().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")

    def stopped(self):
        """Has SIGSTOP reached every thread?"""
        def state(task):
            with open(f"/proc/{self.pid}/task/{task}/stat", encoding="utf-8") as f:
                return f.read().rsplit(")", 1)[1].split()[0]
        return all(state(task) == "T" for task in os.listdir(f"/proc/{self.pid}/task"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))
