# SPDX-License-Identifier: Apache-2.0
"""/v1/chat/completions through the whole chain, beside nginx's proxy_pass to the same upstream."""

from costs import in_turn
from measure import NO_HTTP_CLIENT, Row, calm_rounds, count, under_load
from proxy import ANSWER, question, relayed, sized_answer, upstream_of
from servers import request

PATH = "/v1/chat/completions"
REQUEST = 468  # bytes, the head included
NAMES = {"chain": "trace, health, metrics on", "bare": "api_openai, router, openai alone"}


def needs(maker):
    """Why the part cannot be measured, or None."""
    if not maker.has("http_client"):
        return NO_HTTP_CLIENT
    missing = [p for p in ("openai", "router", "api_openai") if not maker.has(p)]
    return f"the build has no {', '.join(missing)}" if missing else None


def gateway(maker, port, kind="chain", **how):
    more = "[trace]\n[health]\n[prometheus]\n" if kind == "chain" else ""
    return maker.chimera(f"{more}[http_client]\n[openai]\nbase_url = http://127.0.0.1:{port}/v1\napi_key = bench\nmodels = bench-*\n"
                         "[router]\n[api_openai]\n", **how)


def chat():
    n = 100
    return question(n + REQUEST - len(request(PATH, question(n))))


def make(maker, kind, port, **how):
    return maker.nginx_proxy(port, **how) if kind == "nginx" else gateway(maker, port, kind, **how)


def chat_part(maker, options):
    missing = needs(maker)
    if missing:
        return [Row("chat", "CPU per request", "us", [], skipped=missing)]
    text, body = sized_answer(maker), chat()
    req, want = request(PATH, body), text.encode()
    part = f"{PATH}, a request of {REQUEST} bytes, an answer of {ANSWER} from a zero-delay upstream"
    kinds = ["chain", "bare", "nginx"]

    def measure(kind):
        with upstream_of(maker, text, None, options) as upstream, make(maker, kind, upstream.port) as server:
            size = relayed(server, req, want)
            return under_load(server, req, PATH, body, size, options, options.short, options.turns, want)

    got = in_turn(kinds, options.many, measure)
    rows = [Row(part, f"CPU per request, {NAMES[kind]}", "us", *([r["cpu"] for r in got[k]] for k in (kind, "nginx")),
                1.0 if kind == "chain" else None) for kind in NAMES]
    every, calm, note = calm_rounds([got["chain"], got["nginx"]])
    pair = lambda key, rounds: [[got[kind][i][key] for i in rounds] for kind in ("chain", "nginx")]
    rows += [Row(part, f"latency p50{note}", "us", *pair("p50", calm or every)),
             Row(part, f"latency p99{note}", "us", *pair("p99", calm or every), 1.0 if len(calm) > 1 else None),
             Row(part, "CPU in use", "%", *pair("busy", every))]
    return rows + counts(maker, text, body, part, options)


def counts(maker, text, body, part, options):
    got = {}
    with upstream_of(maker, text, None, options) as upstream:
        for kind in ("chain", "nginx"):
            got[kind] = count(lambda kind=kind, **how: make(maker, kind, upstream.port, **how), request(PATH, body), f"chat-{kind}", PATH,
                              body, options)
    return [Row(part, "instructions per request, user", "", [got["chain"]], [got["nginx"]])] if got["chain"] else []
