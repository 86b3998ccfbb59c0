# SPDX-License-Identifier: Apache-2.0
"""/v1/chat/completions through the gateway, beside nginx's proxy_pass to the same upstream: its bare plugins, and the whole chain."""

import dataclasses

from costs import in_turn
from guard import AUTH, KEY, LIMITS
from measure import NO_HTTP_CLIENT, Row, calm_rounds, count, under_load
from profiles import profile, profile_rows
from proxy import ANSWER, question, relayed, sized_answer, upstream_of
from servers import SOURCE, request

PATH = "/v1/chat/completions"
REQUEST = 468  # bytes, the head included
WATCHED = "[trace]\n[health]\n[prometheus]\n"
GUARDED = f"{WATCHED}[kv_memory]\n{AUTH}[ratelimit]\n{LIMITS.format(tier='api_key')}"
# The journal has room for all rows of a round, however little of the CPU the writer of SQLite gets.
KEPT = f"{GUARDED}[storage_sqlite]\nmigrations = {SOURCE / 'migrations'}\n[records]\nmax_bytes = 4g\n"


@dataclasses.dataclass
class Scene:
    """What is compared. Of the kinds the first one is judged."""

    name: str
    kinds: dict       # {kind: (what a row calls it, its sections)}
    plugins: tuple    # that it needs
    headers: tuple = ()
    p99: float = None  # the budget of its ratio

    def missing(self, maker):
        """Why it cannot be measured, or None."""
        if not maker.has("http_client"):
            return NO_HTTP_CLIENT
        missing = [p for p in ("openai", "router", "api_openai", *self.plugins) if not maker.has(p)]
        return f"the build has no {', '.join(missing)}" if missing else None

    def request(self):
        """(request, its body): REQUEST bytes."""
        n, asked = 100, lambda n: request(PATH, question(n), self.headers)
        n += REQUEST - len(asked(n))
        return asked(n), question(n)

    def server(self, maker, kind, port, **how):
        if kind == "nginx":
            return maker.nginx_proxy(port, **how)
        return maker.chimera(f"{self.kinds[kind][1]}[http_client]\n[openai]\nbase_url = http://127.0.0.1:{port}/v1\napi_key = bench\n"
                             "models = bench-*\n[router]\n[api_openai]\n", **how)


CHAT = Scene("chat", {"chain": ("trace, health, metrics on", WATCHED), "bare": ("api_openai, router, openai alone", "")}, (), p99=1.0)
CHAIN = Scene("chain", {"full": ("all of it", KEPT), "unkept": ("without records", GUARDED)},
              ("kv_memory", "auth", "ratelimit", "records", "storage_sqlite"), (f"Authorization: Bearer {KEY}",))


def compare(scene, part, maker, options):
    """Rows of CPU and clock, and the rounds they are made of."""
    text, (req, body) = sized_answer(maker), scene.request()
    want = text.encode()

    def measure(kind):
        with upstream_of(maker, text, None, options) as upstream, scene.server(maker, kind, upstream.port) as server:
            size = relayed(server, req, want)
            return under_load(server, req, PATH, body, size, options, options.short, options.turns, want)

    got, first = in_turn([*scene.kinds, "nginx"], options.many, measure), next(iter(scene.kinds))
    rows = [Row(part, f"CPU per request, {name}", "us", *([r["cpu"] for r in got[k]] for k in (kind, "nginx")),
                1.0 if kind == first else None) for kind, (name, _) in scene.kinds.items()]
    every, calm, note = calm_rounds([got[first], got["nginx"]])
    pair = lambda key, rounds: [[got[kind][i][key] for i in rounds] for kind in (first, "nginx")]
    rows += [Row(part, f"latency p50{note}", "us", *pair("p50", calm or every)),
             Row(part, f"latency p99{note}", "us", *pair("p99", calm or every), scene.p99 if len(calm) > 1 else None),
             Row(part, "CPU in use", "%", *pair("busy", every))]
    return rows + counts(scene, part, maker, text, options), got


def counts(scene, part, maker, text, options):
    got, (req, body), first = {}, scene.request(), next(iter(scene.kinds))
    with upstream_of(maker, text, None, options) as upstream:
        for kind in (first, "nginx"):
            got[kind] = count(lambda kind=kind, **how: scene.server(maker, kind, upstream.port, **how), req, f"{scene.name}-{kind}", PATH,
                              body, options)
    return [Row(part, "instructions per request, user", "", [got[first]], [got["nginx"]])] if got[first] else []


def chat_part(maker, options):
    missing = CHAT.missing(maker)
    if missing:
        return [Row("chat", "CPU per request", "us", [], skipped=missing)]
    return compare(CHAT, f"{PATH}, a request of {REQUEST} bytes, an answer of {ANSWER} from a zero-delay upstream", maker, options)[0]


def chain_part(maker, options):
    missing = CHAIN.missing(maker)
    if missing:
        return [Row("chain", "CPU per request", "us", [], skipped=missing)]
    part = f"{PATH} through trace, auth, ratelimit, metrics and records, a request of {REQUEST} bytes, an answer of {ANSWER}"
    rows, got = compare(CHAIN, part, maker, options)
    rows.insert(1, Row(part, "CPU per request, less shipping to SQLite", "us", [r["worker"] for r in got["full"]],
                       [r["cpu"] for r in got["nginx"]]))
    return rows + profiles(maker, options)


def profiles(maker, options):
    """Where the time of the whole chain goes, and nginx's."""
    text, (req, body) = sized_answer(maker), CHAIN.request()
    got = {}
    for kind in ("full", "nginx"):
        with upstream_of(maker, text, None, options) as upstream, CHAIN.server(maker, kind, upstream.port) as server:
            relayed(server, req, text.encode())
            got[kind] = profile(server, req, PATH, body, options)
            if isinstance(got[kind], str):
                return [Row("the same, where its time goes", "CPU per request", "us", [], skipped=got[kind])]
    return profile_rows(got["full"], got["nginx"])
