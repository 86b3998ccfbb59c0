# SPDX-License-Identifier: Apache-2.0
"""API keys of the config and of a file, with a real daemon and clients that do what they should not. FAULTS.md rows A1, A3, A4, A6."""
import os
import re
import stat
import subprocess
import threading
import time

import pytest
from ctl import control_path, run_chimeractl

import canary
import chimera as kit

KEY = canary.of("api-key")
BEARER = [("Authorization", f"Bearer {KEY}")]
ROUTE = "/ctx/facts"
INVALID = 'Bearer realm="chimera", error="invalid_token"'


@pytest.fixture
def serve(chimera):
    def start(more=None, **options):
        return chimera({"auth": {"anonymous": "no", "api_key": KEY, **options}, "t_loop": {}, **(more or {})})
    return start


def ask(c, *headers, target=ROUTE):
    return c.request("GET", target, headers=list(headers))


def raw(c, lines):
    """The status of a request whose lines go out as they are."""
    with c.connect() as conn:
        conn.send(b"GET " + ROUTE.encode() + b" HTTP/1.1\r\nHost: x\r\n" + lines + b"Connection: close\r\n\r\n")
        return conn.response().status


# ---- what is shown


def test_the_three_headers_and_none(serve):
    c = serve()
    assert ask(c, *BEARER).status == 200
    assert ask(c, ("X-Api-Key", KEY)).status == 200
    assert ask(c, ("api-key", KEY)).status == 200
    r = ask(c)
    r.problem(401, "unauthorized")
    assert r.header("WWW-Authenticate") == 'Bearer realm="chimera"'


def test_a1_every_wrong_key_gets_the_same_answer(serve, keys):
    keys.put(keys.section("e", "expired-key", expires="2020-01-01"), keys.section("d", "disabled-key", disabled="yes"))
    c = serve(keys_file=keys.path, failures="unlimited")
    wrong = ["unknown", "", "expired-key", "disabled-key", KEY[:-1], KEY + "x", KEY.upper(), "x" * 10240, "é", "a b", "\t"]
    answers = set()
    for key in wrong:
        for header in (("Authorization", f"Bearer {key}"), ("x-api-key", key)):
            with c.connect() as conn:
                r = conn.ask("GET", ROUTE, None, [(header[0], header[1].encode().decode("latin-1"))])
            assert r.status == 401, (header[0], key[:20])
            answers.add((r.body, r.header("WWW-Authenticate"), tuple(sorted(n for n, _ in r.fields))))
    assert len(answers) == 1
    assert answers.pop()[1] == INVALID
    for value in ("Basic dTpw", "Negotiate x", f"Bearer{KEY}", KEY, "bearer"):
        assert ask(c, ("Authorization", value)).status == 401


def test_a3_a_key_in_the_address_or_two_keys_are_400(serve):
    c = serve({"log": {"access": "all", "level": "debug"}})
    for query in (f"api_key={KEY}", f"a=1&key={KEY}", f"access_token={KEY}", f"x%2dapi-key={KEY}"):
        r = ask(c, *BEARER, target=f"{ROUTE}?{query}")
        assert r.status == 400 and KEY.encode() not in r.body
    assert ask(c, *BEARER, ("x-api-key", "other")).status == 400
    assert ask(c, *BEARER, ("x-api-key", KEY)).status == 200
    assert ask(c, *BEARER, *BEARER).status == 400
    assert ask(c, ("x-api-key", KEY), ("X-API-KEY", KEY)).status == 400
    assert KEY not in c.stderr()


def test_bytes_that_no_header_may_have_are_400(serve):
    c = serve()
    for value in (b"a\rb", b"a\nb", b"a\0b", b"\x1b[31m", b"a\r\n x"):
        assert raw(c, b"x-api-key: " + value + b"\r\n") == 400
    assert raw(c, b"x-api-key: " + KEY.encode() + b"\r\n") == 200
    assert raw(c, b"x-api-key : " + KEY.encode() + b"\r\n") == 400


def test_a_key_writes_no_header_log_line_or_label_of_its_own(serve):
    c = serve({"log": {"access": "all", "level": "debug"}})
    for key in ('x"} 1\\nfoo{a="', "%0d%0aSet-Cookie: a=b", "${jndi:x}", '","lvl":"error","msg":"canary'):
        r = ask(c, ("x-api-key", key))
        assert r.status == 401 and r.header("Set-Cookie") is None
        assert key.encode() not in r.body and key not in c.stderr()
    assert {tuple(sorted(have.items())) for name, have, _ in c.metrics() if name == "chimera_auth_requests_total"} <= {
        (("method", m), ("outcome", o)) for m in ("none", "key", "jwt")
        for o in ("ok", "unknown", "disabled", "expired", "anonymous", "missing", "malformed", "forbidden", "limited", "unavailable")}


def test_curl_and_a_key_from_the_environment(plugins, tmp_path):
    for name in ("CHIMERA__AUTH__API_KEY", "BANTER_API_KEY"):
        with kit.Chimera(tmp_path / name[:3], plugins, {"auth": {"anonymous": "no"}, "t_loop": {}}, env={name: KEY}) as other:
            assert ask(other, *BEARER).status == 200
            assert ("BANTER_API_KEY" in other.stderr()) == (name == "BANTER_API_KEY")  # deprecated: said once
            port = other.address("public")[1]
            out = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {KEY}",
                                  f"http://127.0.0.1:{port}{ROUTE}"], capture_output=True, text=True, check=True).stdout
            assert out == "200"


# ---- classes and tiers


def test_open_and_ops_routes_want_no_key(serve):
    c = serve()
    assert c.get("/health", headers=[("x-api-key", "wrong")]).status == 200
    assert c.get("/metrics", kind="status").status == 200
    assert c.get("/metrics", headers=[("X-Forwarded-For", "192.0.2.1")]).status == 403
    assert c.get("/metrics", kind="status", headers=[("x-api-key", "wrong")]).status == 401


def test_an_admin_key_opens_what_is_for_admins(serve, keys):
    keys.put(keys.section("boss", "boss-key", role="admin"), keys.section("user", "user-key"))
    c = serve(keys_file=keys.path)
    forwarded = ("X-Forwarded-For", "192.0.2.1")
    assert ask(c, forwarded, ("x-api-key", "user-key"), target="/metrics").status == 403
    assert ask(c, forwarded, ("x-api-key", "boss-key"), target="/metrics").status == 200


def test_models_and_backends_of_a_key(chimera, keys):
    key = {"a": "key-of-a", "b": "key-of-b"}
    keys.put(keys.section("a", key["a"], models="dry*"), keys.section("b", key["b"], models="gpt-*"))
    c = chimera({"auth": {"anonymous": "no", "keys_file": keys.path}, "dryrun": {}, "router": {"default": "dryrun"}, "api_openai": {},
                 "ask": {}})
    body = b'{"model":"dryrun","messages":[{"role":"user","content":"hi"}]}'
    js = ("Content-Type", "application/json")

    def post(who, target, data):
        return c.request("POST", target, data, headers=[js, ("x-api-key", key[who])])

    assert post("a", "/v1/chat/completions", body).status == 200
    r = post("b", "/v1/chat/completions", body)
    assert r.status == 403 and r.json()["error"]["param"] == "model" and r.json()["code"] == "forbidden"
    assert post("b", "/v1/chat/completions", body.replace(b"dryrun", b"nothing")).status == 403
    assert post("a", "/v1/ask", b'{"prompt":"hi"}').status == 200
    assert post("b", "/v1/ask", b'{"prompt":"hi"}').status == 403
    lists = {who: [m["id"] for m in c.get("/v1/models", headers=[("x-api-key", key[who])]).json()["data"]] for who in key}
    assert lists == {"a": ["dryrun"], "b": []}
    assert c.get("/v1/models/dryrun", headers=[("x-api-key", key["b"])]).status == 404


# ---- failed attempts


def test_a4_who_tries_many_keys_is_429_and_a_known_key_passes(serve):
    c = serve(failures="1/h", failures_burst="10")
    codes = [ask(c, ("x-api-key", f"guess-{i}")).status for i in range(100)]
    assert codes == [401] * 10 + [429] * 90
    r = ask(c, ("x-api-key", "guess"))
    r.problem(429, "rate_limited")
    assert int(r.header("Retry-After")) >= 1
    assert ask(c, *BEARER).status == 200
    assert c.metric("chimera_auth_requests_total", method="key", outcome="limited") == 91


# ---- the file


def test_a6_a_revoked_key_ends_within_a_second_and_what_runs_goes_on(serve, keys):
    keys.put(keys.section("a", "key-a"))
    c = serve(keys_file=keys.path)
    with c.connect() as slow:
        slow.send(b"GET /ctx/deadline?ms=5000 HTTP/1.1\r\nHost: x\r\nx-api-key: key-a\r\n\r\n")
        c.wait_metric("http_requests_in_progress", 2)  # it, and the one that asks
        took = []
        for _ in range(5):  # the machine may be busy otherwise
            kit.wait_for(lambda: ask(c, ("x-api-key", "key-a")).status == 200, "the key to be good")
            began = time.monotonic()
            keys.put(keys.section("a", "key-a", disabled="yes"))
            kit.wait_for(lambda: ask(c, ("x-api-key", "key-a")).status == 401, "the key to be revoked")
            took.append(time.monotonic() - began)
            if took[-1] < 1:
                break
            keys.put(keys.section("a", "key-a"))
        assert min(took) < 1 or kit.SANITIZERS, took
        assert slow.response().status == 200


def test_a_wrong_file_keeps_the_old_keys_and_a_mended_one_counts(serve, keys):
    keys.put(keys.section("a", "key-a"))
    c = serve(keys_file=keys.path)
    keys.put("[a]\nhash = sha256:12\ntier = premum\n")
    c.wait_metric("chimera_auth_keys_file_errors_total", 1)
    kit.wait_for(lambda: "keys.ini:2: [a] hash must be sha256: and 64" in c.stderr() and "did you mean premium?" in c.stderr(), c.stderr)
    assert ask(c, ("x-api-key", "key-a")).status == 200
    kit.wait_for(lambda: "keys_file" in c.get("/ready?verbose", kind="status").text, "it to be told as degraded")
    keys.put(keys.section("a", "key-b"))
    kit.wait_for(lambda: ask(c, ("x-api-key", "key-b")).status == 200, "the mended file")
    assert ask(c, ("x-api-key", "key-a")).status == 401


def test_no_request_fails_while_the_file_changes_all_the_time(serve, keys):
    keys.put(keys.section("a", "key-a"))
    c = serve(keys_file=keys.path, failures="unlimited")
    over, bad = threading.Event(), []

    def hammer():
        with c.connect() as conn:
            while not over.is_set():
                r = conn.ask("GET", ROUTE, None, [("x-api-key", "key-a")])
                if r.status != 200:
                    bad.append(r.status)

    threads = [threading.Thread(target=hammer) for _ in range(4)]
    for t in threads:
        t.start()
    try:
        for i in range(6):
            count = 2 + i
            keys.put(keys.section("a", "key-a"), *(keys.section(f"n{i}-{k}", f"other-{i}-{k}") for k in range(i)))
            kit.wait_for(lambda n=count: c.metric("chimera_auth_keys") == n, "the file to be read")
    finally:
        over.set()
        for t in threads:
            t.join()
    assert not bad


def test_the_start_is_refused_for_a_wrong_file(chimera, keys):
    keys.put("[a]\nhash = 1\n\n[b\n")
    c = chimera({"auth": {"keys_file": keys.path}, "t_loop": {}}, wait=False)
    assert c.wait_exit() == 78
    assert re.search(r"chimera\.ini:\d+: .*keys_file.*keys\.ini:2: \[a\] hash must be", c.stderr()), c.stderr()
    assert "keys.ini:4: a section is written [name]: the ] is missing" in c.stderr()


# ---- commands


def ctl(c, *words, code=0):
    r = run_chimeractl("--socket", control_path(c), *words)
    assert r.returncode == code, (words, r.stdout, r.stderr)
    return r.stdout if not code else r.stderr


def key_of(text):
    return canary.add(re.search(r"^key +(\S+)$", text, re.M)[1]), re.search(r"^id +(\S+)$", text, re.M)[1]


def test_a_key_of_a_running_server_is_made_rotated_and_revoked(serve, keys):
    c = serve(keys_file=keys.path)
    key, name = key_of(ctl(c, "keys", "create", "ann", "tier=premium", "expires=30d"))
    assert re.fullmatch(r"ck_[A-Za-z0-9_-]{43}", key) and name.startswith("key_")
    assert stat.S_IMODE(os.stat(keys.path).st_mode) & 0o733 == 0o600 and key not in keys.text()
    assert ask(c, ("x-api-key", key)).status == 200  # who has the answer can use it at once
    assert re.search(rf"^{name} +ck_.{{4}} +ann +premium", ctl(c, "keys", "list"), re.M)
    other, _ = key_of(ctl(c, "keys", "rotate", name))
    assert ask(c, ("x-api-key", other)).status == 200
    assert ask(c, ("x-api-key", key)).status == 401
    ctl(c, "keys", "revoke", name)
    assert ask(c, ("x-api-key", other)).status == 401
    assert "still disabled" in ctl(c, "keys", "rotate", name)
    assert "did you mean revoke" in ctl(c, "keys", "revok", name, code=1)
    assert key not in c.stderr() and other not in c.stderr()


def test_help_and_mistakes_make_no_key(serve, keys):
    c = serve(keys_file=keys.path)
    assert "create OWNER" in ctl(c, "keys", "create", "--help")
    assert "begins with -" in ctl(c, "keys", "create", "-x", code=1)
    assert "models is empty" in ctl(c, "keys", "create", "ann", "models=", code=1)
    assert "there are requests, burst" in ctl(c, "keys", "create", "ann", "limits=reqests=1/min", code=1)
    assert not os.path.exists(keys.path) or not keys.text()


def test_a_key_is_made_without_a_server(serve, keys, chimera):
    c = chimera({"auth": {"anonymous": "no", "keys_file": keys.path}, "t_loop": {}})
    config = c.path
    c.stop()
    r = run_chimeractl("-c", config, "--offline", "keys", "create", "ann", "name=ann-1")
    assert r.returncode == 0, r.stderr
    key, name = key_of(r.stdout)
    assert name == "ann-1" and "[ann-1]\n" in keys.text()
    c.start()
    assert ask(c, ("x-api-key", key)).status == 200
    c.stop()


def test_many_at_once_lose_no_key(serve, keys):
    c = serve(keys_file=keys.path)
    ids = []

    def make(i):
        ids.append(key_of(ctl(c, "keys", "create", f"o{i}"))[1])

    threads = [threading.Thread(target=make, args=(i,)) for i in range(8)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert len(ids) == 8 and all(f"[{i}]" in keys.text() for i in ids)


# ---- protected mode


@pytest.mark.parametrize("options, refused", [(None, True), ({"anonymous": "yes"}, True), ({"anonymous": "no"}, False), ({}, False)])
def test_in_production_the_world_needs_keys(chimera, tmp_path, options, refused):
    sections = {"server": {"profile": "prod", "listen": "0.0.0.0:0", "control": str(tmp_path / "ctl"), "drain_delay": "0s"}, "t_loop": {}}
    if options is not None:
        sections["auth"] = options
    c = chimera(sections, wait=False)
    if refused:
        assert c.wait_exit() == 78
        assert "anonymous" in c.stderr() or "no [auth] section" in c.stderr()
    else:
        c.wait_ready()
        assert ask(c).status == 401
