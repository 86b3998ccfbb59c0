# SPDX-License-Identifier: Apache-2.0
"""Real Redis servers for tests, in temporary folders and on ports that the kernel picks; and servers that only pretend to be one.

  with Redis() as r:                          r.port, r.address "127.0.0.1:N", r.url, r.socket (a unix socket), r.log, r.pid
      r.cli("SET", "a", b"1")                 one command over a fresh connection: bytes, int, None, list; RedisError for what begins with -
      r.stop(), r.kill(), r.restart()         SIGTERM, SIGKILL, the same port again (empty: nothing is kept on disk)
      r.pause(), r.resume()                   SIGSTOP, waited for until every thread stands; SIGCONT
      r.keys("chimera:*"), r.info("clients"), r.stat("connected_clients"), r.calls("evalsha")
  Redis(password="s3cret")                    requirepass; r.url has it, cli() uses it
  Redis(user="guard", acl="~chimera:* +@all") an ACL user of that password and these rules beside a default user that is off; cli() is
                                              the administrator, r.user_url(…) what a client is told
  Redis(maxmemory="2mb", save="900 1")        any setting of redis.conf, "_" for "-"
  Redis(replicaof=other)                      a replica of another Redis, ready when it has what the other has
  with Sentinel(master, name="guard") as s:   watches a master; s.cli("SENTINEL", "FAILOVER", "guard"), s.master() -> (host, port)

  with Fake(lambda command, connection: b"+OK\\r\\n") as f:    f.port, f.url; what to send for each command (a list of bytes); b"" nothing,
                                              None cuts the connection. f.commands: all that came, f.connections: how many
  with Wire(server) as w: w.ask("PING")       one connection, for CLIENT commands and pipelines: w.send(…), w.read()

As a fixture of conftest.py here: redis (a fresh server for each test), redis_server (one for the session, flushed before each test). Other
folders put this one on sys.path and write `from redis_server import redis, redis_server`.
"""
import os
import socket
import sys
import threading

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("..", "../storage"):
    sys.path.insert(0, os.path.join(HERE, folder))
import canary  # noqa: E402
import chimera as kit  # noqa: E402
from servers import Server, program  # noqa: E402

PASSWORD = canary.of("redis")


class RedisError(AssertionError):
    """An error that the server answered; `code` is its first word."""

    def __init__(self, text):
        super().__init__(text)
        self.code = text.split(" ", 1)[0]


class Wire:
    """One connection that speaks RESP2. `server`: a Redis, a (host, port), or the path of a unix socket."""

    def __init__(self, server, password=None, user=None, timeout=None):
        if isinstance(server, Server):
            server, password = ("127.0.0.1", server.port), password or server.password
        family = socket.AF_UNIX if isinstance(server, str) else socket.AF_INET
        self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(timeout or kit.DEADLINE)
        self.sock.connect(server)
        self.file = self.sock.makefile("rb")
        if password:
            self.ask("AUTH", *([user] if user else []), password)

    def send(self, *words):
        words = [w if isinstance(w, bytes) else str(w).encode() for w in words]
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))

    def read(self):
        line = self.file.readline()
        if not line.endswith(b"\r\n"):
            raise ConnectionError(f"the connection ended in {line!r}")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode(errors="replace"))
        if kind == b":":
            return int(rest)
        if kind == b"$":
            return None if rest == b"-1" else self.file.read(int(rest) + 2)[:-2]
        assert kind == b"*", line
        return None if rest == b"-1" else [self.read() for _ in range(int(rest))]

    def ask(self, *words):
        self.send(*words)
        return self.read()

    def close(self):
        self.file.close()
        self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Redis(Server):
    """A redis-server; see above. Nothing is written to disk unless a setting says so."""

    def __init__(self, password=None, user=None, acl="~* &* +@all", replicaof=None, **settings):
        self.server_program = program("redis-server", "redis-server")
        super().__init__("redis")
        self.password = password or (PASSWORD if user else None)
        self.user = user
        self.replicaof = replicaof
        self.socket = os.path.join(self.folder, "redis.sock")
        lines = {"bind": "127.0.0.1", "port": self.port, "unixsocket": self.socket, "dir": self.folder, "save": '""', "appendonly": "no",
                 "enable-debug-command": "yes", "repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1",
                 **{name.replace("_", "-"): value for name, value in settings.items()}}
        self.settings = [f"{name} {value}" for name, value in lines.items()]
        if self.password:
            self.settings += [f"requirepass {self.password}", f"masterauth {self.password}"]
        if user:
            self.settings += [f"user {user} on >{self.password} {acl}"]
        if replicaof:
            self.settings += [f"replicaof 127.0.0.1 {replicaof.port}"]

    def command(self):
        path = os.path.join(self.folder, "redis.conf")
        if not os.path.exists(path):  # Sentinel rewrites it
            with open(path, "w", encoding="utf-8") as f:
                f.write("\n".join(self.settings) + "\n")
        return [self.server_program, path]

    def ready(self):
        try:
            with Wire(self) as w:
                return w.ask("PING") == b"PONG" and (not self.replicaof or b"master_link_status:up" in w.ask("INFO", "replication"))
        except (OSError, RedisError):
            return False

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    @property
    def url(self):
        return self.at(self.port)

    def at(self, port, database=0):
        """The url through another port, such as a proxy's."""
        who = f"{self.user or ''}:{self.password}@" if self.password else ""
        return f"redis://{who}127.0.0.1:{port}/{database}"

    def cli(self, *words):
        """One command as the administrator over a connection of its own."""
        with Wire(self) as w:
            return w.ask(*words)

    def keys(self, pattern="*"):
        return sorted(self.cli("KEYS", pattern))

    def info(self, section="all"):
        """{name: text} of INFO."""
        pairs = (line.split(":", 1) for line in self.cli("INFO", section).decode().splitlines() if ":" in line)
        return {name: value for name, value in pairs}

    def stat(self, name):
        return int(self.info()[name])

    def calls(self, command):
        """How often a command was called since the start, or CONFIG RESETSTAT."""
        stat = self.info("commandstats").get("cmdstat_" + command.lower())
        return int(stat.split(",")[0].split("=")[1]) if stat else 0

    def clients(self):
        """[{name: text}] of CLIENT LIST, without the connection that asks and without replicas and sentinels."""
        with Wire(self) as w:
            own = w.ask("CLIENT", "ID")
            lines = w.ask("CLIENT", "LIST", "TYPE", "NORMAL").decode().splitlines()
        rows = [dict(word.split("=", 1) for word in line.split(" ")) for line in lines]
        return [row for row in rows if int(row["id"]) != own]

    def standing(self):
        """Has SIGSTOP reached every thread?"""
        def state(task):
            with open(f"/proc/{self.pid}/task/{task}/stat", encoding="utf-8") as f:
                return f.read().rsplit(")", 1)[1].split()[0]
        return all(state(task) == "T" for task in os.listdir(f"/proc/{self.pid}/task"))

    def pause(self):
        super().pause()
        kit.wait_for(self.standing, "all threads of Redis to stand")


class Sentinel(Redis):
    """A redis-sentinel that watches a Redis; alone, its own vote is the quorum. It finds replicas by itself."""

    def __init__(self, master, name="guard", down_after_ms=500, password=None, quorum=1):
        super().__init__(password=password)
        self.server_program = program("redis-sentinel", "redis-sentinel")
        self.name = name
        self.settings = ["bind 127.0.0.1", f"port {self.port}", f"dir {self.folder}",
                         f"sentinel monitor {name} 127.0.0.1 {master.port} {quorum}",
                         f"sentinel down-after-milliseconds {name} {down_after_ms}", f"sentinel failover-timeout {name} 5000"]
        if password:
            self.settings += [f"requirepass {password}"]
        if master.password:
            self.settings += [f"sentinel auth-pass {name} {master.password}"]

    def master(self):
        host, port = self.cli("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return host.decode(), int(port)

    def replicas(self):
        """The ports of the replicas that it knows and finds alive."""
        rows = [dict(zip(row[::2], row[1::2])) for row in self.cli("SENTINEL", "REPLICAS", self.name)]
        return [int(row[b"port"]) for row in rows if row[b"flags"] == b"slave" and row[b"master-link-status"] == b"ok"]


class Fake:
    """A server that says what answer(command, connection) returns: see above. Connections are numbered from 0."""

    password = None

    def __init__(self, answer):
        self.answer = answer
        self.commands = []
        self.connections = 0
        self.open = set()
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}/0"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            number, self.connections = self.connections, self.connections + 1
            self.open.add(sock)
            threading.Thread(target=self.serve, args=(sock, number), daemon=True).start()

    @staticmethod
    def read(file):
        line = file.readline()
        if not line.startswith(b"*"):
            raise ConnectionError
        words = []
        for _ in range(int(line[1:])):
            head = file.readline()
            words.append(file.read(int(head[1:]) + 2)[:-2])
        return words

    def serve(self, sock, number):
        try:
            with sock.makefile("rb") as file:
                while True:
                    command = self.read(file)
                    self.commands.append(command)
                    said = self.answer(command, number)
                    if said is None:
                        break
                    sock.sendall(said)
        except (OSError, ValueError):
            pass
        self.open.discard(sock)
        try:
            sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        sock.close()

    def close(self):
        # A thread that waits in accept() holds the listener: it is woken first.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for sock in list(self.open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


@pytest.fixture(scope="session")
def redis_of_session():
    with Redis() as r:
        yield r


@pytest.fixture
def redis_server(redis_of_session):  # pylint: disable=redefined-outer-name
    redis_of_session.cli("FLUSHALL")
    redis_of_session.cli("CONFIG", "RESETSTAT")
    return redis_of_session


@pytest.fixture
def redis():
    with Redis() as r:
        yield r
