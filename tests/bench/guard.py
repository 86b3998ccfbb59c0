# SPDX-License-Identifier: Apache-2.0
"""What the guard costs a request: who is it, may they now, was it asked before. In memory, and over a real Redis."""

import contextlib
import itertools
import json
import time

from costs import in_turn
from measure import CONNECTIONS, Row, count, under_load
from servers import Broken, Exchange, on_cpus, request
from storage import real_servers

PATH = "/static"
BODY = json.dumps({"model": "bench-small", "messages": [{"role": "user", "content": "Why is the sea salt? " * 5}]})
KEY = "ck-bench-5f0c2a9e7d3b41868e9fa0c4d7b1e263"
PLUGINS = ("auth", "ratelimit", "idempotency")
# A limit that 10,000 requests per millisecond do not reach: what is measured are requests that pass.
LIMITS = "[ratelimit.{tier}]\nrequests = 600000000/min\n"
AUTH = f"[auth]\napi_key = {KEY}\n"
COUNTED = 100  # turns of all connections in which Redis' commands are counted
fresh_number = itertools.count(time.time_ns())


def config(kind, store):
    """
    Each kind has what the one before has. `bare`: nothing; `fresh`: as `all`, but each request shows an Idempotency-Key of its own;
    `replay`: all of them the same.
    """
    uses = {"bare": (), "auth": PLUGINS[:1], "limit": PLUGINS[:2]}.get(kind, PLUGINS)
    text = "[b_static]\n"
    if uses:
        text += f"[kv_memory]\n{store}{AUTH}"
    at = f"store = {'kv_redis' if store else 'kv_memory'}\n"
    if "ratelimit" in uses:
        text += f"[ratelimit]\n{at}{'fallback = kv_memory' if store else ''}\n{LIMITS.format(tier='api_key')}"
    return text + (f"[idempotency]\n{at}" if "idempotency" in uses else "")


def asked(kind):
    """The same request for all kinds but for the Idempotency-Key; `fresh` holds the run of '@' that load.c makes a number of."""
    shown = {"fresh": ["Idempotency-Key: bench-" + "@" * 24], "replay": ["Idempotency-Key: bench-" + "0" * 24]}
    return request(PATH, BODY, headers=[f"Authorization: Bearer {KEY}", *shown.get(kind, [])])


def numbered(req):
    return req.replace(b"@" * 24, b"%024d" % next(fresh_number))


def measured(server, kind, options):
    req = asked(kind)
    server.wait_ready(numbered(req))
    x = Exchange(server.port, numbered(req))  # of `replay` the second answer: the first one was asked for above
    with contextlib.closing(x):
        status, head, body = x.ask()
    if status != 200 or (b"Idempotent-Replayed: true" in head) != (kind == "replay"):
        raise Broken(f"{server.name} answers {status} to a request of the kind {kind}: {head!r} {body[:300]!r}")
    size = len(head) + len(body)
    return under_load(server, req, PATH, BODY, size, options, options.short * 0.4, options.turns)["cpu"]


def less(got, kind, without):
    """What `kind` costs beside `without`, of rounds side by side."""
    return [a - b for a, b in zip(got[kind], got[without])]


# ---- in memory -------------------------------------------------------------------------------------------------------------


def memory(maker, options):
    part = f"the guard in memory, of a POST of {len(BODY)} bytes and a constant answer: CPU of a request with it, less that of one without"
    kinds = ["bare", "auth", "limit", "all", "fresh", "replay"]

    def measure(kind):
        with maker.chimera(config(kind, "")) as server:
            return measured(server, kind, options)

    got = in_turn(kinds, options.many, measure)
    rows = [Row(part, "auth, ratelimit, idempotency", "us", less(got, "all", "bare"), None, 2.0, True),
            Row(part, "of it auth", "us", less(got, "auth", "bare")),
            Row(part, "of it ratelimit", "us", less(got, "limit", "auth")),
            Row(part, "of it idempotency, no Idempotency-Key shown", "us", less(got, "all", "limit")),
            Row(part, "beside it, a new Idempotency-Key in each", "us", less(got, "fresh", "all")),
            Row(part, "beside it, the same one: a replay", "us", less(got, "replay", "all"))]
    counts = {kind: count(lambda kind=kind, **how: maker.chimera(config(kind, ""), **how), asked(kind), f"guard-{kind}", PATH, BODY,
                          options) for kind in ("bare", "auth", "limit", "all", "replay")}
    if counts["bare"] is None:
        return rows
    steps = {"auth, ratelimit, idempotency": ("all", "bare"), "auth": ("auth", "bare"), "ratelimit": ("limit", "auth"),
             "idempotency": ("all", "limit"), "a replay, beside it": ("replay", "all")}
    return rows + [Row(part, f"instructions, {what}", "", [counts[a] - counts[b]]) for what, (a, b) in steps.items()]


# ---- over Redis ------------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def redis_server(real, options):
    """A real one, on the load's CPUs: the daemon has its own for itself."""
    with on_cpus(options.load_cpus), real.Redis() as server:
        yield server


def over(redis):
    """Patient: on a busy machine the fallback must not decide in its place, for that costs less."""
    return f"[kv_redis]\nurl = {redis.url}\ntimeout = 2s\n"


class Monitor:
    """What Redis is asked, as its MONITOR tells: one line for each command, also for those that a script runs."""

    def __init__(self, real, redis):
        self.watch, self.mark = real.Wire(redis), real.Wire(redis)
        self.watch.ask("MONITOR")

    def so_far(self):
        """How many commands clients have sent since the last time, and how many their scripts have run."""
        word = f"mark-{next(fresh_number)}"
        self.mark.ask("ECHO", word)
        sent = ran = 0
        while True:
            line = self.watch.read().decode(errors="replace")
            if word in line:
                return sent, ran
            if line.split(" ", 3)[2] == "lua]":
                ran += 1
            else:
                sent += 1

    def close(self):
        self.watch.close()
        self.mark.close()


def ask_all(server, kind, turns):
    """Full turns of all connections; how many requests that were."""
    xs = [Exchange(server.port, asked(kind)) for _ in range(CONNECTIONS)]
    for _ in range(turns):
        for x in xs:
            x.request = numbered(asked(kind))
            x.send()
        for x in xs:
            status, _, body = x.receive()
            if status != 200:
                raise Broken(f"{server.name} answers {status}: {body[:300]!r}")
    for x in xs:
        x.close()
    return turns * CONNECTIONS


def commands(maker, real, redis, kind):
    """Of a request: what is sent to Redis, EVALSHA among it by Redis' own counter, and what scripts run there."""
    with maker.chimera(config(kind, over(redis))) as server, contextlib.closing(Monitor(real, redis)) as monitor:
        server.wait_ready(numbered(asked(kind)))
        ask_all(server, kind, 1)  # scripts are loaded, connections made
        monitor.so_far()
        scripts = redis.calls("evalsha")
        monitor.so_far()
        n = ask_all(server, kind, COUNTED)
        sent, ran = monitor.so_far()
        if sent < n:
            raise Broken(f"{server.name} has asked Redis {sent} times for {n} requests; {server.account()}")
        # What runs beside requests (a heartbeat) is less than a hundredth of them.
        return [round(x / n, 2) for x in (sent, redis.calls("evalsha") - scripts, ran)]


def over_redis(maker, options):
    part = "the guard over Redis, the same request"
    skipped = lambda why: [Row(part, "commands to Redis", "", [], skipped=why)]
    if not maker.has("kv_redis"):
        return skipped("the build has no kv_redis: apt-get install libhiredis-dev and configure again")
    try:
        real = real_servers("kv", "redis_server")
    except ImportError as e:
        return skipped(f"{e.name} is missing: apt-get install python3-pytest python3-requests")
    try:
        return measured_over(maker, real, part, options)
    except real.pytest.skip.Exception as e:
        return skipped(str(e))


def measured_over(maker, real, part, options):
    def measure(kind):
        with redis_server(real, options) as redis, maker.chimera(config(kind, over(redis))) as server:
            return measured(server, kind, options)

    with redis_server(real, options) as redis:
        plain, fresh = (commands(maker, real, redis, kind) for kind in ("all", "fresh"))
    got = in_turn(["bare", "all", "fresh"], options.many, measure)
    return [Row(part, "commands to Redis", "", [plain[0]], None, 1.0, True),
            Row(part, "of them EVALSHA, by INFO commandstats", "", [plain[1]]),
            Row(part, "run by its scripts", "", [plain[2]]),
            Row(part, "auth, ratelimit, idempotency, CPU", "us", less(got, "all", "bare")),
            Row(part, "commands, a new Idempotency-Key in each", "", [fresh[0]]),
            Row(part, "EVALSHA, a new Idempotency-Key in each", "", [fresh[1]]),
            Row(part, "beside it, a new Idempotency-Key in each", "us", less(got, "fresh", "all"))]


# ---- the part --------------------------------------------------------------------------------------------------------------


def guard_part(maker, options):
    missing = [p for p in ("kv_memory", *PLUGINS) if not maker.has(p)]
    if missing:
        return [Row("the guard", "CPU per request", "us", [], skipped=f"the build has no {', '.join(missing)}")]
    return memory(maker, options) + over_redis(maker, options)
