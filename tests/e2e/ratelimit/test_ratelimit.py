# SPDX-License-Identifier: Apache-2.0
"""How many requests pass, whose limit it is, and what answers say about it: over memory and over a real Redis."""
import hashlib
import json
import signal
import time

import pytest

from fields import duration_ms, parse
from limiting import chat, crowd, get, kit, limited, post  # noqa: F401
from proxy import Proxy
from redis_server import Redis


def refusal(r, policy):
    """The problem of a refusal by the limit of that name."""
    assert r.status == 429 and r.header("Content-Type") == "application/problem+json", r
    p = r.json()
    assert p["type"] == "https://iana.org/assignments/http-problem-types#quota-exceeded"
    assert p["status"] == 429 and p["code"] == "rate_limited" and p["violated-policies"] == [policy], p
    return p


def figures(r):
    return parse(r.header("RateLimit-Policy")), parse(r.header("RateLimit"))


@pytest.fixture(params=["memory", "redis"])
def store(request):
    return request.getfixturevalue("redis_server") if request.param == "redis" else None


# ---- how many


def test_exactly_the_burst_passes_a_crowd(limited, store):
    """FAULTS R1: 64 connections on one key; nothing flows in meanwhile."""
    c = limited(redis=store, server={"workers": 4}, rows={"api_key": {"requests": "1/h", "burst": 200}})
    statuses = crowd(c, 64, 10)
    assert sorted(set(statuses)) == [200, 429]
    assert statuses.count(200) == 200, f"{statuses.count(200)} of 640 passed, not 200"


def test_two_servers_share_a_limit_by_redis(limited, redis_server):
    one, two = limited(n=2, redis=redis_server, rows={"api_key": {"requests": "1/h", "burst": 50}})
    passed = sum(get(c).status == 200 for _ in range(40) for c in (one, two))
    assert passed == 50


def test_a_limit_of_0_is_always_429(limited, store):
    c = limited(redis=store, rows={"api_key": {"requests": "0"}})
    for _ in range(3):
        r = get(c)
        assert r.status == 429 and r.header("Retry-After") is None and r.header("x-should-retry") == "false", r


# ---- whose


def test_tiers_owners_keys_and_addresses(limited, store):
    c = limited(redis=store, keys={"ann": {"owner": "ann"}, "ann2": {"owner": "ann"}, "bob": {"owner": "bob", "tier": "premium"},
                                   "own": {"owner": "ann", "limits": "requests=2/h burst=2"}, "lone": {}},
                rows={"api_key": {"requests": "1/h", "burst": 5}})

    def left(who):
        r = get(c, who)
        return r.header("X-RateLimit-Limit"), r.header("X-RateLimit-Remaining")
    assert left("ann") == ("5", "4")
    assert left("ann2") == ("5", "3"), "keys of one owner share"
    assert left("own") == ("2", "1"), "a key with limits of its own is alone"
    assert left("ann") == ("5", "2")
    assert left("lone") == ("5", "4"), "a key without an owner is alone"
    assert left("bob") == ("5000", "4999")
    assert left(None) == ("100", "99")
    c.wait_metric("rate_limiter_requests_total", 5, tier="api_key")
    assert c.metric("rate_limiter_requests_total", tier="premium") == 1
    assert c.metric("rate_limiter_requests_total", tier="anonymous") == 1
    # Of ann, her own key and lone; those of bob and the address are full again. Those of Redis nobody counts.
    kit.wait_for(lambda: c.metric("rate_limiter_buckets_active", store="kv_memory") == (0 if store else 3), "the buckets that lack something")


def test_an_address_counts_behind_trusted_proxies_alone(limited):
    rows = {"anonymous": {"requests": "1/h", "burst": 5}}
    c = limited(rows=rows, server={"trusted_proxies": "127.0.0.0/8"})

    def left(address):
        return int(get(c, None, **({"X-Forwarded-For": address} if address else {})).header("X-RateLimit-Remaining"))
    assert [left("2001:db8:1:2::1"), left("2001:db8:1:2:ffff::9"), left("2001:db8:1:3::1")] == [4, 3, 4], "IPv6 counts by /64"
    assert [left("192.0.2.1"), left("192.0.2.2"), left("192.0.2.1")] == [4, 4, 3]
    assert left("::ffff:192.0.2.1") == 2, "an IPv4 address that is written as IPv6"
    c = limited(rows=rows)
    assert [left("192.0.2.1"), left("192.0.2.2"), left(None)] == [4, 3, 2], "what an untrusted peer says counts for nothing"


def test_what_redis_holds_is_hashed_and_expires(limited, redis_server):
    c = limited(redis=redis_server, keys={"ann": {"owner": "ann@example.org"}}, rows={"api_key": {"requests": "100/h", "concurrent": 4},
                                                                                          "anonymous": {"requests": "100/h"}})
    assert get(c).status == 200 and get(c, None).status == 200
    keys = [k.decode() if isinstance(k, bytes) else k for k in redis_server.keys()]
    ann, peer = (hashlib.sha256(text).hexdigest() for text in (b"o:ann@example.org", b"a:127.0.0.1"))
    assert any(k.endswith(f"rate_limit:{ann}:api_key") for k in keys), keys
    assert any(k.endswith(f"rate_limit:{peer}:anonymous") for k in keys), keys
    assert not any("ann" in k.replace("anonymous", "") or "127.0.0.1" in k for k in keys), keys
    for k in keys:
        if "rate_limit:" in k:
            assert int(redis_server.cli("PTTL", k)) != -1, f"{k} never expires"  # -2: it is gone by now


def test_rules_count_beside_the_tier_all_or_nothing(limited, store):
    c = limited(redis=store, rows={"api_key": {"requests": "1/h", "burst": 6},
                                   "slow": {"endpoint": "/fields", "requests": "1/h", "burst": 2}})
    for n in (1, 2):
        policy, now = figures(get(c, target="/fields"))
        assert list(policy) == list(now) == ["requests", "slow"]
        assert now["requests"]["r"] == 6 - n and now["slow"]["r"] == 2 - n
    r = get(c, target="/fields")
    assert 'limit "slow" on /fields' in refusal(r, "slow")["detail"]
    assert figures(get(c))[1]["requests"]["r"] == 3, "the refused one was not taken from the tier"


def test_probes_and_the_operators_routes_are_not_limited(limited):
    c = limited(rows={"anonymous": {"requests": "0"}})
    assert get(c, None).status == 429
    for target in ("/health", "/health/live", "/ready"):
        assert c.get(target).status == 200
        assert c.get(target).header("RateLimit") is None
    assert c.request("GET", "/metrics", kind="status").status == 200


# ---- what is said


def test_all_figures_agree(limited, store):
    """3 a minute, 6 at once: a token each 20 s, which these requests do not take together, 120 s from empty to full."""
    c = limited(redis=store, rows={"api_key": {"requests": "3/min", "burst": 6}})
    for n in range(7):
        r = get(c, target="/v1/models")
        policy, now = figures(r)
        assert policy == {"requests": {"q": 6, "w": 120, "qu": "requests"}}
        assert set(now) == set(policy)
        left, reset = now["requests"]["r"], now["requests"]["t"]
        assert r.status == (200 if n < 6 else 429)
        assert left == max(5 - n, 0)
        assert 20 * (6 - left - 1) < reset <= 20 * (6 - left), "until it is full again, less the time since the first"
        assert [int(r.header(f"X-RateLimit-{x}")) for x in ("Limit", "Remaining", "Reset")] == [6, left, reset]
        assert [int(r.header(f"x-ratelimit-{x}-requests")) for x in ("limit", "remaining")] == [6, left]
        exact = duration_ms(r.header("x-ratelimit-reset-requests"))
        assert reset == -(-exact // 1000), "the duration is the same time, not rounded"
    wait, wait_ms = int(r.header("Retry-After")), int(r.header("retry-after-ms"))
    assert 1 <= wait <= 20 and wait == -(-wait_ms // 1000)
    assert exact - 100000 - 50 <= wait_ms <= exact - 100000 + 50 or wait_ms == 1000, "a token: full, less the five more to go"
    p = refusal(r, "requests")
    assert p["detail"] == (f'Too many requests: the owner of this key may make 3 a minute, 6 at once (tier "api_key"); '
                           f"try again in {wait} s.")
    assert p["error"]["code"] == "rate_limited" and p["error"]["message"] == p["detail"]
    assert r.header("x-should-retry") is None
    c.wait_metric("rate_limiter_denials_total", 1, tier="api_key")


def test_a_wait_that_no_client_waits_is_not_to_be_retried(limited):
    c = limited(rows={"api_key": {"requests": "1/h", "burst": 1}})
    get(c)
    r = get(c)
    assert r.status == 429 and 3590 <= int(r.header("Retry-After")) <= 3600
    assert r.header("x-should-retry") == "false"


def test_a_reload_with_other_numbers_keeps_what_was_used(limited, store):
    c = limited(redis=store, keys={"ann": {"owner": "ann"}, "bob": {"owner": "bob"}}, rows={"api_key": {"requests": "1/h", "burst": 5}})
    assert [get(c).status for _ in range(3)] == [200] * 3
    with open(c.path, encoding="utf-8") as f:
        text = f.read()
    c.write(text.replace("burst = 5", "burst = 10"))
    c.signal(signal.SIGHUP)
    c.wait_said("config reloaded")  # each worker has it
    assert get(c, "bob").header("X-RateLimit-Limit") == "10"
    assert get(c).header("X-RateLimit-Remaining") == "6", "10, less 3 before and 1 now"


# ---- tokens


def settled(c, left):
    """
    The refusal of a question for more than LEFT tokens, once LEFT are there: nobody waits for tokens to be back, and another worker's question may
    overtake them on the way to Redis. It costs none itself.
    """
    return kit.wait_for(lambda: (r := post(c, max_tokens=left)).header("x-ratelimit-remaining-tokens") == str(left) and r, f"{left} tokens")


def test_tokens_are_reserved_settled_and_refused(limited, store):
    c = limited(redis=store, rows={"api_key": {"tokens": "1/h", "token_burst": 1000}}, dryrun={"answer_tokens": 20})
    r = post(c, max_tokens=500)
    assert r.status == 200, r
    assert r.header("x-ratelimit-limit-tokens") == "1000"
    reserved = 1000 - int(r.header("x-ratelimit-remaining-tokens"))
    assert reserved == 4 + 4 + 500, "16 bytes, a message, and what was asked for"
    used = r.json()["usage"]["total_tokens"]
    settled(c, 1000 - used)
    r = post(c, max_tokens=100)
    assert int(r.header("x-ratelimit-remaining-tokens")) == 1000 - used - 108, "what was not used came back"
    used += r.json()["usage"]["total_tokens"]
    p = refusal(settled(c, 1000 - used), "tokens")
    assert "Too many tokens: the owner of this key may use" in p["detail"]
    c.wait_metric("chimera_ratelimit_tokens_total", 1, tier="api_key", kind="returned")


def test_a_failed_question_costs_no_tokens(limited, store):
    c = limited(redis=store, rows={"api_key": {"tokens": "1/h", "token_burst": 1000}}, dryrun={"fail": "100%"}, router={"retries": 0})
    for _ in range(5):
        # Nobody waits for the tokens to be back, and another worker's question may overtake them on the way to Redis.
        r = kit.wait_for(lambda: (x := post(c, max_tokens=900)).status != 429 and x, "the tokens of the question before")
        assert r.status == 503, r
        assert r.header("x-ratelimit-remaining-tokens") == str(1000 - 908)


@pytest.mark.parametrize("assumed, most", [(10, 92), (4000, 92 + 50)])
def test_a_stream_is_bounded_by_its_overshoot(limited, store, assumed, most):
    """
    100 tokens, 8 of them for the prompt, and the answer would be 2,000 long. With 10 reserved for it the bucket is empty after 82 more, and then
    it is more than 50 over its reservation. A wish for 4,000 is cut to the 92 that there are: 50 more may flow. What flows while a store
    answers comes on top, so over Redis streams are slow, and the best of some is looked at.
    """
    owners = [f"ann{i}" for i in range(5)]
    c = limited(redis=store, ratelimit={"assume_output": assumed, "stream_overshoot": 50},
                keys={name: {"owner": name, "limits": "tokens=1/h token_burst=100"} for name in owners},
                dryrun={"answer_tokens": 2000, "tokens_per_second": 50 if store else 1000})
    bound, said = most + 50 // 8 + 1 + 16, []
    for name in owners:
        with c.connect() as conn:
            conn.send(chat(name, stream=True))
            body = conn.response().text
        frames = [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: {")]
        assert "[DONE]" not in body and frames[-1]["error"]["code"] == "rate_limited"
        pieces = [f["choices"][0]["delta"].get("content", "") for f in frames[:-1] if f["choices"]]
        said.append(sum(-(-len(p) // 4) for p in pieces))
        assert most < said[-1]

        def paid(who=name):
            """Nobody waits for the last of it to be charged."""
            r = post(c, who, max_tokens=1)
            assert r.status == 429, r
            return r.header("x-ratelimit-remaining-tokens") == "0"
        kit.wait_for(paid, "what it took to be paid")
        if said[-1] <= bound:
            break
    assert min(said) <= bound, f"{said} tokens as they are guessed, of 92 there were"


def test_a_stream_whose_limit_holds_out_ends_as_ever(limited):
    c = limited(ratelimit={"assume_output": 10, "stream_overshoot": 50}, rows={"api_key": {"tokens": "1000/min", "token_burst": 100000}},
                dryrun={"answer_tokens": 1000})
    with c.connect() as conn:
        conn.send(chat(stream=True))
        assert conn.response().text.rstrip().endswith("data: [DONE]")


# ---- places


def test_streams_hold_their_places_until_they_end(limited, store):
    c = limited(redis=store, rows={"api_key": {"concurrent": 2}}, dryrun={"answer_tokens": 5000, "tokens_per_second": 20})
    streams = [c.connect() for _ in range(2)]
    for s in streams:
        s.send(chat(stream=True))
        assert s.head().status == 200
    r = get(c)
    assert refusal(r, "concurrent") and int(r.header("Retry-After")) == 1
    streams[0].abort()
    kit.wait_for(lambda: get(c).status == 200, "the place of the client that left")
    for s in streams:
        s.close()


# ---- the store is away


def test_redis_goes_away_and_comes_back(limited, redis):
    c = limited(redis=redis, rows={"api_key": {"requests": "1/h", "burst": 40}})
    assert get(c).header("X-RateLimit-Limit") == "40"
    redis.kill()
    answers = [get(c) for _ in range(60)]
    assert {a.status for a in answers} == {200, 429}, "nobody failed because of Redis"
    assert sum(a.status == 200 for a in answers) == 20, "half of the limit"
    assert all(a.header("X-RateLimit-Degraded") == "fallback" and a.header("X-RateLimit-Limit") == "20" for a in answers)
    assert c.metric("chimera_ratelimit_store_away_total", outcome="fallback") == 60
    c.wait_said("store is degraded now", plugin="ratelimit")
    ready = c.get("/ready?verbose", kind="status")
    assert ready.status == 200 and "ratelimit" in ready.text, ready.text
    redis.start()
    r = kit.wait_for(lambda: (r := get(c)).header("X-RateLimit-Degraded") is None and r, "the store to decide again")
    assert r.header("X-RateLimit-Limit") == "40"
    c.wait_said("store works again", plugin="ratelimit")
    for words in ("store is degraded now", "store works again"):
        assert len([line for line in c.log if words in line.get("msg", "") and line.get("plugin") == "ratelimit"]) == 1


@pytest.mark.parametrize("server,keys,reason", [
    ({"password": "right"}, {"password": "wrong"}, "refuses the password (WRONGPASS)"),
    ({"user": "guard", "acl": "~other:* +@all"}, {}, "Redis does not permit it to this user (NOPERM)"),
])
def test_why_redis_is_away_stands_with_the_limiter_too(limited, server, keys, reason):
    with Redis(**server) as redis:
        url = f"redis://127.0.0.1:{redis.port}/0" if keys else redis.url
        c = limited(redis=redis, rows={"api_key": {"requests": "1000/s", "burst": 100000}}, kv_redis={"url": url, **keys})

        def told():
            assert get(c).status == 200
            lines = c.get("/ready?verbose", kind="status").text.splitlines()
            return [line for line in lines if "kv_redis is away" in line and reason in line]  # ratelimit's; kv_redis has its own

        kit.wait_for(told, lambda: f"the reason in {c.get('/ready?verbose', kind='status').text}")


def test_a_place_of_a_request_that_ended_while_redis_was_away_is_free_again(limited, redis):
    """A stream is open, Redis stops, others find that out, the client leaves: nobody can tell Redis, which still knows the place."""
    c = limited(redis=redis, keys={"ann": {"owner": "ann"}, "bob": {"owner": "bob"}}, rows={"api_key": {"concurrent": 1}},
                dryrun={"answer_tokens": 5000, "tokens_per_second": 20}, kv_redis={"timeout": "1s"})
    with c.connect() as stream:
        stream.send(chat(stream=True))
        r = stream.head()
        assert r.status == 200 and r.header("X-RateLimit-Degraded") is None
        kit.wait_for(lambda: get(c).status == 429, "the one place to be taken")
        redis.pause()
        try:
            kit.wait_for(lambda: get(c, "bob").header("X-RateLimit-Degraded") == "fallback", "Redis to be away")
            for _ in range(12):
                assert get(c, "bob").header("X-RateLimit-Degraded") == "fallback"
            stream.abort()
            kit.wait_for(lambda: c.metric("chimera_backend_in_flight", backend="dryrun") == 0, "the end of the stream")
            for _ in range(12):
                get(c, "bob")
        finally:
            redis.resume()
    kit.wait_for(lambda: (r := get(c)).status == 200 and r.header("X-RateLimit-Degraded") is None, "the place to be free")


def test_a_redis_that_stands_still_delays_nobody_for_long(limited, redis):
    c = limited(redis=redis, rows={"api_key": {"requests": "1000/s", "burst": 1000}}, kv_redis={"timeout": "1s"})
    assert get(c).status == 200
    redis.pause()
    try:
        took = []
        for _ in range(40):
            began = time.monotonic()
            r = get(c)
            took.append(time.monotonic() - began)
            assert r.status == 200 and r.header("X-RateLimit-Degraded") == "fallback", r
        assert max(took) < 10, took
        assert sorted(took)[20] < 1, "most were not asked of it any more"
    finally:
        redis.resume()
    kit.wait_for(lambda: get(c).header("X-RateLimit-Degraded") is None, "the store to decide again")


def test_a_decision_whose_answer_was_lost_is_made_once(limited, redis_server):
    """FAULTS R5: Redis took the token, and its answer never came."""
    with Proxy(redis_server.port) as proxy:
        c = limited(redis=redis_server, rows={"api_key": {"requests": "1/h", "burst": 40}}, server={"workers": 1},
                    kv_redis={"url": f"redis://127.0.0.1:{proxy.port}/0"})
        assert get(c).header("X-RateLimit-Remaining") == "39"
        lost = proxy.lose_answer(after=b"rate_limit:")
        r = get(c)
        assert lost.wait(10)
        assert r.status == 200 and r.header("X-RateLimit-Degraded") == "fallback" and r.header("X-RateLimit-Remaining") == "19", r
        kit.wait_for(lambda: get(c, None).header("X-RateLimit-Degraded") is None, "the store to decide again")
        assert get(c).header("X-RateLimit-Remaining") == "37", "40, less one before, one whose answer was lost, and this one"


def test_without_a_fallback_requests_pass_or_are_refused(limited, redis):
    for what, status in (("pass", 200), ("refuse", 503)):
        c = limited(redis=redis, ratelimit={"fallback": "none", "on_store_down": what}, rows={"api_key": {"requests": "10/s"}})
        kit.wait_for(lambda: get(c).status == 200, "the store")
        redis.kill()
        r = get(c)
        assert r.status == status, r
        assert r.header("X-RateLimit-Degraded") == ("pass" if what == "pass" else None)
        if status == 503:
            assert r.header("Retry-After") == "1" and r.problem(503, "unavailable")
        redis.start()
