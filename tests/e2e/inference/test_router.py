# SPDX-License-Identifier: Apache-2.0
"""How a question finds a backend, and what of its attempts the upstream sees: retries and their times, fallbacks, budgets, places."""
import concurrent.futures
import json
import os
import sys
import threading
import time

import dialects
import gateway as gw
import pytest
from provider import behave

import chimera as kit

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "config"))
import ctl  # noqa: E402

QUICK = dict.fromkeys(("first_token_timeout", "idle_timeout", "timeout"), f"{1500 * gw.SECOND}ms")
SLOW = 4 if kit.SANITIZERS else 1  # of a busy machine's lateness


def one_backend(start, port, **router):
    """A gateway with one backend of many models, and retries that a test can see."""
    return start(port, llama__ollama=None, openai__dead=None, router={"retries": 2, "retry_budget": "100%", **router})


def two_backends(start, port, **router):
    """`up` and `second`, each with models of its own name; both serve `both-*`."""
    return start(port, llama__ollama=None, openai__dead=None, router=router,
                 openai__up={"models": "gpt-*, both-*, up-*, bad-*, words-*"},
                 openai__second={"base_url": gw.base(port), "models": "second-*, both-*", "default_model": "second-default"})


def gaps(requests):
    return [round(b.at - a.at, 3) for a, b in zip(requests, requests[1:])]


# ---- retries ----

def test_u6_a_failure_before_the_first_byte_is_retried_with_growing_pauses(start, provider):
    """100, 200 ms, of which half is jitter."""
    g = one_backend(start, provider.port)

    def late(i):
        """By how much the later of the two was later than it may be."""
        model = f"up-flaky-{i}"
        provider.script(model, "status-500", "rst-before-head", behave)
        assert g.chat(model).status == 200
        requests = provider.of(model)
        first, second = gaps(requests)
        assert len(requests) == 3 and 0.045 <= first and 0.095 <= second, gaps(requests)
        assert len({r.body for r in requests}) == 1
        assert g.chimera.metric("chimera_retries_total", backend="up", reason="5xx") == 2 * (i + 1)
        return max(first - 0.1, second - 0.2)
    gw.in_time(late, -1, 0.4 * SLOW)


def test_a_large_body_that_must_change_can_be_sent_again_and_again(start, provider):
    """Three attempts, each with a body that is made anew of 3 MB: more than the memory of a request holds."""
    g = one_backend(start, provider.port, **gw.PATIENT)
    provider.script("up-large", "status-500", "status-500", behave)
    r = g.chat("up-large", stream=True, messages=[{"role": "user", "content": "x" * 3000000}])
    assert r.status == 200, r
    assert [len(q.body) > 3000000 for q in provider.of("up-large")] == [True] * 3


@pytest.mark.parametrize("model, asked, said", [
    ("bad-status-500", 3, "503 upstream_error"), ("bad-garbage", 3, "503 upstream_invalid"),
    ("bad-status-429", 3, "429 upstream_rate_limited"),
    ("bad-error-in-200", 3, "503 upstream_error"), ("bad-status-400", 1, None), ("bad-status-401", 1, "503 upstream_auth"),
    ("bad-stall-before-head", 1, "503 upstream_timeout"), ("bad-status-429-after-99999", 1, "429 upstream_rate_limited")])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_u6_what_is_retried_and_what_not(gateway, provider, model, asked, said, stream):
    before = len(provider.of(model))
    r = gw.outcome(gateway, model, stream)
    assert len(provider.of(model)) - before == asked
    assert r.said == said or said is None and r.said.startswith("400 ")


def config(port):
    """Of the module's own gateway: retries without an end of their budget."""
    return gw.sections(port, llama__ollama=None, openai__dead=None, router={"retries": 2, "retry_budget": "100%", **QUICK})


def test_nothing_is_retried_after_the_first_byte(gateway, provider):
    for model in ("bad-rst-mid", "bad-error-mid", "bad-stall-mid"):
        assert gw.outcome(gateway, model, True).said.startswith("error ")
        assert len(provider.of(model)) == 1


def test_a_client_that_retries_itself_is_not_helped_twice(gateway, provider):
    provider.script("up-again", "status-500")
    r = gateway.chat("up-again", ("x-stainless-retry-count", "1"))
    assert r.status == 503 and len(provider.of("up-again")) == 1


@pytest.mark.parametrize("field, least", [("Retry-After: 1", 1.0), ("retry-after-ms: 700", 0.7)])
def test_u6_the_upstream_s_retry_after_is_honoured(gateway, provider, field, least):
    def gap_of(i):
        model = f"up-after-{least}-{i}"
        provider.script(model, lambda conn, req: conn.reply(req.answer.error("slow down"), field, status="429 Too Many"), behave)
        assert gateway.chat(model).status == 200
        gap, = gaps(provider.of(model))
        return gap
    gw.in_time(gap_of, least - 0.005, least + 0.5 * SLOW)


def test_retry_on_says_what_is_retried(start, provider):
    g = one_backend(start, provider.port, retry_on="connect")
    provider.script("up-not", "status-500")
    assert g.chat("up-not").status == 503 and len(provider.of("up-not")) == 1


def test_u6_retries_are_a_small_share_of_all_that_is_asked(start, provider):
    """10 %, and ten that a quiet process may make."""
    g = one_backend(start, provider.port, retry_budget="10%", **gw.NO_BREAKER, **gw.PATIENT)
    provider.script("up-storm", "status-500")
    with concurrent.futures.ThreadPoolExecutor(32) as pool:
        answers = list(pool.map(lambda _: g.chat("up-storm").status, range(200)))
    assert answers == [503] * 200
    assert 200 + 10 <= len(provider.of("up-storm")) <= 200 + 20 + 10


# ---- fallbacks ----

@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("what", ["status-500", "status-401", "status-429-after-99999", "stall-before-head", "garbage", "error-in-200"])
def test_a_fallback_answers_and_says_so(fallbacks, provider, what, stream):
    g, model = fallbacks, f"up-{what}-{stream}"
    provider.script(model, what)
    if stream:
        with g.stream(model) as s:
            assert gw.judge_stream(s) == "ok"
            r, named = s.response, {json.loads(e)["model"] for e in s.events[:-1]}
    else:
        r = g.chat(model)
        named = {r.json()["model"]}
    assert r.status == 200 and r.header("X-Chimera-Backend") == "second" and named == {"second-default"}
    assert len(provider.of(model)) == 1


@pytest.fixture(scope="module")
def fallbacks(provider, plugins, tmp_path_factory):
    """fallback: a backend that lists neither the model nor a default, one that has a default, and BACKEND/MODEL."""
    gw.need(plugins)
    c = kit.Chimera(tmp_path_factory.mktemp("fallbacks"), plugins, gw.sections(
        provider.port, llama__ollama=None, openai__dead=None,
        router={"fallback": "without, second, third/third-named", "retries": 0, **QUICK},
        openai__without={"base_url": gw.base(provider.port), "models": "without-*", "default_model": ""},
        openai__second={"base_url": gw.base(provider.port), "models": "both-*", "default_model": "second-default"},
        openai__third={"base_url": gw.base(provider.port), "models": "third-*"})).start()
    with c:
        yield gw.Gateway(c.address(), c)


def test_a_fallback_that_lists_the_model_is_asked_for_it(fallbacks, provider):
    provider.script("both-1", "status-500", behave)
    r = fallbacks.ask("/v1/chat/completions", {**gw.chat_body("both-1"), "backend": "second"})
    assert r.status in (200, 503)
    provider.script("both-2", "status-500", behave)
    r = fallbacks.chat("both-2")
    assert (r.status, r.header("X-Chimera-Backend")) in ((200, "third"), (200, "second"))


def test_fallbacks_are_asked_in_order_until_one_answers(fallbacks, provider):
    provider.script("up-gone", "status-500")
    provider.script("second-default", "status-500")
    try:
        r = fallbacks.chat("up-gone")
    finally:
        provider.script("second-default", behave)
    assert (r.header("X-Chimera-Backend"), r.json()["model"]) == ("third", "third-named")
    assert [v.model for v in provider.requests[-3:]] == ["up-gone", "second-default", "third-named"]
    c = fallbacks.chimera
    assert c.metric("chimera_fallbacks_total", to="third") >= 1 and c.metric("chimera_fallbacks_total", to="without") == 0


def test_when_all_fail_the_log_says_who_was_asked_and_why_not(fallbacks, provider):
    for model in ("up-all", "second-default", "third-named"):
        provider.script(model, "status-500")
    try:
        r = fallbacks.chat("up-all")
    finally:
        for model in ("second-default", "third-named"):
            provider.script(model, behave)
    p = r.json()
    assert (r.status, p["code"], r.header("x-should-retry")) == (503, "upstream_error", "true") and r.header("Retry-After")
    lines = [line for line in kit.wait_for(lambda: [v for v in fallbacks.chimera.log if v.get("req_id") == p["req_id"]
                                                    and v.get("lvl") in ("warn", "error")], "the line in the log")]
    assert len(lines) == 1
    text = json.dumps(lines[0])
    assert all(name in text for name in ("up", "second", "third", "upstream_error")), text


@pytest.mark.parametrize("first, last, said", [
    ("status-429-after-99999", "dead/dead-1", "429 upstream_rate_limited"), ("status-500", "dead/dead-1", "503 upstream_error"),
    ("status-401", "second/second-a", "429 upstream_rate_limited")])
def test_of_several_failures_the_client_hears_the_one_that_tells_most(start, provider, first, last, said):
    g = start(provider.port, llama__ollama=None, openai__second={"base_url": gw.base(provider.port), "models": "second-*"},
              router={"fallback": last})
    provider.script("up-tells", first)
    provider.script("second-a", "status-429-after-99999")
    assert gw.outcome(g, "up-tells", False).said == said


def test_a_row_has_rules_of_its_own(start, provider):
    g = start(provider.port, llama__ollama=None, openai__dead=None,
              **{"router.gpt-two": {"backends": "second/renamed, up", "fallback": "none", "timeout": "700ms", "balance": "in_order"}},
              openai__second={"base_url": gw.base(provider.port), "models": "second-*"},
              router={"fallback": "second/second-1", "retries": 0})
    r = g.chat("gpt-two")
    assert (r.status, r.header("X-Chimera-Backend")) == (200, "second") and len(provider.of("renamed")) == 1, r
    provider.script("renamed", "stall-before-head")

    def took(_):
        began = time.monotonic()
        r = g.chat("gpt-two")
        assert r.json()["code"] == "upstream_timeout"
        return time.monotonic() - began
    gw.in_time(took, 0.65, 0.7 + SLOW)
    assert not provider.of("second-1")


# ---- which backend ----

def test_a_model_that_nobody_lists_is_404_with_the_nearest_names(gateway, provider):
    before = len(provider.requests)
    r = gateway.chat("gtp-test")
    e = r.json()["error"]
    assert (r.status, e["code"], e["type"]) == (404, "model_not_found", "invalid_request_error")
    assert "gtp-test" in e["message"]
    r = gateway.chat("gemma3:latst")
    assert r.status == 404 and "gemma3:latest" in r.json()["error"]["message"], r
    assert len(provider.requests) == before


CANNOT = {"n": ({"n": 2}, "n, best_of"), "logprobs": ({"logprobs": True}, "logprobs"), "other": ({"logit_bias": {"1": 2}}, "logit_bias")}


@pytest.mark.parametrize("name", CANNOT)
def test_what_a_backend_cannot_do_is_a_400_or_another_backend_s(start, provider, name):
    more, word = CANNOT[name]
    g = start(provider.port, openai__dead=None, openai__up={"models": "both-*"}, llama__ollama={"models": "both-*, ollama-*"})
    r = g.chat("ollama-1", **more)
    e = r.json()["error"]
    assert (r.status, e["type"]) == (400, "invalid_request_error") and word in e["message"] and "ollama" in e["message"], r
    assert not [q for q in provider.requests if q.model == "ollama-1"]
    assert {g.chat("both-n", **more).header("X-Chimera-Backend") for _ in range(8)} == {"up"}


def test_the_default_is_for_requests_without_a_model_alone(start, provider):
    g = two_backends(start, provider.port, default="second")
    body = gw.chat_body("x")
    del body["model"]
    r = g.ask("/v1/chat/completions", body)
    assert (r.header("X-Chimera-Backend"), r.json()["model"]) == ("second", "second-default")
    assert g.chat("nobody").status == 404


def test_the_client_may_name_a_backend(start, provider):
    g = two_backends(start, provider.port, default="up")
    for name in ("up", "second"):
        assert g.chat("both-1", backend=name).header("X-Chimera-Backend") == name
    assert g.chat("both-1", backend="second", stream=False).status == 200
    r = g.chat("both-1", backend="secnd")
    assert r.status == 400 and "secnd" in r.json()["error"]["message"] and '"second"' in r.json()["error"]["message"]
    r = g.chat("both-1", ("X-Chimera-Backend", "second"))
    assert r.status == 400 and "allow_backend_header" in r.json()["error"]["message"]


def test_the_header_that_names_a_backend_must_be_allowed(start, provider):
    g = two_backends(start, provider.port, allow_backend_header="yes", allow_backend_member="no")
    assert [g.chat("both-1", ("X-Chimera-Backend", "second")).header("X-Chimera-Backend") for _ in range(8)] == ["second"] * 8
    assert g.chat("both-1", ("X-Chimera-Backend", "nobody")).status == 400
    assert g.chat("both-1", backend="second").status == 400


@pytest.mark.parametrize("weight, share", [((1, 1), 0.5), ((1, 4), 0.8)])
def test_weights_share_the_requests(start, provider, weight, share):
    g = start(provider.port, llama__ollama=None, openai__dead=None, openai__up={"models": "both-*", "weight": weight[0]},
              openai__second={"base_url": gw.base(provider.port), "models": "both-*", "weight": weight[1]})
    n = 300
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        to = list(pool.map(lambda _: g.chat("both-w").header("X-Chimera-Backend"), range(n)))
    assert abs(to.count("second") / n - share) < 5 * (share * (1 - share) / n) ** 0.5, to.count("second")


def test_the_least_busy_is_asked(start, provider):
    g = two_backends(start, provider.port, balance="least_in_flight")
    with g.stream("words-1000-50") as s:
        s.event()
        assert {g.chat("both-l").header("X-Chimera-Backend") for _ in range(6)} == {"second"}


def test_a_client_s_model_is_no_label(start, provider):
    g = two_backends(start, provider.port)
    for i in range(5):
        assert g.chat(f"gpt-label-{i}").status == 200
    text = g.chimera.get("/metrics", kind="status").text
    assert "gpt-label" not in text
    assert g.chimera.metric("inference_requests_total", backend="up", model="gpt-*", status="ok") == 5
    assert g.chimera.metric("llm_tokens_used_total", provider="openai", model="gpt-*", kind="completion") == 25


# ---- time ----

def test_u2_the_budget_bounds_all_attempts(start, provider):
    g = start(provider.port, openai__second={"base_url": gw.base(provider.port), "models": "second-*"},
              router={"budget": "1500ms", "timeout": "1s", "fallback": "second/second-slow"})
    provider.script("second-slow", "stall-before-head")

    def took(i):
        provider.script(f"up-budget-{i}", "stall-before-head")
        began = time.monotonic()
        r = g.chat(f"up-budget-{i}")
        seconds = time.monotonic() - began
        assert (r.status, r.json()["code"]) == (503, "upstream_timeout")
        assert len(provider.of(f"up-budget-{i}")) == 1 and len(provider.of("second-slow")) == i + 1
        assert provider.of("second-slow")[i].conn.closed.wait(kit.DEADLINE)
        return seconds
    gw.in_time(took, 1.4, 1.5 + 0.5 * SLOW)


@pytest.mark.parametrize("field, value", [("x-stainless-timeout", "1"), ("x-stainless-read-timeout", "0.8")])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_u2_the_client_s_own_timeout_is_not_outlived(gateway, provider, field, value, stream):
    def took(i):
        model = f"up-{field}-{stream}-{i}"
        provider.script(model, "stall-before-head")
        began = time.monotonic()
        r = gateway.chat(model, (field, value), stream=stream)
        seconds = time.monotonic() - began
        assert r.json()["error"]["code"] == "upstream_timeout"
        assert provider.of(model)[0].conn.closed.wait(kit.DEADLINE)
        return seconds
    gw.in_time(took, float(value) - 0.3, float(value) + 0.4)


@pytest.mark.parametrize("value", ["0", "-1", "x", "1e300", "", "nan"])
def test_an_odd_timeout_of_the_client_is_none(gateway, value):
    assert gateway.chat("gpt-test", ("x-stainless-timeout", value)).status == 200


# ---- places ----

def test_places_and_the_queue_before_them_are_limited(start, provider):
    g = start(provider.port, openai__up={"max_in_flight": 2, "max_waiting": 1}, router=gw.PATIENT)
    go, now, most, lock = threading.Event(), [0], [0], threading.Lock()

    def slow(conn, req):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        go.wait(kit.DEADLINE)
        with lock:
            now[0] -= 1
        return behave(conn, req)
    provider.script("up-places", slow)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(g.chat, "up-places") for _ in range(2)]
        g.chimera.wait_metric("chimera_backend_in_flight", 2, backend="up")
        asked.append(pool.submit(g.chat, "up-places"))
        g.chimera.wait_metric("chimera_backend_waiting", 1, backend="up")
        r = g.chat("up-places")
        assert (r.status, r.json()["code"], r.header("x-should-retry")) == (503, "upstream_busy", "true") and r.header("Retry-After")
        go.set()
        assert [a.result().status for a in asked] == [200] * 3
    assert most[0] == 2 and len(provider.of("up-places")) == 3
    for name in ("in_flight", "waiting"):
        kit.wait_for(lambda n=name: g.chimera.metric("chimera_backend_" + n, backend="up") == 0, name)


def test_who_waits_is_served_in_order(start, provider):
    g = start(provider.port, openai__up={"max_in_flight": 1, "max_waiting": 10}, router=gw.PATIENT)
    go = threading.Event()
    provider.script("up-first", lambda conn, req: go.wait(kit.DEADLINE) and behave(conn, req))
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(g.chat, "up-first")]
        g.chimera.wait_metric("chimera_backend_in_flight", 1, backend="up")
        for i in range(6):
            asked.append(pool.submit(g.chat, f"up-order-{i}"))
            g.chimera.wait_metric("chimera_backend_waiting", i + 1, backend="up")
        go.set()
        assert {a.result().status for a in asked} == {200}
    assert [r.model for r in provider.requests if r.model.startswith("up-order-")] == [f"up-order-{i}" for i in range(6)]


def test_who_leaves_while_he_waits_makes_room(start, provider):
    g = start(provider.port, openai__up={"max_in_flight": 1, "max_waiting": 1}, router=gw.PATIENT)
    go = threading.Event()
    provider.script("up-hold", lambda conn, req: go.wait(kit.DEADLINE) and behave(conn, req))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        first = pool.submit(g.chat, "up-hold")
        g.chimera.wait_metric("chimera_backend_in_flight", 1, backend="up")
        with g.connect() as c:
            c.send(g.request("/v1/chat/completions", gw.chat_body("up-left")))
            g.chimera.wait_metric("chimera_backend_waiting", 1, backend="up")
            c.abort()
        kit.wait_for(lambda: g.chimera.metric("chimera_backend_waiting", backend="up") == 0, "the queue to be empty")
        second = pool.submit(g.chat, "up-stays")
        g.chimera.wait_metric("chimera_backend_waiting", 1, backend="up")
        go.set()
        assert first.result().status == second.result().status == 200
    assert not provider.of("up-left")


# ---- by hand ----

@ctl.needs_ctl
def test_a_backend_is_disabled_and_enabled_by_hand(start, provider):
    g = two_backends(start, provider.port)

    def backends(*words):
        done = ctl.run_chimeractl("-c", g.chimera.path, "backends", *words)
        assert done.returncode == 0, done
        return done.stdout
    text = backends()
    assert "up" in text and "second" in text
    backends("disable", "up")
    assert {g.chat("both-d").header("X-Chimera-Backend") for _ in range(10)} == {"second"}
    r = g.chat("up-only")
    assert (r.status, r.json()["code"]) == (503, "upstream_unavailable") and r.header("Retry-After")
    assert "disabled" in backends()
    backends("enable", "up")
    assert g.chat("up-only").status == 200
    done = ctl.run_chimeractl("-c", g.chimera.path, "backends", "disable", "upp")
    assert done.returncode != 0 and "up" in done.stderr


@pytest.mark.parametrize("key", ["default", "fallback"])
def test_made_up_answers_are_never_a_default_or_fallback_in_production(plugins, tmp_path, provider, key):
    gw.need(plugins)
    for profile, code in (("prod", 78), ("dev", 0), ("ci", 0)):
        c = kit.Chimera(tmp_path / profile, plugins, gw.sections(
            provider.port, server={"profile": profile, "open_access": "yes"}, dryrun={}, router={key: "dryrun"}))
        done = kit.run_chimerad("-c", c.path, "-t")
        assert done.returncode == code, done
        assert code == 0 or "dryrun" in done.stderr and key in done.stderr and "prod" in done.stderr, done.stderr


@pytest.mark.parametrize("profile", ["dev", "prod"])
def test_a_mock_answer_never_stands_in_for_a_failure(plugins, tmp_path, provider, profile):
    gw.need(plugins)
    with kit.Chimera(tmp_path, plugins, gw.sections(
            provider.port, server={"profile": profile, "open_access": "yes", "drain_delay": "0s",
                                   "control": str(tmp_path / "control.sock")},
            dryrun={"models": "dryrun"}, router={"default": "up"})) as c:
        g = gw.Gateway(c.address(), c)
        assert gw.outcome(g, "bad-status-500", False).said == "503 upstream_error"
        assert g.chat("dryrun").header("X-Chimera-Backend") == "dryrun"


def test_startup_pings_tell_and_never_fail_the_start(start, provider):
    g = start(provider.port, server={"startup_vendor_pings": "yes", "startup_check_timeout": "1s"})
    assert g.chat("gpt-test").status == 200
    kit.wait_for(lambda: any("dead" in json.dumps(line) and line.get("lvl") in ("warn", "error") for line in g.chimera.log),
                 lambda: "a line about the backend that is not there: " + g.chimera.stderr())
    kit.wait_for(lambda: any(r.path == "/v1/models" for r in provider.requests), "the ping of the one that is there")


def test_models_are_those_of_all_backends_and_one_that_is_down_hides_none(gateway, start, provider):
    g = start(provider.port, dryrun={"models": "dryrun"})
    models = g.ask("/v1/models").json()["data"]
    assert set(dialects.MODELS) | {"dryrun"} <= {m["id"] for m in models}
    assert g.ask("/v1/models/Qwen/Qwen3-32B").json()["id"] == "Qwen/Qwen3-32B"
    assert g.ask("/v1/models/Qwen%2FQwen3-32B").json()["id"] == "Qwen/Qwen3-32B"
    assert g.ask("/v1/models/gemma3%3Alatest").json()["id"] == "gemma3:latest"
    assert g.ask("/v1/models/nobody").status == 404
