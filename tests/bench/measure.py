# SPDX-License-Identifier: Apache-2.0
"""The measurements. Each gives a list of rows for the table; chimera and nginx take turns, so that a busy machine hits both."""

import dataclasses
import json
import os
import re
import shutil
import statistics
import subprocess
import time

from servers import PATIENCE, SOURCE, Broken, Exchange, cpu_seconds, request, rss, worker_seconds

CONNECTIONS = 32
CALM = 90  # per cent of its CPU that a server uses in a round without company
STATIC_BODY = 256
SERIES = 9900  # with the daemon's own ones: 10,000 lines, and below the process's cap of 10,000 series
FULL = "[trace]\n[health]\n[prometheus]\n[dryrun]\n[ask]\n"
# What quickstart.ini enables beside that.
QUICKSTART = {"auth": "anonymous = yes\n", "kv_memory": "", "ratelimit": "", "idempotency": "", "router": "", "api_openai": "",
              "storage_sqlite": f"migrations = {SOURCE / 'migrations'}\n", "records": ""}
NO_HTTP_CLIENT = "the build has no http_client: apt-get install libcurl4-openssl-dev libssl-dev and configure again"
ASK = json.dumps({"prompt": "Tell me in a few words why the sea is salt, and whether the rivers have a part in it. " * 4})


@dataclasses.dataclass
class Row:
    """One line of the table. `budget` bounds the ratio, or chimera's own value if `absolute`; None: nothing is promised."""

    part: str
    what: str
    unit: str
    chimera: list
    nginx: list = None
    budget: float = None
    absolute: bool = False
    skipped: str = None  # why there is nothing
    least: bool = False  # the budget is the least that is wanted

    def ratios(self):
        return [c / n for c, n in zip(self.chimera, self.nginx) if n] if self.nginx else []

    def judged(self):
        values = self.chimera if self.absolute else self.ratios()
        return statistics.median(values) if values else None

    def mark(self):
        if self.budget is None or self.judged() is None:
            return ""
        met = self.judged() >= self.budget if self.least else self.judged() <= self.budget
        return "met" if met else "missed"


# ---- answers of the same size ----------------------------------------------------------------------------------------------


def one_answer(server, req):
    server.wait_ready(req)
    x = Exchange(server.port, req)
    status, head, body = x.ask()
    x.close()
    if status != 200:
        raise Broken(f"{server.name} answers {status}: {body[:300]!r}")
    return len(head), len(body)


def probe(make, req):
    with make() as server:
        return one_answer(server, req)


def static_makers(maker):
    """nginx `return 200` and chimera's /static with the same number of bytes on the wire; chimera's head is the shorter one."""
    req = request("/static")
    nginx = lambda **how: maker.nginx_200("x" * STATIC_BODY, **how)
    want = sum(probe(nginx, req))
    size = STATIC_BODY
    for _ in range(3):
        chimera = lambda size=size, **how: maker.chimera(f"[b_static]\nbody_bytes = {size}\n", **how)
        got = sum(probe(chimera, req))
        if got == want:
            return {"chimera": chimera, "nginx": nginx}, req, want
        size += want - got
    raise Broken(f"no body size gives an answer of {want} bytes; the last try had {got}")


def ask_makers(maker):
    """nginx `return 200` with as many bytes as chimera's answer has."""
    req = request("/v1/ask", ASK)
    chimera = lambda **how: maker.chimera(FULL, **how)
    want = sum(probe(chimera, req))
    size = want - 160
    for _ in range(3):
        nginx = lambda size=size, **how: maker.nginx_200("x" * size, **how)
        got = sum(probe(nginx, req))
        if got == want:
            return {"chimera": chimera, "nginx": nginx}, req, want
        size += want - got
    raise Broken(f"no body size gives an answer of {want} bytes; the last try had {got}")


# ---- load ------------------------------------------------------------------------------------------------------------------


def warm(server, req, times, want=None):
    """Full turns of all connections, each answer looked at: 200, and the body if `want` is one."""
    xs = [Exchange(server.port, req) for _ in range(CONNECTIONS)]
    for _ in range(times):
        for x in xs:
            x.send()
        for x in xs:
            status, _, body = x.receive()
            if status != 200 or (want is not None and body != want):
                raise Broken(f"{server.name} answers {status}: {body[:300]!r}")
    for x in xs:
        x.close()


def generate(server, req, path, body, seconds, options, before=()):
    """Runs the load, on our own CPUs: load.c, or wrk where --wrk asks for it."""
    env = {k: v for k, v in os.environ.items() if k != "BENCH_BODY"}
    if body:
        env["BENCH_BODY"] = body
    command = [options.folder / "load", str(server.port), str(CONNECTIONS), str(seconds)]
    if options.wrk:
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", SOURCE / "tests/bench/wrk.lua",
                   f"http://127.0.0.1:{server.port}{path}"]
    done = subprocess.run([*before, *command], input=req, capture_output=True, env=env, timeout=seconds + PATIENCE)
    out = done.stdout.decode(errors="replace")
    found = re.search(r"^BENCH (.*)$", out, re.M)
    if done.returncode or not found:
        raise Broken(f"the load on {server.name} failed: {out} {done.stderr.decode(errors='replace').strip()}; {server.account()}")
    return json.loads(found[1])


def under_load(server, req, path, body, size, options, seconds=None, turns=50, want=None):
    server.wait_ready(req)
    warm(server, req, turns, want)
    pids, worker = server.pids(), lambda: worker_seconds(pids[0]) if server.name == "chimera" else cpu_seconds(pids)
    cpu, way, wall = cpu_seconds(pids), worker(), time.monotonic()
    r = generate(server, req, path, body, seconds or options.seconds, options)
    cpu, way, wall = cpu_seconds(pids) - cpu, worker() - way, time.monotonic() - wall
    if r["bad"] or not r["requests"]:
        raise Broken(f"{server.name}: {r['bad']} wrong answers of {r['requests']} requests to {path}; {server.account()}")
    if abs(r["bytes"] / r["requests"] / size - 1) > 0.01:
        raise Broken(f"{server.name}: {r['bytes'] / r['requests']:.1f} bytes an answer under load instead of {size}")
    return {"cpu": cpu / r["requests"] * 1e6, "worker": way / r["requests"] * 1e6, "rate": r["requests"] / r["duration_us"] * 1e6, "p50": r["p50_us"], "p99": r["p99_us"],
            "busy": cpu / wall * 100 / server.workers}


def calm_rounds(columns):
    """
    All rounds, those of them that were calm, and a note about them. A round in which a server had to share its CPU, or to wait for its
    load, tells about CPU time, but nothing about time on the clock.
    """
    every = range(len(columns[0]))
    calm = [i for i in every if all(column[i]["busy"] >= CALM for column in columns)]
    return every, calm, "" if len(calm) == len(every) else f", {len(calm)} of {len(every)} rounds" if calm else ", no calm round"


def load(part, makers, req, size, path, body, budgets, options):
    got = {"chimera": [], "nginx": []}
    for i in range(options.rounds):
        for name in ["chimera", "nginx"][:: -1 if i % 2 else 1]:
            if name in makers:
                with makers[name]() as server:
                    got[name].append(under_load(server, req, path, body, size, options))

    every, calm, note = calm_rounds([got[name] for name in makers])

    def row(key, what, unit, rounds, budget=None):
        column = lambda name: [got[name][i][key] for i in rounds] if name in makers else None
        return Row(part, what, unit, column("chimera"), column("nginx"), budget)

    return [row("cpu", "CPU per request", "us", every, budgets.get("cpu")),
            row("rate", f"requests per second{note}", "/s", calm or every),
            row("p50", f"latency p50{note}", "us", calm or every),
            row("p99", f"latency p99{note}", "us", calm or every, budgets.get("p99") if len(calm) > 1 else None),
            row("busy", "CPU in use", "%", every)]


def static_part(maker, options):
    makers, req, size = static_makers(maker)
    part = f"static answer, {size} bytes"
    # Of a static answer all latency is added latency: the design's bound on added p99 is judged here.
    rows = load(part, makers_there(makers, maker), req, size, "/static", None, {"cpu": 1.0, "p99": 1.0}, options)
    return rows + instructions(part, makers_there(makers, maker), req, "/static", None, options)


def ask_part(maker, options):
    if maker.nginx_path:
        makers, req, size = ask_makers(maker)
    else:
        makers, req = {"chimera": lambda **how: maker.chimera(FULL, **how)}, request("/v1/ask", ASK)
        size = sum(probe(makers["chimera"], req))
    part = f"/v1/ask on dryrun, {size} bytes"
    rows = load(part, makers, req, size, "/v1/ask", ASK, {}, options)
    return rows + instructions(part, makers, req, "/v1/ask", ASK, options)


def makers_there(makers, maker):
    return makers if maker.nginx_path else {"chimera": makers["chimera"]}


# ---- instructions ----------------------------------------------------------------------------------------------------------


def perf_counts():
    """Does this machine count instructions? (Most virtual ones do not.)"""
    if not shutil.which("perf"):
        return False
    done = subprocess.run(["perf", "stat", "-x,", "-e", "instructions:u", "true"], capture_output=True, text=True, timeout=PATIENCE)
    return done.returncode == 0 and bool(re.search(r"^\d+,", done.stderr, re.M))


def by_perf(make, req, path, body, options):
    with make() as server:
        server.wait_ready(req)
        warm(server, req, 50)
        out = options.folder / "perf.txt"
        pids = ",".join(map(str, server.pids()))
        count = ["perf", "stat", "-x,", "-e", "instructions:u", "-p", pids, "-o", out, "--"]
        r = generate(server, req, path, body, 1, options, before=count)
        found = re.search(r"^(\d+),", out.read_text(), re.M)
        if not found:
            raise Broken(f"perf stat gives no count: {out.read_text()}")
        return int(found[1]) / r["requests"]


def callgrind_total(make, req, turns, options):
    out = options.folder / f"callgrind.{os.getpid()}.{time.monotonic_ns()}"
    with make(before=["valgrind", "--tool=callgrind", "-q", f"--callgrind-out-file={out}"]) as server:
        server.wait_ready(req)
        warm(server, req, turns)
    found = re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M)
    if not found:
        raise Broken(f"callgrind wrote no total into {out}")
    return int(found[1]), out


def by_callgrind(make, req, name, options):
    """The difference of a long and a short run leaves only the requests. `name`: of the profile that --keep keeps."""
    few, many = 20, 120
    short, _ = callgrind_total(make, req, few, options)
    long, out = callgrind_total(make, req, many, options)
    if options.keep:
        shutil.copy(out, options.keep / f"callgrind.{name}")
    return (long - short) / ((many - few) * CONNECTIONS)


def count(make, req, name, path, body, options):
    """Instructions per request in user space; None where they cannot be counted, or were not asked for."""
    if options.perf:
        return by_perf(make, req, path, body, options)
    return by_callgrind(make, req, name, options) if options.callgrind else None


def instructions(part, makers, req, path, body, options):
    counts = {name: count(make, req, f"{name}.ask" if body else name, path, body, options) for name, make in makers.items()}
    if counts["chimera"] is None:
        return []
    return [Row(part, "instructions per request, user", "", [counts["chimera"]], [counts["nginx"]] if "nginx" in counts else None)]


def quickstart(maker):
    """Its sections, or what the build has of them."""
    there = {name: rest for name, rest in QUICKSTART.items() if maker.has(name)}
    if "storage_sqlite" not in there:
        there.pop("records", None)
    return FULL + "".join(f"[{name}]\n{rest}" for name, rest in there.items())


# ---- memory ----------------------------------------------------------------------------------------------------------------


def idle_growth(server, req, n):
    """Resident bytes idle, and per connection when n of them, each of which has had an answer, do nothing."""
    server.wait_ready(req)
    Exchange(server.port, req).ask()
    idle = rss(server.pids())
    xs = []
    try:
        for _ in range(n):
            x = Exchange(server.port, req)
            if x.ask()[0] != 200:
                raise Broken(f"{server.name} refuses a connection of {n}")
            xs.append(x)
        full = rss(server.pids())
        for x in (xs[0], xs[n // 2], xs[-1]):  # they were kept, not dropped
            if x.ask()[0] != 200:
                raise Broken(f"{server.name} does not serve an idle connection any more")
    finally:
        for x in xs:
            x.close()
    return idle, (full - idle) / n, full


def idle_with_http_client(maker):
    if not maker.has("http_client"):
        return [Row("memory", "resident, idle, with http_client", "MiB", [], skipped=NO_HTTP_CLIENT)]
    resident = []
    for _ in range(2):
        with maker.chimera(quickstart(maker) + "[http_client]\n") as server:
            server.wait_ready(request("/health/live"))
            resident.append(rss(server.pids()) / (1 << 20))
    return [Row("memory", "resident, idle, with http_client", "MiB", resident, None, 14.0, True)]


def memory_part(maker, options):
    makers = makers_there({"chimera": lambda: maker.chimera(quickstart(maker)), "nginx": lambda: maker.nginx_200("x")}, maker)
    got = {"chimera": [], "nginx": []}
    for _ in range(2):
        for name, make in makers.items():
            with make() as server:
                got[name].append(idle_growth(server, request("/health/live"), options.idle))

    def row(i, what, unit, scale, budget):
        column = lambda name: [r[i] / scale for r in got[name]]
        return Row("memory", what, unit, column("chimera"), column("nginx") or None, budget, True)

    n = f"{options.idle:,}"
    return [row(0, "resident, idle", "MiB", 1 << 20, 8.0), row(2, f"resident, {n} idle connections", "MiB", 1 << 20, None),
            row(1, f"user space per connection of {n}", "B", 1, 512.0), *idle_with_http_client(maker)]


# ---- start -----------------------------------------------------------------------------------------------------------------


def start_part(maker, options):
    outer, inner = {"chimera": [], "nginx": []}, []
    makers = {"chimera": lambda: maker.chimera(quickstart(maker), cpus=None), "nginx": lambda: maker.nginx_200("x", cpus=None)}
    makers = makers_there(makers, maker)
    for _ in range(options.starts):
        for name, make in makers.items():
            with make() as server:
                outer[name].append(server.wait_ready(request("/ready")) * 1e3)
            if name == "chimera":
                inner.append(float(server.ready_line().get("startup_s", "nan")) * 1e3)
    return [Row("start", "exec to first 200", "ms", outer["chimera"], outer["nginx"] or None, 50.0, True),
            Row("start", "startup_s of the ready line", "ms", inner)]


# ---- /metrics --------------------------------------------------------------------------------------------------------------


def metrics_part(maker, options):
    wall, cpu = [], []
    with maker.chimera(f"[prometheus]\n[b_static]\nseries = {SERIES}\n") as server:
        req = request("/metrics")
        server.wait_ready(req)
        x = Exchange(server.port, req)
        for i in range(options.pages + 1):
            before, began = cpu_seconds(server.pids()), time.monotonic()
            status, _, page = x.ask()
            took, used = time.monotonic() - began, cpu_seconds(server.pids()) - before
            made, lines = page.count(b"\nbench_series_total{"), sum(not x.startswith(b"#") for x in page.splitlines())
            if status != 200 or made != SERIES or lines < 10000:
                raise Broken(f"/metrics answers {status} with {made} of {SERIES} series in {lines} lines")
            if i:  # the first one warms up
                wall.append(took * 1e3)
                cpu.append(used * 1e3)
        x.close()
    part = f"/metrics, {lines:,} samples, {len(page) / 1e6:.2f} MB"
    return [Row(part, "request to last byte", "ms", wall, None, 10.0, True), Row(part, "CPU per page, sending included", "ms", cpu)]
