# SPDX-License-Identifier: Apache-2.0
"""A chat request sent on to another server: by http/1, by nginx's proxy_pass and by libcurl's transfers, side by side."""

import contextlib
import json
import shutil
import subprocess

from costs import in_turn
from measure import NO_HTTP_CLIENT, Row, calm_rounds, count, one_answer, under_load
from servers import PATIENCE, Authority, Broken, Exchange, request

REQUEST, ANSWER = 468, 382  # bytes of a short chat, heads included; the answer as it comes from the upstream
WORDS = "Why is the sea salt, and have the rivers a part in it? " * 10
PATHS = {"whole": "/whole", "parts": "/parts", "curl": "/multi", "nginx": "/whole"}  # of one length: each sends the same bytes
NAMES = {"whole": "http/1, whole body", "parts": "http/1, piece by piece", "curl": "libcurl's transfers"}
BUDGETS = {"whole": 1.0, "parts": 1.0, "curl": None}


# ---- what is asked and answered --------------------------------------------------------------------------------------------


def question(n):
    text = {"model": "bench-small", "max_tokens": 64, "messages": [{"role": "system", "content": "Answer in one sentence."},
                                                                    {"role": "user", "content": WORDS[:n]}]}
    return json.dumps(text)


def chat():
    """A body with which a request to any of the paths has REQUEST bytes."""
    n = 100
    return question(n + REQUEST - len(request("/whole", question(n))))


def answer(n):
    return json.dumps({"id": "chat-1", "object": "chat.completion", "choices": [
        {"index": 0, "message": {"role": "assistant", "content": ("salt" * 100)[:n]}, "finish_reason": "stop"}]})


def sized_answer(maker):
    """A body with which the upstream's answer has ANSWER bytes."""
    n = 100
    with maker.upstream(answer(n)) as server:
        return answer(n + ANSWER - sum(one_answer(server, request("/"))))


# ---- servers ---------------------------------------------------------------------------------------------------------------


def curl_flags():
    if not shutil.which("pkg-config"):
        return None
    done = subprocess.run(["pkg-config", "--cflags", "--libs", "libcurl"], capture_output=True, text=True, timeout=PATIENCE)
    return done.stdout.split() if done.returncode == 0 else None


def there(maker):
    """Compiles the plugins. Gives the kinds of proxy that can be measured, and why the others cannot: {kind: reason}."""
    missing = {}
    if maker.has("http_client"):
        maker.plugin("b_proxy")
    else:
        missing = {"whole": NO_HTTP_CLIENT, "parts": NO_HTTP_CLIENT}
    flags = curl_flags()
    if flags:
        maker.plugin("b_curl", libs=flags)
    else:
        missing["curl"] = "pkg-config finds no libcurl: apt-get install pkg-config libcurl4-openssl-dev"
    return [kind for kind in PATHS if kind not in missing], missing


def proxy(maker, kind, upstream, tls, **how):
    url = f"url = {'https' if tls else 'http'}://127.0.0.1:{upstream.port}/whole\n"
    ca = f"ca_file = {tls.ca}\n" if tls else ""
    if kind == "nginx":
        return maker.nginx_proxy(upstream.port, tls, **how)
    if kind == "curl":
        return maker.chimera(f"[b_curl]\n{url}{ca}", **how)
    return maker.chimera(f"[http_client]\n{ca}[b_proxy]\n{url}", **how)


@contextlib.contextmanager
def upstream_of(maker, body, tls, options):
    """On the load's CPUs: the proxy has its own for itself."""
    with maker.upstream(body, tls, cpus=options.load_cpus) as upstream:
        upstream.wait_listening()
        try:
            yield upstream
        except Broken as e:
            raise Broken(f"{e}; the upstream: {upstream.account()}") from None


def relayed(server, req, want):
    """Bytes of a proxy's answer, which must be the upstream's: status, media type, body."""
    server.wait_ready(req)
    x = Exchange(server.port, req)
    status, head, body = x.ask()
    x.close()
    if status != 200 or body != want or b"\r\ncontent-type: application/json\r\n" not in head.lower():
        raise Broken(f"{server.name} relays {status}: {head!r} {body[:300]!r}")
    return len(head) + len(body)


# ---- the part --------------------------------------------------------------------------------------------------------------


def scheme(maker, tls, kinds, missing, options):
    text, body = sized_answer(maker), chat()
    want = text.encode()
    part = f"{'https' if tls else 'http'} upstream, a request of {REQUEST} bytes, an answer of {ANSWER}"

    def measure(kind):
        req = request(PATHS[kind], body)
        with upstream_of(maker, text, tls, options) as upstream, proxy(maker, kind, upstream, tls) as server:
            size = relayed(server, req, want)
            return under_load(server, req, PATHS[kind], body, size, options, options.short, options.turns, want)

    got = in_turn(kinds, options.many, measure)
    rows = [cpu_row(part, kind, got, missing) for kind in NAMES]
    return rows + clock_rows(part, got) + counts(maker, text, body, tls, kinds, part, options)


def cpu_row(part, kind, got, missing):
    what = f"CPU per request, {NAMES[kind]}"
    if kind in missing:
        return Row(part, what, "us", [], skipped=missing[kind])
    return Row(part, what, "us", *([r["cpu"] for r in got[k]] for k in (kind, "nginx")), BUDGETS[kind])


def clock_rows(part, got):
    """What CPU time does not tell, of the one kind that nginx is most like: both have the whole answer before they send it on."""
    if "whole" not in got:
        return []
    every, calm, note = calm_rounds([got["whole"], got["nginx"]])
    pair = lambda key, rounds: [[got[kind][i][key] for i in rounds] for kind in ("whole", "nginx")]
    return [Row(part, f"latency p50, http/1{note}", "us", *pair("p50", calm or every)),
            Row(part, f"latency p99, http/1{note}", "us", *pair("p99", calm or every)),
            Row(part, "CPU in use, http/1", "%", *pair("busy", every))]


def counts(maker, text, body, tls, kinds, part, options):
    got = {}
    with upstream_of(maker, text, tls, options) as upstream:
        for kind in kinds:
            make = lambda kind=kind, **how: proxy(maker, kind, upstream, tls, **how)
            name = f"proxy-{kind}{'.tls' if tls else ''}"
            got[kind] = count(make, request(PATHS[kind], body), name, PATHS[kind], body, options)
    return [Row(part, f"instructions, {name}", "", [got[kind]], [got["nginx"]]) for kind, name in NAMES.items() if got.get(kind)]


def http_part(maker, options):
    kinds, missing = there(maker)
    rows = scheme(maker, None, kinds, missing, options)
    if not shutil.which("openssl"):
        return rows + [Row("https upstream", "CPU per request", "us", [], skipped="openssl is not installed: apt-get install openssl")]
    return rows + scheme(maker, Authority(maker.folder), kinds, missing, options)
