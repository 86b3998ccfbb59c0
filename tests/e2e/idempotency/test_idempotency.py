# SPDX-License-Identifier: Apache-2.0
"""One chimerad, the store in memory: FAULTS I1 to I4, I6, I7 over real sockets, with a backend that counts."""
import json

import chimera as kit
import pytest
from keyed import Later, ask, begin, body, replays


def test_a_repeated_request_is_a_replay_and_one_call(front, backend):
    c = front()
    for stream in (False, True):
        key, data = f"k-{stream}", body(stream=stream)
        first = ask(c, key, data)
        assert first.status == 200 and b"call" in first.body
        for spelling in (key, f'"{key}"'):
            again = ask(c, spelling, data)
            replays(first, again)
            assert again.chunked == first.chunked
    assert len(backend.calls) == 2
    assert c.metric("chimera_idempotency_hits_total") == 4


def test_the_house_route_is_idempotent_too(front, backend):
    c = front()
    data = json.dumps({"prompt": "hi"}).encode()
    replays(ask(c, "k", data, "/v1/ask"), ask(c, "k", data, "/v1/ask"))
    assert len(backend.calls) == 1


def test_another_payload_is_422_and_another_path_another_request(front, backend):
    c = front()
    assert ask(c, "k").status == 200
    ask(c, "k", body(text="other")).problem(422, "idempotency_key_reused")
    assert ask(c, "k", json.dumps({"model": "m", "prompt": "x"}).encode(), "/v1/ask").header("Idempotent-Replayed") is None
    assert len(backend.of("m")) == 2


@pytest.mark.parametrize("key", ["", '""', "a b", '"a', "k\u00e4", "x" * 256, "x" * 7000, 'a"; b'])
def test_a_key_that_is_none_is_400_and_no_call(front, backend, key):
    c = front()
    r = ask(c, key)
    p = r.problem(400, "bad_request")
    assert p["param"] == "Idempotency-Key" and "255" in p["detail"]
    assert p["error"]["param"] == "Idempotency-Key"
    assert not backend.calls


def test_two_keys_and_ten_kilobytes_are_refused(front, backend):
    c = front()
    two = c.request("POST", "/v1/chat/completions", body(), [("Idempotency-Key", "a"), ("Idempotency-Key", "a"),
                                                            ("Content-Type", "application/json")])
    two.problem(400, "bad_request")
    with c.connect() as conn:
        conn.send(kit.request_bytes("POST", "/v1/chat/completions", body(), [("Idempotency-Key", "x" * 10240)]))
        assert conn.response().status in (400, 431)
    assert not backend.calls


def test_nobody_hears_by_a_key_what_another_address_was_answered(front, backend):
    c = front(more={"server": {"trusted_proxies": "127.0.0.0/8"}})
    answers = [c.request("POST", "/v1/chat/completions", body(), [("Idempotency-Key", "k"), ("X-Forwarded-For", who),
                                                                 ("Content-Type", "application/json")])
               for who in ("192.0.2.1", "192.0.2.2", "192.0.2.1")]
    assert [a.header("Idempotent-Replayed") for a in answers] == [None, None, "true"]
    assert answers[0].body != answers[1].body and answers[0].body == answers[2].body
    assert len(backend.calls) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_a_thousand_at_once_are_one_call(front, backend, stream):
    c = front()
    data = body("slow-m", stream)
    conns = [begin(c, "k", data) for _ in range(1000 if not kit.SANITIZERS else 100)]
    later = Later(conns)
    c.wait_metric("chimera_idempotency_waits_total", len(conns) - 1)
    backend.open()
    answers = later.all()
    first = [a for a in answers if a.header("Idempotent-Replayed") is None]
    assert len(first) == 1 and first[0].status == 200
    for a in answers:
        if a is not first[0]:
            replays(first[0], a)
    assert len(backend.calls) == 1
    kit.wait_for(lambda: c.metric("chimera_idempotency_held_bytes") == 0, "no answer is held any more")


def test_another_payload_in_flight_is_422_at_once(front, backend):
    c = front()
    conn = begin(c, "k", body("slow-m"))
    kit.wait_for(lambda: backend.calls, "the call")
    ask(c, "k", body("slow-m", text="other")).problem(422, "idempotency_key_reused")
    backend.open()
    assert conn.response().status == 200


@pytest.mark.parametrize("stream", [False, True])
def test_work_whose_only_client_leaves_is_cancelled_and_done_anew(front, backend, stream):
    c = front()
    data = body("slow-m", stream)
    conn = begin(c, "k", data)
    kit.wait_for(lambda: backend.calls, "the call")
    if stream:
        conn.head()
    conn.close()
    assert backend.calls[0].gone.wait(kit.DEADLINE)
    kit.wait_for(lambda: c.metric("chimera_idempotency_in_flight") == 0, "the end of the work")
    backend.open()
    r = ask(c, "k", data)
    assert r.status == 200 and r.header("Idempotent-Replayed") is None
    assert len(backend.calls) == 2


@pytest.mark.parametrize("stream", [False, True])
def test_work_goes_on_when_its_client_leaves_and_another_waits(front, backend, stream):
    c = front()
    data = body("slow-m", stream)
    conn = begin(c, "k", data)
    kit.wait_for(lambda: backend.calls, "the call")
    if stream:
        conn.head()
    other = begin(c, "k", data)
    c.wait_metric("chimera_idempotency_waits_total", 1)
    conn.close()
    c.wait_metric("chimera_idempotency_clientless", 1)
    backend.open()
    r = other.response()
    assert r.status == 200 and r.header("Idempotent-Replayed") == "true"
    if stream:
        assert r.body.startswith(b"data: ") and r.body.endswith(b"data: [DONE]\n\n") and b"word 19" in r.body
    assert not backend.calls[0].gone.is_set()
    replay = ask(c, "k", data)
    assert replay.body == r.body
    assert len(backend.calls) == 1
    kit.wait_for(lambda: c.metric("chimera_idempotency_clientless") == 0, "none to be without a client")


def test_work_ends_when_the_last_who_waits_has_left(front, backend):
    c = front()
    conns = [begin(c, "k", body("slow-m"))]
    kit.wait_for(lambda: backend.calls, "the call")
    conns += [begin(c, "k", body("slow-m")) for _ in range(3)]
    c.wait_metric("chimera_idempotency_waits_total", 3)
    for conn in conns:
        conn.close()
    assert backend.calls[0].gone.wait(kit.DEADLINE)
    kit.wait_for(lambda: c.metric("chimera_idempotency_in_flight") == 0, "the end of the work")
    assert len(backend.calls) == 1


@pytest.mark.parametrize("status,kept", [(400, True), (404, True), (422, True), (401, False), (429, False), (500, False)])
def test_a_backends_refusal_is_kept_if_the_next_try_would_end_the_same(front, backend, status, kept):
    c = front()
    data = body(f"status-{status}")
    first, again = ask(c, "k", data), ask(c, "k", data)
    if kept:
        assert first.status == status
        replays(first, again)
        assert len(backend.calls) == 1
    else:
        assert again.header("Idempotent-Replayed") is None
        assert len(backend.calls) > 1


def test_our_own_refusals_are_not_kept(front, backend):
    c = front()
    for _ in range(2):
        r = ask(c, "k", b'{"model": "m", "messages": "none"}')
        assert r.status == 400 and r.header("Idempotent-Replayed") is None
    assert ask(c, "j").status == 200
    kit.wait_for(lambda: c.metric("chimera_idempotency_results_total", fate="released") == 2, "both to be released")


def test_an_answer_over_the_limit_is_served_and_its_key_stays_spent(front, backend):
    c = front(max_response_bytes="10k")
    data = body("big-20000")
    first = ask(c, "k", data)
    assert first.status == 200 and len(first.body) > 20000
    for _ in range(2):
        ask(c, "k", data).problem(409, "idempotency_not_replayable")
    assert len(backend.calls) == 1
    replays(ask(c, "j", body("big-9000")), ask(c, "j", body("big-9000")))


def test_a_large_answer_is_replayed_to_many(front, backend):
    c = front()
    data = body("big-900000")
    first = ask(c, "k", data)
    for a in Later([begin(c, "k", data) for _ in range(20)]).all():
        replays(first, a)
    assert len(backend.calls) == 1


def test_a_reload_forgets_nothing_and_loses_nobody(front, backend):
    c = front()
    first = ask(c, "before")
    conn = begin(c, "k", body("slow-m"))
    kit.wait_for(lambda: backend.of("slow-m"), "the call")
    with open(c.path, encoding="utf-8") as f:
        text = f.read()
    with open(c.path, "w", encoding="utf-8") as f:
        f.write(text.replace("[idempotency]\n", "[idempotency]\nttl = 4m\n"))
    c.signal(1)
    c.wait_said("reload")
    kit.wait_for(lambda: c.metric("chimera_config_generation") >= 2 or c.said("reloaded"), "the reload")
    other = begin(c, "k", body("slow-m"))
    c.wait_metric("chimera_idempotency_waits_total", 1)
    backend.open()
    replays(conn.response(), other.response())
    replays(first, ask(c, "before"))
    assert len(backend.calls) == 2


def test_the_server_ends_with_work_that_someone_waits_for(front, backend):
    c = front()
    conn = begin(c, "k", body("slow-m"))
    kit.wait_for(lambda: backend.calls, "the call")
    other = begin(c, "k", body("slow-m"))
    c.wait_metric("chimera_idempotency_waits_total", 1)
    conn.close()
    c.wait_metric("chimera_idempotency_clientless", 1)
    c.signal(15)
    c.wait_said("draining")
    backend.open()
    assert other.response().status == 200
    assert c.wait_exit() == 0
