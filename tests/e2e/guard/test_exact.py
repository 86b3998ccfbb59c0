# SPDX-License-Identifier: Apache-2.0
"""A limit is a limit: 20,000 requests at full speed for one identity, of which exactly as many pass as the limit says, whoever is asked.
The refill of one an hour adds nothing while the test runs."""
import itertools
import re
import signal

import chimera as kit
import pytest
import swarm
from guarding import Keys, ask, bearer, chat, sections, tally

ONCE = True  # 20,000 requests: a matter of counting, which sanitizers do not change
REQUESTS, LIMIT, CONNECTIONS = 20000, 1000, 60
RATE = {"requests": "1/h", "burst": LIMIT}


def storm(daemons, secrets, rng):
    """All requests, spread over daemons and keys by chance: the answers."""
    shares = [[] for _ in range(CONNECTIONS)]
    for _ in range(REQUESTS):
        rng.choice(shares).append(ask(rng.choice(secrets)))
    plans = [(daemons[i % len(daemons)].address(), share) for i, share in enumerate(shares)]
    answers = list(itertools.chain(*swarm.volley(plans, depth=4)))
    assert len(answers) == REQUESTS
    return answers


def judge(daemons, answers, what):
    passed = [a for a in answers if a.status == 200]
    took = max(a.ended for a in answers) - min(a.sent for a in answers)
    print(f"{what}: {REQUESTS} requests in {took:.2f} s, limit {LIMIT}, passed {len(passed)}, error {len(passed) - LIMIT}: "
          f"{tally(answers)}")
    assert tally(answers) == {"200": LIMIT, "429 rate_limited": REQUESTS - LIMIT}
    # Each that passed was told another number: what was left behind it.
    assert sorted(int(a.header("X-RateLimit-Remaining")) for a in passed) == list(range(LIMIT))
    assert {a.header("X-RateLimit-Remaining") for a in answers if a.status == 429} == {"0"}
    assert all(int(a.header("Retry-After")) >= 1 for a in answers if a.status == 429)
    assert sum(c.metric("rate_limiter_requests_total", tier="api_key") for c in daemons) == REQUESTS
    assert sum(c.metric("rate_limiter_denials_total", tier="api_key") for c in daemons) == REQUESTS - LIMIT


def test_r1_three_processes_on_one_redis_let_exactly_the_limit_pass(guarded, redis_server, tmp_path):
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secrets = [keys.add(f"key-{i}", owner="team-a") for i in range(3)]  # the keys of an owner share its limit
    # A machine that is busy is not a Redis that is down.
    daemons = guarded(keys, redis=redis_server, n=3, ratelimit__api_key=RATE, kv_redis={"timeout": "10s"})
    judge(daemons, storm(daemons, secrets, rng), "three processes on one Redis")


def test_r1_four_workers_in_memory_let_exactly_the_limit_pass(guarded, tmp_path):
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secrets = [keys.add(f"key-{i}", owner="team-a") for i in range(3)]
    daemons = guarded(keys, ratelimit__api_key=RATE, server={"workers": 4})
    judge(daemons, storm(daemons, secrets, rng), "four workers in memory")


def test_r1_reloads_refill_no_bucket(guarded, plugins, tmp_path):
    """20 reloads while it is asked, each with other numbers for the store, the limiter and auth; the limit stays the same."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secrets = [keys.add(f"key-{i}", owner="team-a") for i in range(3)]
    c, = guarded(keys, ratelimit__api_key=RATE, server={"workers": 4})
    answers = []
    for number in range(20):
        c.write(sections(keys, ratelimit__api_key=RATE, server={"workers": 4},
                         kv_memory={"max_bytes": f"{64 + number}m"}, ratelimit={"hold": f"{10 + number}m"},
                         auth={"failures_burst": 20 + number}))
        c.signal(signal.SIGHUP)
        requests = [ask(rng.choice(secrets)) for _ in range(REQUESTS // 20)]
        answers += itertools.chain(*swarm.volley([(c.address(), requests[i::CONNECTIONS]) for i in range(CONNECTIONS)]))
        kit.wait_for(lambda: len(c.said("config reloaded")) == number + 1, "the reload")
    judge([c], answers, "four workers in memory, reloaded 20 times")


def left(c, secret):
    """How many places are left, as an answer says that holds one itself."""
    found = re.search(r'"concurrent";r=(\d+)', c.get("/v1/models", headers=bearer(secret)).header("RateLimit"))
    return int(found[1])


def denials(daemons):
    return sum(c.metric("rate_limiter_denials_total", tier="api_key") for c in daemons)


@pytest.mark.parametrize("over", ["redis", "memory"])
def test_r1_the_places_of_a_concurrency_limit_are_never_more(guarded, redis_server, tmp_path, over, counting):
    """`concurrent` 20 for one owner: of 300 at once 20 are inside, and when they have left 20 others may come."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    more = {"redis": redis_server, "kv_redis": {"timeout": "10s"}} if over == "redis" else {}
    daemons = guarded(keys, n=3 if more else 1, up=counting, ratelimit__api_key={"requests": "100000/s", "burst": 100000, "concurrent": 20},
                      idempotency=None, **more)
    for number in range(2):
        # Nobody waits for a place to be given back: the first 20 may be leaving still when they have their answers.
        kit.wait_for(lambda: left(daemons[0], secret) == 19, "all places to be free, but that of who asks")
        before = denials(daemons)
        counting.shut()
        v = swarm.Volley([(daemons[i % len(daemons)].address(), [chat(secret, f"{number} {i}", stream=i % 3 == 0)]) for i in range(300)])
        v.start()
        kit.wait_for(lambda: denials(daemons) - before == 280 and counting.held() == 20,
                     lambda: f"20 inside and 280 refused: {counting.held()} inside")
        counting.open()
        answers = [a for a, in v.wait()]
        print(f"{over}, round {number}: {tally(answers)}")
        assert tally(answers) == {"200": 20, "429 rate_limited": 280}
    assert len(counting.calls()) == 40
