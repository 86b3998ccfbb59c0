# SPDX-License-Identifier: Apache-2.0
"""1,000 pairs of duplicates, fired at once at a backend that counts its calls: 1,000 calls, and each pair is told the same bytes; in one
process, across three, and with the process killed that made the calls. The backend holds all calls until the last has come, so that they
truly run at the same time; every third is a stream."""
import itertools
import signal

import chimera as kit
import pytest
import swarm
from guarding import Keys, chat, sections, tally

ONCE = True  # thousands of connections: a matter of counting, which sanitizers do not change
PAIRS = 1000
PATIENT = {"wait_timeout": "60s", "ttl": "10m"}
# What each exchange has of its own; all else of a replay is as it was.
OWN = ("date", "x-request-id", "traceparent", "server-timing", "idempotent-replayed", "ratelimit", "content-length", "transfer-encoding",
       "connection", "keep-alive")
REFUSALS = {"409 idempotency_in_progress", "409 idempotency_indeterminate"}


def pair_of(i, secret):
    """Two requests that are the same, with another key than all others."""
    return [chat(secret, f"call {i}", stream=i % 3 == 0, headers={"Idempotency-Key": f"pair-{i}"})] * 2


def volley_of(daemons, secret, rng, pairs=PAIRS, same=False):
    """(pairs, volley): each request on a connection of its own, all in random order. same: both of a pair go to the same daemon."""
    places = []
    for i in range(pairs):
        where = [rng.choice(daemons)] * 2 if same or len(daemons) == 1 else rng.sample(daemons, 2)
        places += [(i, c, request) for c, request in zip(where, pair_of(i, secret))]
    rng.shuffle(places)
    return places, swarm.Volley([(c.address(), [request]) for _, c, request in places])


def by_pair(places, answers):
    """{i: [(daemon, answer), (daemon, answer)]}"""
    found = {}
    for (i, c, _), (answer,) in zip(places, answers):
        found.setdefault(i, []).append((c, answer))
    return found


def kept(answer):
    return sorted((n, v) for n, v in answer.fields if n not in OWN and not n.startswith(("x-ratelimit-", "ratelimit-")))


def judge(pairs, what):
    """Every pair was answered with the same bytes, one of them as a replay."""
    answers = [a for pair in pairs.values() for _, a in pair]
    print(f"{what}: {len(pairs)} pairs: {tally(answers)}; {swarm.spread(a.took for a in answers)}")
    assert tally(answers) == {"200": len(pairs), "200 replayed": len(pairs)}
    bodies = set()
    for i, ((_, a), (_, b)) in pairs.items():
        assert a.body == b.body, (i, a, b)
        assert kept(a) == kept(b), (i, kept(a), kept(b))
        assert sorted(x.header("Idempotent-Replayed") or "" for x in (a, b)) == ["", "true"]
        assert (b"text/event-stream" in a.head) == (i % 3 == 0) and a.body.endswith(b"data: [DONE]\n\n") == (i % 3 == 0)
        bodies.add(a.body)
    assert len(bodies) == len(pairs)


def run_pairs(daemons, counting, secret, rng, what, same=False):
    counting.shut()
    places, v = volley_of(daemons, secret, rng, same=same)
    v.start()
    kit.wait_for(lambda: counting.held() == PAIRS, lambda: f"{PAIRS} calls at the backend; there are {counting.held()}")
    counting.open()
    pairs = by_pair(places, v.wait())
    calls = counting.calls()
    print(f"{what}: {len(calls)} keys, {sum(calls.values())} calls")
    assert len(calls) == PAIRS and sum(calls.values()) == PAIRS
    judge(pairs, what)
    # Once more, when all is over: replays alone.
    answers = list(itertools.chain(*swarm.volley([(rng.choice(daemons).address(), [pair_of(i, secret)[0] for i in range(j, PAIRS, 20)])
                                                  for j in range(20)])))
    assert tally(answers) == {"200 replayed": PAIRS} and sum(counting.calls().values()) == PAIRS
    again = {i: a.body for j in range(20) for i, a in zip(range(j, PAIRS, 20), answers[j * (PAIRS // 20):])}
    assert all(again[i] == pair[0][1].body for i, pair in pairs.items())


def test_i1_i3_pairs_at_once_in_one_process(guarded, counting, tmp_path):
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    daemons = guarded(keys, up=counting, idempotency=PATIENT, server={"workers": 4})
    run_pairs(daemons, counting, secret, rng, "in one process")


@pytest.mark.parametrize("same", [False, True], ids=["apart", "side by side"])
def test_i1_i3_pairs_at_once_over_three_processes(guarded, counting, redis_server, tmp_path, same):
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    daemons = guarded(keys, n=3, redis=redis_server, up=counting, idempotency=PATIENT, kv_redis={"timeout": "20s"})
    run_pairs(daemons, counting, secret, rng, "over three processes" + ", side by side" * same, same=same)


def test_i3_a_thousand_racers_for_one_key_are_one_call(guarded, counting, redis_server, tmp_path):
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    daemons = guarded(keys, n=3, redis=redis_server, up=counting, idempotency=PATIENT, kv_redis={"timeout": "20s"})
    counting.shut()
    v = swarm.Volley([(daemons[i % 3].address(), [pair_of(0, secret)[0]]) for i in range(1000)])
    v.start()
    waits = lambda: sum(c.metric("chimera_idempotency_waits_total") for c in daemons)  # noqa: E731
    kit.wait_for(lambda: counting.held() == 1 and waits() == 999, lambda: f"999 to wait for one; {waits()} do")
    counting.open()
    answers = [a for a, in v.wait()]
    print(f"1000 racers: {tally(answers)}, {sum(counting.calls().values())} calls, {len({a.body for a in answers})} bodies")
    assert tally(answers) == {"200": 1, "200 replayed": 999} and len({a.body for a in answers}) == 1
    assert sum(counting.calls().values()) == 1


def test_i3_work_goes_on_as_long_as_anybody_waits_for_it(guarded, counting, tmp_path):
    """The first clients leave; where another waits the call runs on and answers it, elsewhere it is cancelled and its key is free."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    c, = guarded(keys, up=counting, idempotency=PATIENT, server={"workers": 4})
    n = 200
    requests = [pair_of(i, secret)[0] for i in range(n)]
    counting.shut()
    first = [c.connect() for _ in range(n)]
    for connection, request in zip(first, requests):
        connection.send(request)
    kit.wait_for(lambda: counting.held() == n, lambda: f"{n} calls at the backend; there are {counting.held()}")
    second = swarm.Volley([(c.address(), [request]) for request in requests[::2]])
    second.start()
    kit.wait_for(lambda: c.metric("chimera_idempotency_waits_total") == n // 2, "the second ones to wait")
    rng.shuffle(first)
    for connection in first:
        connection.abort()
    kit.wait_for(lambda: counting.held() == n // 2, lambda: f"what nobody wants to be cancelled; {counting.held()} calls run")
    counting.open()
    answers = [a for a, in second.wait()]
    assert tally(answers) == {"200 replayed": n // 2} and len({a.body for a in answers}) == n // 2
    again = [a for a, in swarm.volley([(c.address(), [request]) for request in requests])]
    calls = counting.calls()
    print(f"left alone: {tally(again)}, {sum(calls.values())} calls of {n} keys")
    assert [a.kind for a in again] == ["200 replayed", "200"] * (n // 2)
    assert [a.body for a in again[::2]] == [a.body for a in answers]
    assert [calls[f"call {i}"] for i in range(n)] == [1, 2] * (n // 2)


def test_i5_an_owner_that_was_stopped_for_long_is_believed_when_it_is_back(guarded, counting, redis_server, tmp_path):
    """SIGSTOP for longer than a process may be silent: meanwhile its duplicates are refused, then they are replays; one call each."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    owner, other = guarded(keys, n=2, redis=redis_server, up=counting, idempotency=PATIENT, kv_redis={"timeout": "20s"})
    n = 50
    requests = [pair_of(i, secret)[0] for i in range(n)]
    counting.shut()
    first = swarm.Volley([(owner.address(), [request]) for request in requests])
    first.start()
    kit.wait_for(lambda: counting.held() == n, "the calls of the first")
    owner.signal(signal.SIGSTOP)
    kit.wait_for(owner.stopped, "the owner to stand")
    refused = [a for a, in swarm.volley([(other.address(), [request]) for request in requests])]
    owner.signal(signal.SIGCONT)
    counting.open()
    answers = [a for a, in first.wait()]
    again = [a for a, in swarm.volley([(other.address(), [request]) for request in requests])]
    print(f"stopped: {tally(refused)}, back: {tally(answers)}, again: {tally(again)}, {sum(counting.calls().values())} calls")
    assert tally(refused) == {"409 idempotency_indeterminate": n} and tally(answers) == {"200": n}
    assert tally(again) == {"200 replayed": n} and [a.body for a in again] == [a.body for a in answers]
    assert sum(counting.calls().values()) == n


def test_i1_i3_a_reload_in_mid_call_loses_no_key(guarded, counting, tmp_path):
    """The old generation's calls and those who wait for them end as they would have; what it kept is replayed by the new one."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    c, = guarded(keys, up=counting, idempotency=PATIENT)
    n = 200
    requests = [pair_of(i, secret)[0] for i in range(n)]
    counting.shut()
    first = swarm.Volley([(c.address(), [request]) for request in requests])
    first.start()
    kit.wait_for(lambda: counting.held() == n, "the calls of the first")
    second = swarm.Volley([(c.address(), [request]) for request in requests[::2]])
    second.start()
    kit.wait_for(lambda: c.metric("chimera_idempotency_waits_total") == n // 2, "the second ones to wait")
    c.write(sections(keys, up=counting, idempotency={**PATIENT, "ttl": "11m"}, kv_memory={"max_bytes": "80m"}))
    c.signal(signal.SIGHUP)
    c.wait_said("config reloaded")
    third = swarm.Volley([(c.address(), [request]) for request in requests[1::2]])
    third.start()
    kit.wait_for(lambda: c.metric("chimera_idempotency_waits_total") == n, "the third ones to wait")
    counting.open()
    answers, waited, new = ([a for a, in v.wait()] for v in (first, second, third))
    again = [a for a, in swarm.volley([(c.address(), [request]) for request in requests])]
    print(f"reloaded: {tally(answers)}, waited {tally(waited)}, behind it {tally(new)}, again {tally(again)}, "
          f"{sum(counting.calls().values())} calls")
    assert tally(answers) == {"200": n} and tally(waited) == tally(new) == {"200 replayed": n // 2} and tally(again) == {"200 replayed": n}
    bodies = [a.body for a in answers]
    assert [a.body for a in waited] == bodies[::2] and [a.body for a in new] == bodies[1::2] and [a.body for a in again] == bodies
    assert sum(counting.calls().values()) == n


def test_i5_the_owner_is_killed_while_its_calls_run(guarded, counting, redis_server, tmp_path):
    """Whoever hangs on a killed process is told so; nobody is told anything else than the one answer, and no call is made twice."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    daemons = guarded(keys, n=3, redis=redis_server, up=counting, idempotency=PATIENT, kv_redis={"timeout": "20s"})
    counting.shut()
    places, v = volley_of(daemons, secret, rng)
    v.start()
    kit.wait_for(lambda: counting.held() == PAIRS, lambda: f"{PAIRS} calls at the backend; there are {counting.held()}")
    killed, *alive = daemons
    killed.kill()
    counting.open()
    pairs = by_pair(places, v.wait())
    calls = counting.calls()
    assert len(calls) == PAIRS and sum(calls.values()) == PAIRS
    told, of_killed = [], []
    for pair in pairs.values():
        for c, a in pair:
            (of_killed if c is killed else told).append(a)
        whole = {a.body for _, a in pair if a.status == 200}
        assert len(whole) <= 1, pair
    print(f"owner killed: {PAIRS} calls; its own clients: {tally(of_killed)}; the others': {tally(told)}; "
          f"{swarm.spread(a.took for a in told)}")
    assert all(a.error in ("closed", "ECONNRESET") for a in of_killed), tally(of_killed)
    assert set(tally(told)) <= {"200", "200 replayed"} | REFUSALS, tally(told)
    # Who asked a process that lives, and whose pair did too, has its answer.
    for pair in pairs.values():
        if all(c is not killed for c, _ in pair):
            assert sorted(a.kind for _, a in pair) == ["200", "200 replayed"], pair
    # Asked again: what was answered is replayed, what died is refused, and nothing is called a second time.
    answers = [a for a, in swarm.volley([(rng.choice(alive).address(), [pair_of(i, secret)[0]]) for i in range(PAIRS)])]
    print(f"asked again: {tally(answers)}, {sum(counting.calls().values())} calls")
    assert sum(counting.calls().values()) == PAIRS
    lost = {i for i, pair in pairs.items() if not any(a.status == 200 for _, a in pair)}
    for i, a in enumerate(answers):
        # An owner that was killed behind its last byte has kept what it said, and its client may not have heard it.
        assert a.kind == "200 replayed" or (i in lost and a.kind == "409 idempotency_indeterminate"), (i, a)


@pytest.mark.skipif(not kit.HEAVY, reason="ten seconds: CHIMERA_HEAVY=1; ../idempotency has it for one key")
def test_i5_what_a_killed_owner_left_is_called_anew_where_that_is_allowed(guarded, counting, redis_server, tmp_path):
    """`on_owner_lost = retry`: the one that waits takes over, once."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    daemons = guarded(keys, n=3, redis=redis_server, up=counting, idempotency={**PATIENT, "on_owner_lost": "retry"},
                      kv_redis={"timeout": "20s"})
    counting.shut()
    # The first of each goes to the process that will be killed, and the other two wait for it elsewhere.
    n = 50
    first = swarm.Volley([(daemons[0].address(), [pair_of(i, secret)[0]]) for i in range(n)])
    first.start()
    kit.wait_for(lambda: counting.held() == n, "the calls of the first")
    rest = swarm.Volley([(c.address(), [pair_of(i, secret)[0]]) for i in range(n) for c in daemons[1:]])
    rest.start()
    waits = lambda: sum(c.metric("chimera_idempotency_waits_total") for c in daemons)  # noqa: E731
    kit.wait_for(lambda: waits() == 2 * n, lambda: f"{2 * n} to wait; {waits()} do")
    daemons[0].kill()
    counting.open()
    first.wait()
    answers = [a for a, in rest.wait()]
    calls = counting.calls()
    print(f"taken over: {tally(answers)}, {sum(calls.values())} calls of {n} keys, by key at most {max(calls.values())}")
    assert tally(answers) == {"200": n, "200 replayed": n} and set(calls.values()) == {2}
    for a, b in zip(answers[::2], answers[1::2]):
        assert a.body == b.body
