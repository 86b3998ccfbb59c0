# SPDX-License-Identifier: Apache-2.0
"""Very many requests at once, from one thread.

  answers = volley([(address, [request, …]), …])      one connection for each pair: all connect, then all send at once, each its
                                                      requests one after another (or up to `depth` at once); [[Answer, …], …], in order
  v = Volley(plans); v.start(); …; v.wait()           the same in a thread, for tests that do something meanwhile
  with Flood(addresses, source) as f: …               connections that ask all the time what source() says next; f.answers

A request is bytes (chimera.request_bytes). An answer that did not come has status 0 and says why in `error`.
"""
import errno
import re
import select
import socket
import threading
import time

import chimera as kit

LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)\r\n")
CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked\r\n")


class Answer:
    """sent, began, ended: time.monotonic() when the request went out, the first byte and the last came."""

    __slots__ = ("status", "head", "body", "sent", "began", "ended", "error")

    def __init__(self):
        self.status, self.head, self.body, self.error = 0, b"", b"", None
        self.sent = self.began = self.ended = 0.0

    @property
    def fields(self):
        """(name in lower case, value) in order."""
        rows = (line.split(b":", 1) for line in self.head.split(b"\r\n")[1:] if line)
        return [(name.decode("latin-1").lower(), value.strip().decode("latin-1")) for name, value in rows]

    def header(self, name):
        """The one field of that name, or None."""
        found = self.head.lower().find(f"\r\n{name.lower()}:".encode())
        if found < 0:
            return None
        values = [v for n, v in self.fields if n == name.lower()]
        assert len(values) == 1, self.head
        return values[0]

    @property
    def took(self):
        return self.ended - self.sent

    @property
    def kind(self):
        """For counting: "200", "200 replayed", "409 idempotency_in_progress", "closed"."""
        if self.error:
            return self.error
        code = re.search(rb'"code": *"([a-z_]+)"', self.body) if self.status >= 400 else None
        more = code[1].decode() if code else "replayed" if b"\r\nidempotent-replayed:" in self.head.lower() else ""
        return f"{self.status} {more}".strip()

    def __repr__(self):
        return f"<{self.kind} {self.head[:2000]!r} {self.body[:300]!r}>"


def whole(data):
    """(status, head, body, bytes used) of the answer that begins `data`, or None if it is not whole yet; a chunked body is joined."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(data[:end + 2])
    assert head.startswith(b"HTTP/1.1 "), head
    at, status = end + 4, int(head[9:12])
    length = LENGTH.search(head)
    if length:
        stop = at + int(length[1])
        return None if len(data) < stop else (status, head, bytes(data[at:stop]), stop)
    assert CHUNKED.search(head), head
    parts = []
    while True:
        line = data.find(b"\r\n", at)
        if line < 0:
            return None
        size = int(data[at:line].split(b";")[0], 16)
        at = line + 2 + size + 2
        if len(data) < at:
            return None
        assert data[at - 2:at] == b"\r\n", bytes(data[line:at])
        if not size:
            return status, head, b"".join(parts), at
        parts.append(bytes(data[line + 2:at - 2]))


class Member:
    """One connection. `source`: an iterator of requests; answers: those begun, in order; waiting: how many of them are not over."""

    def __init__(self, address, source, depth):
        self.address, self.source, self.depth = address, source, depth
        self.answers, self.first, self.waiting, self.done = [], 0, 0, False
        self.to_send, self.buffer, self.sock = b"", bytearray(), None

    def connect(self):
        self.sock = socket.socket()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(kit.DEADLINE)
        self.sock.connect(self.address)
        self.sock.setblocking(False)
        self.to_send, self.buffer = b"", bytearray()

    def fill(self):
        """Begins as many requests as may run at once."""
        now = time.monotonic()
        while self.waiting < self.depth and not self.done:
            request = next(self.source, None)
            if request is None:
                self.done = True
                break
            answer = Answer()
            answer.sent = now
            self.answers.append(answer)
            self.waiting += 1
            self.to_send += request
        self.flush()

    def flush(self):
        """False: the connection is gone."""
        try:
            while self.to_send:
                self.to_send = self.to_send[self.sock.send(self.to_send):]
        except BlockingIOError:
            pass
        except OSError as e:
            return e.errno not in (errno.EPIPE, errno.ECONNRESET)
        return True

    def read(self):
        """None: there may be more; else why the connection ended."""
        try:
            data = self.sock.recv(1 << 18)
        except BlockingIOError:
            return None
        except OSError as e:
            return errno.errorcode[e.errno]
        if not data:
            return "closed"
        self.buffer += data
        now = time.monotonic()
        while self.waiting:
            answer = self.answers[self.first]
            answer.began = answer.began or now
            found = whole(self.buffer)
            if not found:
                break
            answer.status, answer.head, answer.body, used = found
            answer.ended = now
            del self.buffer[:used]
            self.first += 1
            self.waiting -= 1
        return None

    def lost(self, why):
        """The connection is gone: so are the answers that were to come."""
        now = time.monotonic()
        for answer in self.answers[self.first:]:
            answer.error, answer.ended = why, now
            answer.body = bytes(self.buffer) if answer is self.answers[self.first] else b""
        self.first, self.waiting = len(self.answers), 0
        self.sock.close()


class Swarm:
    """Members on one epoll; `again`: who loses the connection makes another and goes on."""

    def __init__(self, members, again=False):
        self.members, self.again = members, again
        self.poll = select.epoll()
        self.by_fd = {}
        self.ending = threading.Event()

    def join(self, member):
        member.connect()
        self.by_fd[member.sock.fileno()] = member
        self.poll.register(member.sock.fileno(), select.EPOLLIN)

    def part(self, member, why):
        self.by_fd.pop(member.sock.fileno())
        member.lost(why)

    def watch(self, member):
        flags = select.EPOLLIN | (select.EPOLLOUT if member.to_send else 0)
        self.poll.modify(member.sock.fileno(), flags)

    def begin(self):
        for member in self.members:
            self.join(member)

    def step(self, fd, event):
        member = self.by_fd.get(fd)
        if not member:
            return
        why = member.read() if event & ~select.EPOLLOUT else None
        if why is None:
            queued = bool(member.to_send)
            if self.ending.is_set():
                member.done = True
            member.fill()
            if member.waiting or not member.done:
                if queued or member.to_send:
                    self.watch(member)
                return
            why = "closed"
        self.part(member, why)
        if self.again and not member.done and not self.ending.is_set():
            self.join(member)
            member.fill()
        else:
            member.done = True

    def go(self):
        for member in list(self.members):
            member.fill()
            if member.to_send:
                self.watch(member)
        last = time.monotonic()
        while self.by_fd:
            events = self.poll.poll(0.1)
            for fd, event in events:
                self.step(fd, event)
            now = time.monotonic()
            last = now if events else last
            if now - last > 2 * kit.DEADLINE:
                break
        stuck = [m for m in self.members if m.waiting]
        for member in list(self.by_fd.values()):
            self.part(member, "no answer")
        self.poll.close()
        assert not stuck, f"{len(stuck)} of {len(self.members)} connections wait for an answer that does not come"


class Runner(threading.Thread):
    """Runs a swarm; its failure is raised by wait()."""

    def __init__(self, swarm):
        super().__init__(daemon=True)
        self.swarm, self.failure = swarm, None
        swarm.begin()

    def run(self):
        try:
            self.swarm.go()
        except BaseException as e:  # told by wait(), in the test's own thread
            self.failure = e

    def wait(self):
        self.join()
        if self.failure:
            raise self.failure


class Volley(Runner):
    def __init__(self, plans, depth=1):
        super().__init__(Swarm([Member(address, iter(requests), depth) for address, requests in plans]))

    def wait(self):
        """[[Answer, …], …]: what was never sent, since its connection was gone, is not among them."""
        super().wait()
        return [m.answers for m in self.swarm.members]


def volley(plans, depth=1):
    v = Volley(plans, depth)
    v.start()
    return v.wait()


class Flood(Runner):
    """source(): the next request, of whichever connection; called from one thread alone."""

    def __init__(self, addresses, source, connections=8):
        members = [Member(address, iter(source, None), 1) for address in addresses for _ in range(connections)]
        super().__init__(Swarm(members, again=True))

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    @property
    def count(self):
        return sum(m.first for m in self.swarm.members)

    def more(self, n):
        """Waits until n more requests have been answered."""
        goal = self.count + n
        kit.wait_for(lambda: self.count >= goal or not self.is_alive(), f"{n} more answers")
        if self.failure:
            raise self.failure

    def stop(self):
        self.swarm.ending.set()
        self.wait()

    @property
    def answers(self):
        """All that are over, by the time they were sent."""
        return sorted((a for m in self.swarm.members for a in m.answers[:m.first]), key=lambda a: a.sent)


def spread(values):
    """Median, 99th percentile and worst, in milliseconds."""
    v = sorted(values)
    return f"median {1000 * v[len(v) // 2]:.2f} ms, p99 {1000 * v[len(v) * 99 // 100]:.2f} ms, worst {1000 * v[-1]:.2f} ms of {len(v)}"
