# SPDX-License-Identifier: Apache-2.0
"""The official npm package `openai`, unmodified, against the whole guard: which exception a wrong key, a limit and a duplicate become, how
long it waits before it asks again, and that a retry is never billed twice. One run of node does all of it at once (../inference/npm.py)."""
import collections

import chimera as kit
import npm
import pytest
from counting import Counting
from guarding import Keys, need, sections

MESSAGE = "Say hello"


def create(secret, content, key=None, **more):
    client = {k: more.pop(k) for k in ("maxRetries",) if k in more}
    return npm.job("chat.completions.create", {"model": "count", "messages": [{"role": "user", "content": content}], **more},
                   {"headers": {"Idempotency-Key": key}} if key else {}, client={"apiKey": secret, **client})


@pytest.fixture(scope="module")
def guard(plugins, tmp_path_factory):
    """(daemon, upstream, results)"""
    folder = tmp_path_factory.mktemp("chain")
    keys = Keys(folder, kit.seeded())
    good = keys.add("good", owner="good", tier="premium")
    slow = keys.add("slow", owner="slow", tier="slow")
    empty = keys.add("empty", owner="empty", tier="empty")
    other = keys.add("other", owner="other", tier="premium", models="gpt-*")
    expired = keys.add("expired", owner="good", expires="2020-01-01T00:00:00Z")
    with Counting(1) as up:
        config = sections(keys, up=up, auth={"tiers": "anonymous, empty, slow, api_key, premium, admin"},
                          ratelimit__slow={"requests": "12/min", "burst": 1}, ratelimit__empty={"requests": "1/h", "burst": 1},
                          ratelimit__premium={"requests": "5000/min"}, idempotency={"wait_timeout": "30s"})
        need(plugins, config)
        with kit.Chimera(folder, plugins, config) as c:
            jobs = {
                "wrong": create("sk-" + "0" * 64, "wrong"), "expired": create(expired, "expired"), "odd": create("not a key", "odd"),
                "slow 0": create(slow, "slow"), "slow 1": create(slow, "slow"),
                "empty 0": create(empty, "empty"), "empty 1": create(empty, "empty"),
                "forbidden": create(other, "forbidden"),
                "reused 0": create(good, "reused 0", "reused"), "reused 1": create(good, "reused 1", "reused"),
                "long": create(good, "long", "k" * 300),
            }
            for i in range(4):
                jobs[f"same {i}"] = create(good, "same", "same")
                jobs[f"stream {i}"] = create(good, "stream", "stream", stream=True)
                jobs[f"apart {i}"] = create(good, "apart")
            results = npm.run(c.url("/v1"), jobs)
            assert not any(s in c.stderr() for s in (good, slow, empty, other, expired))
            yield c, up, results


def error(guard, name):
    found = guard[2][name].get("error")
    assert found, guard[2][name]
    return found


def calls(guard, content):
    return guard[1].calls().get(content, 0)


@pytest.mark.parametrize("name", ["wrong", "expired", "odd"])
def test_a1_a_wrong_key_is_an_authentication_error_and_is_not_tried_again(guard, name):
    e = error(guard, name)
    assert (e["class"], e["status"], e["code"], e["type"]) == ("AuthenticationError", 401, "unauthorized", "authentication_error"), e
    assert e["headers"]["www-authenticate"].startswith("Bearer") and e["request_id"] == e["headers"]["x-request-id"]
    assert calls(guard, name) == 0


def test_a1_all_wrong_keys_are_told_the_same(guard):
    told = {name: error(guard, name) for name in ("wrong", "expired", "odd")}
    assert len({e["message"] for e in told.values()}) == 1
    own = ("date", "x-request-id", "traceparent", "server-timing", "content-length")
    assert len({tuple((k, v) for k, v in sorted(e["headers"].items()) if k not in own) for e in told.values()}) == 1


def test_r6_an_empty_bucket_is_a_rate_limit_error_with_its_figures(guard):
    results = [guard[2][f"empty {i}"] for i in range(2)]
    good, = [r for r in results if "error" not in r]
    e, = [r["error"] for r in results if "error" in r]
    assert good["value"]["choices"] and (e["class"], e["status"], e["code"]) == ("RateLimitError", 429, "rate_limited"), e
    h = e["headers"]
    assert h["x-ratelimit-limit-requests"] == "1" and h["x-ratelimit-remaining-requests"] == "0"
    assert h["x-ratelimit-remaining"] == "0" and 3500 < int(h["retry-after"]) <= 3600
    assert 3500 < int(h["x-ratelimit-reset"]) <= 3600 and h["x-ratelimit-reset-requests"].startswith(("59m", "1h0m0s"))
    assert h["ratelimit"] and h["ratelimit-policy"]
    # An hour is nothing to wait for: the client gave up at once, and asked once.
    assert calls(guard, "empty") == 1 and guard[0].metric("rate_limiter_denials_total", tier="empty") == 1


def test_r6_who_is_told_to_wait_a_little_asks_again_then_and_succeeds(guard):
    """12 a minute: a token comes each five seconds, so Retry-After is 5 at most."""
    results = [guard[2][f"slow {i}"] for i in range(2)]
    assert all("error" not in r for r in results), results
    first, second = sorted(r["ms"] for r in results)
    print(f"one answer after {first:.0f} ms, the other after {second:.0f} ms")
    assert 1000 < second and calls(guard, "slow") == 2
    # It waited as it was told: one refusal, and a second one at most where its clock is the faster.
    assert 1 <= guard[0].metric("rate_limiter_denials_total", tier="slow") <= 2


def test_a_model_that_the_key_may_not_use_is_a_permission_error(guard):
    e = error(guard, "forbidden")
    assert (e["class"], e["status"]) in (("PermissionDeniedError", 403), ("NotFoundError", 404)), e
    assert calls(guard, "forbidden") == 0


def test_i1_duplicates_at_once_are_one_call_and_one_answer(guard):
    results = [guard[2][f"same {i}"] for i in range(4)]
    assert len({r["value"]["id"] for r in results}) == 1 and all(r["value"] == results[0]["value"] for r in results)
    assert collections.Counter(r["headers"].get("idempotent-replayed") for r in results) == {None: 1, "true": 3}
    assert calls(guard, "same") == 1


def test_i1_i6_duplicate_streams_are_one_call_and_the_same_frames(guard):
    results = [guard[2][f"stream {i}"] for i in range(4)]
    assert all(r["chunks"] == results[0]["chunks"] for r in results) and len(results[0]["chunks"]) == 7
    assert collections.Counter(r["headers"].get("idempotent-replayed") for r in results) == {None: 1, "true": 3}
    assert calls(guard, "stream") == 1


def test_without_a_key_the_same_question_is_another_call(guard):
    assert len({guard[2][f"apart {i}"]["value"]["id"] for i in range(4)}) == 4 and calls(guard, "apart") == 4


def test_i2_a_key_for_another_body_is_an_unprocessable_entity_error(guard):
    results = [guard[2][f"reused {i}"] for i in range(2)]
    e, = [r["error"] for r in results if "error" in r]
    assert (e["class"], e["status"], e["code"]) == ("UnprocessableEntityError", 422, "idempotency_key_reused"), e
    assert calls(guard, "reused 0") + calls(guard, "reused 1") == 1


def test_i4_a_key_that_is_too_long_is_a_bad_request_error(guard):
    e = error(guard, "long")
    assert (e["class"], e["status"]) == ("BadRequestError", 400) and "Idempotency-Key" in e["message"], e
    assert calls(guard, "long") == 0
