# SPDX-License-Identifier: Apache-2.0
"""Many streams at once: what a gateway adds to each frame, what a stream takes of memory, and where it saturates."""

import contextlib
import json
import re
import socket
import subprocess
import threading
import time

import chat
from measure import Row
from servers import PATIENCE, Broken, compile_c, cpu_seconds, free_port, on_cpus, request, rss

INTERVAL = 20  # milliseconds between two frames
QUESTION = json.dumps({"model": "bench-small", "stream": True, "messages": [{"role": "user", "content": "Why is the sea salt? " * 5}]})


class Frames:
    """tests/bench/frames.c, the upstream: on the load's CPUs."""

    def __init__(self, maker, frames, options):
        self.port = free_port()
        with on_cpus(options.load_cpus):
            self.process = subprocess.Popen([maker.folder / "frames", str(self.port), str(frames), str(INTERVAL)], stdin=subprocess.PIPE)

    def wait_listening(self):
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE).close()
                return
            time.sleep(0.001)
        raise Broken("tests/bench/frames.c does not listen")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.wait(PATIENCE)


class Watch:
    """The most resident bytes that a server had while it was watched."""

    def __init__(self, pids):
        self.pids, self.most, self.ended = pids, 0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.ended.wait(0.1):
            with contextlib.suppress(OSError):
                self.most = max(self.most, rss(self.pids))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def streams(maker, port, n, frames):
    ramp = 1000
    limit = ramp / 1000 + frames * INTERVAL / 1000
    done = subprocess.run([maker.folder / "streams", str(port), str(n), str(frames), str(ramp)], input=request(chat.PATH, QUESTION),
                          capture_output=True, timeout=limit * 20 + PATIENCE)
    found = re.search(rb"^BENCH (.*)$", done.stdout, re.M)
    if done.returncode or not found:
        raise Broken(f"the streams failed: {done.stderr.decode(errors='replace')[-500:]}")
    return {**json.loads(found[1]), "said": done.stderr.decode(errors="replace").strip()}


def through(maker, server, n, frames):
    """One run through a server: delays, memory and CPU."""
    server.wait_listening()
    pids = server.pids()
    idle, cpu, began = rss(pids), cpu_seconds(pids), time.monotonic()
    with Watch(pids) as watch:
        r = streams(maker, server.port, n, frames)
    cpu, wall = cpu_seconds(pids) - cpu, time.monotonic() - began
    return {**r, "memory": (watch.most - idle) / n, "cpu": cpu / max(1, r["events"]) * 1e6, "busy": cpu / wall * 100 / server.workers}


def make(maker, kind, port):
    return maker.nginx_stream(port) if kind == "nginx" else chat.CHAT.server(maker, "chain", port)


def measure(maker, kind, n, frames, options):
    with Frames(maker, frames, options) as upstream:
        upstream.wait_listening()
        if kind == "direct":
            return streams(maker, upstream.port, n, frames)
        with make(maker, kind, upstream.port) as server:
            return through(maker, server, n, frames)


def rows_of(maker, n, frames, options):
    part = f"{n:,} streams of {frames} frames, {INTERVAL} ms apart"
    kinds = ["direct", "chimera", *(["nginx"] if maker.nginx_path else [])]
    got = {kind: measure(maker, kind, n, frames, options) for kind in kinds}
    if got["chimera"]["whole"] != n:
        raise Broken(f"chimera broke {n - got['chimera']['whole']} of {n} streams: {got['chimera']['said']}")
    column = lambda key, less=0: [[got[k][key] - less] if k in got else None for k in ("chimera", "nginx")]
    broken = [[n - got[k]["whole"]] if k in got else None for k in ("chimera", "nginx")]
    return [Row(part, "broken streams", "", *broken, 0, True),
            Row(part, "p50 from upstream to client without us", "us", [got["direct"]["p50_us"]]),
            Row(part, "p99 from upstream to client without us", "us", [got["direct"]["p99_us"]]),
            Row(part, "added delay per frame, p50", "us", *column("p50_us", got["direct"]["p50_us"])),
            Row(part, "added delay per frame, p99", "us", *column("p99_us", got["direct"]["p99_us"])),
            Row(part, "CPU per frame", "us", *column("cpu")),
            Row(part, "memory per stream", "B", *column("memory")),
            Row(part, "CPU in use", "%", *column("busy"))]


def sse_part(maker, options):
    missing = chat.CHAT.missing(maker)
    if missing:
        return [Row("streams", "added delay per frame", "us", [], skipped=missing)]
    for name in ("frames", "streams"):
        compile_c(f"{name}.c", maker.folder / name)
    most = min(2000, options.idle // 2)
    steps = [(200, 50)] if options.quick else [(n, 200) for n in (250, 500, 1000, 2000) if n <= most]
    return [row for n, frames in steps for row in rows_of(maker, n, frames, options)]
