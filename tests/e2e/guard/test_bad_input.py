# SPDX-License-Identifier: Apache-2.0
"""What a client may send in the fields that the guard reads: keys, Idempotency-Key, forwarding headers, models. None of it makes a line of
the log, a sample of the metrics or a field of an answer; none of it is somebody else's identity."""
import json
import re
import shutil
import subprocess
import time

import chimera as kit
import pytest
import swarm
from guarding import JSON, Keys, ask, bearer, chat, need, sections, tally

CANARY = "c4n4ry"
SLACK_S = 1  # what a busy machine may add to a second
# Each is sent as it stands; what a field may not hold at all (CR, LF, NUL) is below.
HOSTILE = {
    "json": '"} {"level":"error","msg":"' + CANARY + '"}',
    "escapes": "\\n\\r\\u000a" + CANARY + "\\",
    "terminal": CANARY + "\t\x1b[31m".replace("\x1b", "\\x1b"),
    "percent": "%0d%0aX-Injected:%20" + CANARY + "%00",
    "metric": CANARY + '"} 1 chimera_up{x="',
    "format": "%s%n%1000000d" + CANARY,
    "latin-1": CANARY + "\xe9\xff\x85\xa0",
    "utf-8": (CANARY + "\u2028\u202e漢").encode().decode("latin-1"),
    "html": "<script>" + CANARY + "</script>",
    "redis": CANARY + "*3 $3 SET {a}:b 1 EVAL 'return 1' 0",
    "path": "../../" + CANARY + "/etc/passwd",
    "long": CANARY + "a" * 10000,
    "commas": ",".join([CANARY] * 500),
    "blanks": "  " + CANARY + "  x  ",
}
FIELDS = {
    "bearer": lambda v: [("Authorization", "Bearer " + v)],
    "basic": lambda v: [("Authorization", "Basic " + v)],
    "scheme": lambda v: [("Authorization", v)],
    "x-api-key": lambda v: [("x-api-key", v)],
    "api-key": lambda v: [("api-key", v)],
    "idempotency": lambda v: [("Idempotency-Key", v)],
    "quoted": lambda v: [("Idempotency-Key", '"' + v + '"')],
    "forwarded-for": lambda v: [("X-Forwarded-For", v)],
    "forwarded": lambda v: [("Forwarded", "for=" + v)],
    "real-ip": lambda v: [("X-Real-IP", v)],
    "proto": lambda v: [("X-Forwarded-Proto", v), ("X-Forwarded-Host", v)],
}


@pytest.fixture(scope="module", params=["memory", "redis"])
def guard(request, plugins, tmp_path_factory, redis_of_session):
    """A daemon whose one good key is guard.secret; guard.read: how much of its log was looked at."""
    folder = tmp_path_factory.mktemp("guard")
    keys = Keys(folder, kit.seeded())
    secret = keys.add("key", owner="team-a")
    more = {"redis": redis_of_session, "kv_redis": {"timeout": "10s"}} if request.param == "redis" else {}
    # All attempts come from one address here; that they are limited is another test's.
    config = sections(keys, auth={"failures": "unlimited"}, log={"level": "debug", "access": "all"}, **more)
    need(plugins, config)
    with kit.Chimera(folder, plugins, config) as c:
        c.secret = secret
        yield c


def judge_log(c):
    """Each line is one object of the log's own, and no part of a line began another."""
    for line in c.log:
        assert "text" not in line, line["text"][:400]
        assert isinstance(line["msg"], str) and not line["msg"].startswith(CANARY), line
    raw = c.stderr()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", raw)
    return raw


def judge_metrics(c):
    text = c.get("/metrics", kind="status").text
    kit.parse_metrics(text)
    assert CANARY not in text
    if shutil.which("promtool"):
        words = ["promtool", "check", "metrics"]
        done = subprocess.run(words, input=text, capture_output=True, text=True, timeout=kit.DEADLINE, check=False)
        # A name that deployments know already has milliseconds.
        said = [line for line in (done.stdout + done.stderr).splitlines() if line and not line.startswith("ask_latency_ms ")]
        assert said == [] and done.returncode in (0, 3), said
    try:
        from prometheus_client.parser import text_string_to_metric_families
    except ImportError:
        return
    assert len(list(text_string_to_metric_families(text))) > 50


@pytest.mark.parametrize("field", FIELDS)
def test_p11_h28_no_field_of_the_guard_injects_anything(guard, field):
    """Both with a good key beside it and without one."""
    for name, value in HOSTILE.items():
        for known in (True, False):
            extra = FIELDS[field](value)
            if known and extra[0][0] == "Authorization":
                continue
            with guard.connect() as conn:  # whose reader takes no malformed field
                conn.send(ask(guard.secret if known else None, headers=extra))
                r = conn.response()
            assert r.status in (200, 400, 401, 422, 431), (name, r)
            assert known or r.status != 200, (name, r)
            assert r.header("X-Injected") is None and not any(CANARY in n + v for n, v in r.fields), (name, r.fields)
            if r.status != 200:
                assert r.json()["status"] == r.status and CANARY not in r.text, (name, r.text)
    raw = judge_log(guard)
    judge_metrics(guard)
    # A key is a secret also when it opens nothing; addresses and keys of idempotency are the client's own affair.
    if field in ("bearer", "basic", "scheme", "x-api-key", "api-key"):
        assert CANARY not in raw, next(line for line in raw.splitlines() if CANARY in line)[:600]


@pytest.mark.parametrize("name", ["Authorization", "x-api-key", "api-key", "Idempotency-Key", "X-Forwarded-For"])
@pytest.mark.parametrize("byte", ["\r", "\n", "\0", "\x1b", "\x7f"])
def test_a_control_byte_in_a_field_of_the_guard_is_400(guard, name, byte):
    with guard.connect() as conn:
        conn.send(ask(guard.secret if name != "Authorization" else None, headers=[(name, f"Bearer a{byte}X-Injected: {CANARY}")]))
        r = conn.response()
        # LF ends a line: then it is a field more, of a request that is broken otherwise.
        assert r.status == 400 and CANARY not in r.text, r
    judge_log(guard)


@pytest.mark.parametrize("model", list(HOSTILE))
def test_p13_a_hostile_model_is_nowhere_but_in_its_own_answer(guard, model):
    """404 may name it, to its own client, as JSON."""
    name = HOSTILE[model].encode("latin-1").decode("utf-8", "replace")
    with guard.connect() as conn:
        conn.send(chat(guard.secret, model=name, headers={"Idempotency-Key": f"model-{model}"}))
        r = conn.response()
    assert r.status in (200, 400, 404), r
    r.json()
    judge_log(guard)
    judge_metrics(guard)


I4 = {"empty": "", "blank": " ", "empty quoted": '""', "256 bytes": "k" * 256, "10 kB": "k" * 10000, "a blank inside": "a b",
      "a tab": "a\tb", "non-ASCII": "kéy", "half quoted": '"abc', "quoted and more": '"a"b', "unfinished escape": '"a\\'}


@pytest.mark.parametrize("what", I4)
def test_i4_a_malformed_idempotency_key_is_400(guard, what):
    r = guard.request("POST", "/v1/ask", '{"prompt": "x"}', {**JSON, **bearer(guard.secret), "Idempotency-Key": I4[what]})
    problem = r.json()
    assert r.status == 400 and "Idempotency-Key" in problem["detail"] and len(problem["detail"]) < 400, r


def test_i4_two_idempotency_keys_are_400(guard):
    for second in ("b", "a"):
        fields = [*JSON.items(), *bearer(guard.secret).items(), ("Idempotency-Key", "a"), ("idempotency-key", second)]
        r = guard.request("POST", "/v1/ask", '{"prompt": "x"}', fields)
        assert r.status == 400 and "Idempotency-Key" in r.json()["detail"], r


def test_i4_quoted_and_bare_are_the_same_key(guard):
    key = "k" * 255  # the longest
    first, second, third = (guard.request("POST", "/v1/ask", '{"prompt": "long"}', {**JSON, **bearer(guard.secret), "Idempotency-Key": v})
                            for v in (key, f'"{key}"', key))
    assert [r.status for r in (first, second, third)] == [200] * 3
    assert [r.header("Idempotent-Replayed") for r in (first, second, third)] == [None, "true", "true"]
    assert first.body == second.body == third.body


def test_a3_two_keys_that_differ_are_400_and_not_told(guard):
    wrong = CANARY + "0" * 60
    for extra in ([("x-api-key", wrong)], [("api-key", wrong)], [("Authorization", "Bearer " + wrong)]):
        r = guard.request("POST", "/v1/ask", '{"prompt": "x"}', [*JSON.items(), *bearer(guard.secret).items(), *extra])
        assert r.status == 400 and CANARY not in r.text, r
    assert CANARY + "0" * 60 not in guard.stderr()
    same = guard.request("POST", "/v1/ask", '{"prompt": "x"}', [*JSON.items(), *bearer(guard.secret).items(), ("x-api-key", guard.secret)])
    assert same.status == 200, same


# ---- addresses -----------------------------------------------------------------------------------------------------------

FORGED = [("X-Forwarded-For", "10.{0}.{1}.7"), ("X-Forwarded-For", "10.{0}.{1}.8, 127.0.0.1"), ("Forwarded", "for=10.{0}.{1}.9"),
          ("X-Real-IP", "10.{0}.{1}.10"), ("X-Client-IP", "10.{0}.{1}.11"), ("True-Client-IP", "10.{0}.{1}.12"),
          ("X-Forwarded-For", "[2001:db8:{0}:{1}::1]")]


@pytest.mark.parametrize("over", ["memory", "redis"])
def test_forwarding_headers_of_an_untrusted_peer_change_no_identity(guarded, redis_server, over):
    c, = guarded(None, redis=redis_server if over == "redis" else None, ratelimit__anonymous={"requests": "1/h", "burst": 10},
                 **({"kv_redis": {"timeout": "10s"}} if over == "redis" else {}))
    requests = [ask(headers=[(name, value.format(i, 200 - i))]) for i in range(20) for name, value in FORGED]
    answers, = swarm.volley([(c.address(), requests)])
    print(f"{len(requests)} forged addresses: {tally(answers)}")
    assert tally(answers) == {"200": 10, "429 rate_limited": len(requests) - 10}
    if over == "redis":
        buckets = [k for k in redis_server.keys() if b"rate_limit:" in k]
        assert len(buckets) == 1 and b"127.0.0.1" not in buckets[0], buckets


def test_behind_a_trusted_proxy_the_client_s_address_counts_ipv6_by_64(guarded, redis_server):
    c, = guarded(None, redis=redis_server, ratelimit__anonymous={"requests": "1/h", "burst": 2}, server={"trusted_proxies": "127.0.0.1"},
                 kv_redis={"timeout": "10s"})

    def spend(*addresses):
        answers, = swarm.volley([(c.address(), [ask(headers=[("X-Forwarded-For", a)]) for a in addresses])])
        return [a.status for a in answers]

    assert spend("192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.2") == [200, 200, 429, 200]
    assert spend("2001:db8::1", "2001:db8::ffff:2", "2001:db8:0:0:1::3", "2001:db8:0:1::1") == [200, 200, 429, 200]
    # Only the last hop that no proxy of ours wrote counts: what stands before it is the client's own word.
    assert spend("198.51.100.1, 192.0.2.9", "198.51.100.2, 192.0.2.9", "198.51.100.3, 192.0.2.9") == [200, 200, 429]
    assert spend("nonsense", "nonsense", "more nonsense", '"><script>') == [200, 200, 429, 429]  # the proxy's own address then
    buckets = [k for k in redis_server.keys() if b"rate_limit:" in k]
    assert len(buckets) == 6 and all(re.fullmatch(rb"chimera:rate_limit:[0-9a-f]{64}:anonymous", k) for k in buckets), buckets
    assert not any(b"192.0.2" in k or b"198.51" in k or b"2001" in k for k in redis_server.keys())


def test_a5_another_owner_s_idempotency_key_is_another_key(guarded, tmp_path, counting):
    """No existence oracle: who asks with somebody else's key gets an answer of his own."""
    keys = Keys(tmp_path, kit.seeded())
    a, b, a2 = keys.add("a", owner="team-a"), keys.add("b", owner="team-b"), keys.add("a2", owner="team-a")
    c, = guarded(keys, up=counting)
    shared = {"Idempotency-Key": "the-same"}
    answers = [swarm.volley([(c.address(), [chat(s, "x", headers=shared)])])[0][0] for s in (a, b, a2)]
    assert [x.kind for x in answers] == ["200", "200", "200 replayed"]
    assert answers[0].body != answers[1].body and answers[2].body == answers[0].body and counting.calls() == {"x": 2}


def test_a4_failed_attempts_of_an_address_are_limited_and_a_good_key_is_not_locked_out_for_long(guarded, tmp_path):
    """Guessing becomes slow. What a wrong key is told stays the same until then."""
    keys = Keys(tmp_path, kit.seeded())
    good = keys.add("good", owner="team-a")
    c, = guarded(keys)
    answers, = swarm.volley([(c.address(), [ask(f"sk-{i:064x}") for i in range(2000)])])
    print(f"2000 guesses: {tally(answers)}")
    assert set(tally(answers)) <= {"401 unauthorized", "429 rate_limited"} and tally(answers).get("429 rate_limited", 0) > 1000
    assert tally(answers)["401 unauthorized"] >= 5
    assert all(int(a.header("Retry-After")) >= 1 for a in answers if a.status == 429)
    (a,), = swarm.volley([(c.address(), [ask(good)])])
    assert a.status in (200, 429), a


def test_a6_a_key_that_is_taken_out_of_the_file_opens_nothing_within_a_second(guarded, tmp_path):
    """While it is used all the time; another one goes on."""
    keys = Keys(tmp_path, kit.seeded())
    stays = keys.add("stays", owner="team-b")
    daemons = guarded(keys, n=2, auth={"failures": "unlimited"})
    addresses = [c.address() for c in daemons]

    def late():
        """How many seconds behind the change the last was sent that passed."""
        gone = keys.add("gone", owner="team-a")
        for c in daemons:
            kit.wait_for(lambda c=c: c.one(ask(gone)).status == 200, "the key to be known")
        with swarm.Flood(addresses, lambda: ask(gone), connections=1) as bad, \
                swarm.Flood(addresses, lambda: ask(stays), connections=1) as good:
            bad.more(200)
            del keys.rows["gone"]
            keys.write()
            at = time.monotonic()
            kit.wait_for(lambda: all(m.answers[m.first - 1].status == 401 for m in bad.swarm.members), "both to refuse it")
            bad.more(200)
            good.more(200)
        value = max([a.sent - at for a in bad.answers if a.status == 200])
        print(f"revoked: the last that passed was sent {1000 * value:.0f} ms behind the change; {tally(bad.answers)}, "
              f"{tally(good.answers)}")
        assert set(tally(bad.answers)) == {"200", "401 unauthorized"} and set(tally(good.answers)) == {"200"}
        return value
    assert any(late() < 1 + SLACK_S for _ in range(3)), "each time, so it was not the machine that was busy"
