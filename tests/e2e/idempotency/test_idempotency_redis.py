# SPDX-License-Identifier: Apache-2.0
"""Two chimerads over one Redis: FAULTS I3, I5, I8 with owners that die and a Redis that does."""
import chimera as kit
import pytest
from keyed import Later, ask, begin, body, replays

ONCE = True


def calls(backend, n=1):
    kit.wait_for(lambda: len(backend.calls) >= n, f"{n} calls")


def served(c, key, data=None):
    """The answer as soon as this server, each of whose loops finds for itself that Redis is back, has one."""
    return kit.wait_for(lambda: (r := ask(c, key, data)).status != 503 and r, "Redis to be used again")


@pytest.mark.parametrize("stream", [False, True])
def test_what_one_server_answered_another_replays(front, backend, redis, stream):
    a, b = front(redis), front(redis)
    data = body(stream=stream)
    first = ask(a, "k", data)
    assert first.status == 200
    for _ in range(2):
        again = ask(b, "k", data)
        replays(first, again)
        assert again.chunked == first.chunked
    assert len(backend.calls) == 1
    ask(b, "k", body(text="other")).problem(422, "idempotency_key_reused")


@pytest.mark.parametrize("stream", [False, True])
def test_racers_on_two_servers_are_one_call(front, backend, redis, stream):
    a, b = front(redis), front(redis)
    data = body("slow-m", stream)
    conns = [begin(c, "k", data) for _ in range(100) for c in (a, b)]
    later = Later(conns)
    kit.wait_for(lambda: a.metric("chimera_idempotency_waits_total") + b.metric("chimera_idempotency_waits_total") >= 199, "199 wait")
    backend.open()
    answers = later.all()
    first = [x for x in answers if x.header("Idempotent-Replayed") is None]
    assert len(first) == 1 and first[0].status == 200
    for x in answers:
        if x is not first[0]:
            replays(first[0], x)
    assert len(backend.calls) == 1


def test_who_waits_too_long_elsewhere_is_409_and_may_come_again(front, backend, redis):
    a, b = front(redis), front(redis, wait_timeout="1s")
    conn = begin(a, "k", body("slow-m"))
    calls(backend)
    r = ask(b, "k", body("slow-m"))
    r.problem(409, "idempotency_in_progress")
    assert 1 <= int(r.header("Retry-After")) <= 10 and r.header("x-should-retry") == "true"
    other = begin(b, "k", body("slow-m"))
    backend.open()
    first, again = conn.response(), other.response()
    if again.status == 409:  # a second is over soon
        again = kit.wait_for(lambda: (r := ask(b, "k", body("slow-m"))).status != 409 and r, "the answer")
    replays(first, again)
    assert len(backend.calls) == 1


def test_work_goes_on_for_who_waits_elsewhere(front, backend, redis):
    a, b = front(redis), front(redis)
    conn = begin(a, "k", body("slow-m"))
    calls(backend)
    other = begin(b, "k", body("slow-m"))
    b.wait_metric("chimera_idempotency_waits_total", 1)
    kit.wait_for(lambda: redis.keys("*:wanted"), "the mark")
    conn.close()
    a.wait_metric("chimera_idempotency_clientless", 1)
    backend.open()
    r = other.response()
    assert r.status == 200 and r.header("Idempotent-Replayed") == "true"
    assert len(backend.calls) == 1 and not backend.calls[0].gone.is_set()


def test_work_that_nobody_waits_for_elsewhere_is_cancelled_and_its_key_free(front, backend, redis):
    a, b = front(redis), front(redis)
    conn = begin(a, "k", body("slow-m"))
    calls(backend)
    conn.close()
    assert backend.calls[0].gone.wait(kit.DEADLINE)
    backend.open()
    r = ask(b, "k", body("slow-m"))
    assert r.status == 200 and r.header("Idempotent-Replayed") is None
    assert len(backend.calls) == 2


def test_a_dead_owners_key_is_409_and_never_done_again(front, backend, redis):
    a, b = front(redis), front(redis, wait_timeout="20s")
    conn = begin(a, "k", body("slow-m"))
    calls(backend)
    kit.wait_for(lambda: len(redis.keys("*idempotency:alive:*")) == 2, "both say that they live")
    a.kill()
    conn.close()
    backend.open()
    r = ask(b, "k", body("slow-m"))
    p = r.problem(409, "idempotency_indeterminate")
    assert "new key" in p["detail"] and r.header("x-should-retry") == "false"
    assert len(backend.calls) == 1
    assert b.metric("chimera_idempotency_owners_lost_total") == 1


def test_a_dead_owners_work_is_done_again_if_that_is_wanted(front, backend, redis):
    a, b = front(redis, on_owner_lost="retry"), front(redis, on_owner_lost="retry", wait_timeout="20s")
    conn = begin(a, "k", body("slow-m"))
    calls(backend)
    kit.wait_for(lambda: len(redis.keys("*idempotency:alive:*")) == 2, "both say that they live")
    a.kill()
    conn.close()
    backend.open()
    later = Later([begin(b, "k", body("slow-m")) for _ in range(10)])
    answers = later.all()
    assert [x.status for x in answers] == [200] * 10
    assert len({x.body for x in answers}) == 1
    assert len(backend.calls) == 2
    assert b.metric("chimera_idempotency_owners_lost_total") == 1


def test_a_redis_that_is_away_before_the_claim(front, backend, redis):
    a, b = front(redis), front(redis, on_store_down="refuse")
    assert ask(a, "seen").status == 200
    a.wait_metric("chimera_idempotency_stored_bytes_total", 1)
    redis.kill()
    r = ask(b, "k")
    r.problem(503, "unavailable")
    assert r.header("Retry-After")
    assert not ask(b, None).header("Idempotent-Replayed")
    ask(a, "seen").problem(503, "unavailable")  # what was answered is never done again, whatever the policy
    first = ask(a, "k")
    replays(first, ask(a, "k"))  # this server remembers what it did meanwhile
    assert len(backend.calls) == 3
    redis.start()
    kit.wait_for(lambda: redis.keys("*idempotency:*") and a.metric("chimera_idempotency_unwritten") == 0, "the answer is in Redis")
    replays(first, served(b, "k"))  # and tells the other one as soon as it can
    served(a, "seen").problem(409, "idempotency_not_replayable")  # this Redis forgot all when it died
    assert len(backend.calls) == 3


def test_a_redis_that_stalls_forgets_no_key(front, backend, redis):
    a = front(redis, timeout="2s")
    first = ask(a, "k")
    a.wait_metric("chimera_idempotency_stored_bytes_total", 1)
    replays(first, ask(a, "k"))
    redis.pause()
    for _ in range(4):  # nobody knows what became of the first of them
        ask(a, "k").problem(503, "unavailable")
    redis.resume()
    kit.wait_for(lambda: ask(a, "other").status == 200 and a.metric("chimera_idempotency_unwritten") == 0, "Redis answers")
    replays(first, served(a, "k"))
    assert a.metric("chimera_idempotency_first_total") == len(backend.calls) == 2


def test_a_redis_that_dies_between_claim_and_answer(front, backend, redis):
    a, b = front(redis), front(redis)
    conn = begin(a, "k", body("slow-m"))
    calls(backend)
    other = begin(a, "k", body("slow-m"))
    a.wait_metric("chimera_idempotency_waits_total", 1)
    redis.kill()
    backend.open()
    first = conn.response()
    replays(first, other.response())
    replays(first, ask(a, "k", body("slow-m")))
    a.wait_metric("chimera_idempotency_unwritten", 1)
    assert a.metric("chimera_idempotency_held_bytes") > 0
    redis.start()
    kit.wait_for(lambda: a.metric("chimera_idempotency_unwritten") == 0, "the answer is in Redis")
    replays(first, served(b, "k", body("slow-m")))
    assert len(backend.calls) == 1
    kit.wait_for(lambda: a.metric("chimera_idempotency_held_bytes") == 0, "nothing to be held")


def test_the_store_holds_no_key_and_no_address(front, backend, redis):
    a = front(redis)
    ask(a, "a-key-that-nobody-shall-see")
    for key in redis.keys("*"):
        assert b"a-key-that" not in key and b"127.0.0.1" not in key
