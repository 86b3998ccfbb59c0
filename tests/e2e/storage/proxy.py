# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy that misbehaves on demand, between a client and a server of the tests. Everything is switched while it runs, and everything
but the one-time faults holds for connections that stand as well as for new ones, until heal().

  with Proxy(server.port) as p:               p.port: what the client is told
      p.latency = 0.05                        seconds before each piece of bytes, either way
      p.slices = 1                            bytes are passed on in slices of at most so many
      p.held = True                           nothing is passed on until it is False again (then all is); new connections are taken
      p.accepting = "hole" / "reset"          new connections are taken and never answered, the server never asked / are reset at once
      p.refuse() / p.listen()                 nobody listens on the port / somebody does again
      p.heal()                                all of the above is over, and one-time faults that have not happened are forgotten
      p.cut()                                 resets all connections now

  One-time faults, that happen to the first connection that gives them reason; each returns an event that is set when it has happened.
  after=b"COMMIT": only behind the piece of the client's bytes that holds these (the piece itself is passed on).
      p.reset(up=n) / p.reset(down=n)         a reset both ways once n more bytes of the client / the server have been passed on
      p.lose_answer()                         the next bytes of the server are swallowed, the connection is reset: the request went through
      p.corrupt(up=n) / p.corrupt(down=n)     the n-th byte from now on, counted from 0, is passed on with all bits turned

  p.connections, p.open: all and now; p.bytes_up, p.bytes_down: passed on; p.resets; p.seen: the client's bytes so far, if record=True.
"""
import os
import socket
import struct
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), ".."))
import chimera as kit  # noqa: E402


def abort(sock):
    """Closes with an RST, and wakes whoever reads from it."""
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.shutdown(socket.SHUT_RD)
    except OSError:
        pass
    sock.close()


class Fault:
    """What will happen once to one connection. `left`: bytes of the way that go before; armed when `after` has been seen on it since."""

    def __init__(self, kind, up, left, after):
        self.kind, self.up, self.left, self.after = kind, up, left, after
        self.happened = threading.Event()
        self.seen = {}  # the client's last bytes of each connection

    def armed(self, pair):
        return self.after is None or self.after in self.seen.get(pair, b"")

    def see(self, pair, data):
        if self.after is not None and not self.armed(pair):
            self.seen[pair] = (self.seen.get(pair, b"") + data)[-(1 << 17):]


class Pair:
    """One connection of a client with its own to the server."""

    def __init__(self, client, server):
        self.client, self.server = client, server
        self.over = False
        self.ended = 0


class Proxy:
    def __init__(self, port, host="127.0.0.1", record=False):
        self.target = (host, port)
        self.record, self.seen = record, b""
        self.change = threading.Condition(threading.RLock())
        self.connections = self.bytes_up = self.bytes_down = self.resets = 0
        self.pairs, self.faults, self.holes = [], [], []
        self.listener = None
        self.port = 0
        self._held = False
        self.heal()
        self.listen()

    # ---- switches

    def heal(self):
        with self.change:
            self.latency, self.slices, self.accepting, self.faults = 0, 0, "pass", []
        self.held = False

    @property
    def held(self):
        return self._held

    @held.setter
    def held(self, value):
        with self.change:
            self._held = value
            self.change.notify_all()

    def _fault(self, kind, up, down, after):
        with self.change:
            f = Fault(kind, up is not None, (up if up is not None else down) or 0, after)
            self.faults.append(f)
            return f.happened

    def reset(self, up=None, down=None, after=None):
        return self._fault("reset", up, down, after)

    def lose_answer(self, after=None):
        return self._fault("lose", None, 0, after)

    def corrupt(self, up=None, down=None, after=None):
        return self._fault("corrupt", up, down, after)

    def cut(self):
        with self.change:
            for pair in list(self.pairs):
                self._reset(pair)
            for sock in self.holes:
                abort(sock)
            self.holes = []

    @property
    def open(self):
        with self.change:
            return len(self.pairs) + len(self.holes)

    # ---- connections

    def listen(self):
        if self.listener:
            return
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        kit.wait_for(lambda: self._bound(s), f"port {self.port} of the proxy to be free")
        s.listen(128)
        self.port = s.getsockname()[1]
        self.listener = s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def _bound(self, s):
        try:
            s.bind(("127.0.0.1", self.port))
            return True
        except OSError:
            return False

    def refuse(self):
        if self.listener:
            s, self.listener = self.listener, None
            s.shutdown(socket.SHUT_RDWR)
            s.close()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self.change:
                self.connections += 1
                how = self.accepting
                if how == "hole":
                    self.holes.append(client)
                elif how == "reset":
                    self.resets += 1
                    abort(client)
            if how == "pass":
                threading.Thread(target=self._connect, args=(client,), daemon=True).start()

    def _connect(self, client):
        try:
            server = socket.create_connection(self.target, timeout=kit.DEADLINE)
        except OSError:
            abort(client)
            return
        server.settimeout(None)
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        pair = Pair(client, server)
        with self.change:
            self.pairs.append(pair)
        for up in (True, False):
            threading.Thread(target=self._pump, args=(pair, up), daemon=True).start()

    def _reset(self, pair):
        with self.change:
            if not pair.over:
                pair.over = True
                self.resets += 1
                self.pairs.remove(pair)
                abort(pair.client)
                abort(pair.server)
                self.change.notify_all()

    def _ended(self, pair):
        """One way is at its end; the connection when both are."""
        with self.change:
            pair.ended += 1
            if pair.ended == 2 and not pair.over:
                pair.over = True
                self.pairs.remove(pair)
                pair.client.close()
                pair.server.close()

    # ---- bytes

    def _pump(self, pair, up):
        source, sink = (pair.client, pair.server) if up else (pair.server, pair.client)
        try:
            while True:
                data = source.recv(65536)
                with self.change:
                    self.change.wait_for(lambda: not self._held or pair.over)
                    pause = self.latency
                if pause:
                    time.sleep(pause)  # what is asked for
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    break
                if not self._pass(pair, up, sink, data):
                    break
        except OSError:
            if not pair.over:  # a reset of one side goes on to the other
                self._reset(pair)
        self._ended(pair)

    def _pass(self, pair, up, sink, data):
        """False: the connection was reset meanwhile."""
        with self.change:
            data, happening = self._fate(pair, up, data)
            if up:
                for f in self.faults:
                    f.see(pair, data)
                self.bytes_up += len(data)
                if self.record:
                    self.seen += data
            else:
                self.bytes_down += len(data)
            size = self.slices or len(data)
        for at in range(0, len(data), size or 1):
            sink.sendall(data[at:at + size])
        if happening:
            happening.set()  # before the client can see it
            self._reset(pair)
        return not happening

    def _fate(self, pair, up, data):
        """What of these bytes is passed on, and the event of a reset behind them."""
        for f in [f for f in self.faults if f.up == up and f.armed(pair)]:
            if f.kind == "lose" or (f.kind == "reset" and f.left <= len(data)):
                self.faults.remove(f)
                return data[:f.left if f.kind == "reset" else 0], f.happened
            if f.kind == "corrupt" and f.left < len(data):
                self.faults.remove(f)
                data = data[:f.left] + bytes([data[f.left] ^ 0xFF]) + data[f.left + 1:]
                f.happened.set()
            else:
                f.left -= len(data)
        return data, None

    # ---- the end

    def close(self):
        self.refuse()
        self.heal()
        self.cut()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
