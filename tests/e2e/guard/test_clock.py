# SPDX-License-Identifier: Apache-2.0
"""The wall clock jumps, of the daemon's machine or of Redis': nobody gets anything twice, and nobody is locked out. The clock is that of
clock_jump.c, loaded before the C library; the monotonic clock, which no administrator can set, goes on."""
import os
import shutil
import struct
import subprocess

import chimera as kit
import pytest
import swarm
from guarding import Keys, ask, chat, tally
from redis_server import Redis

HOUR, DAY, YEAR = 3600, 86400, 366 * 86400
HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    if kit.SANITIZERS:
        pytest.skip("a sanitizer's library must come first")
    cc = shutil.which(os.environ.get("CC", "cc").split()[0]) or shutil.which("gcc") or pytest.skip("there is no C compiler")
    so = tmp_path_factory.mktemp("clock") / "clock_jump.so"
    subprocess.run([cc, "-shared", "-fPIC", "-O1", "-o", so, os.path.join(HERE, "clock_jump.c")], check=True)
    return str(so)


class Clock:
    """A clock that jumps; env: what a process needs to have it."""

    def __init__(self, shim, path):
        self.path = str(path)
        self.jump(0, "xb")
        self.env = {"LD_PRELOAD": shim, "CLOCK_JUMP": self.path}

    def jump(self, seconds, mode="r+b"):
        """So far off the true time it is from now on."""
        with open(self.path, mode) as f:
            f.write(struct.pack("q", seconds))


class Jumping(Redis):
    def __init__(self, clock):
        super().__init__()
        self.clock = clock

    def command(self):
        return ["env", *(f"{k}={v}" for k, v in self.clock.env.items()), *super().command()]


@pytest.fixture
def clock(shim, tmp_path):
    return Clock(shim, tmp_path / "clock")


def spend(c, secret, n):
    answers, = swarm.volley([(c.address(), [ask(secret)] * n)])
    return tally(answers)


JUMPS = [-HOUR, YEAR, -YEAR, 0, 10 * YEAR]


def test_r2_the_daemon_s_clock_gives_nothing_and_takes_nothing_in_memory(guarded, clock, tmp_path):
    keys = Keys(tmp_path, kit.seeded())
    spent, slow, fast = (keys.add(name, owner=name, tier=tier) for name, tier in (("a", "premium"), ("b", "premium"), ("c", "api_key")))
    c, = guarded(keys, env=clock.env, ratelimit__premium={"requests": "1/h", "burst": 10},
                 ratelimit__api_key={"requests": "50/s", "burst": 5})
    assert spend(c, spent, 11) == {"200": 10, "429 rate_limited": 1}
    left = 10
    for jump in JUMPS:
        clock.jump(jump)
        assert spend(c, spent, 1) == {"429 rate_limited": 1}, jump  # no refund
        assert spend(c, slow, 1) == {"200": 1}, jump  # and no loss
        left -= 1
        spend(c, fast, 20)
        kit.wait_for(lambda: spend(c, fast, 1) == {"200": 1}, f"a token of 50 a second behind a jump of {jump} s")  # no lock-out
    assert spend(c, slow, 11) == {"200": left, "429 rate_limited": 11 - left}


def test_r2_the_daemons_clocks_are_not_asked_over_redis(guarded, clock, tmp_path, redis):
    """Two daemons whose clocks are years apart share one limit exactly."""
    keys = Keys(tmp_path, kit.seeded())
    secret = keys.add("a", owner="a")
    more = {"redis": redis, "ratelimit__api_key": {"requests": "1/h", "burst": 20}, "kv_redis": {"timeout": "10s"}}
    off, = guarded(keys, env=clock.env, **more)
    right, = guarded(keys, **more)
    for i, jump in enumerate(JUMPS):
        clock.jump(jump)
        assert spend(off, secret, 2) == spend(right, secret, 2) == {"200": 2}, i
    assert spend(off, secret, 2) == spend(right, secret, 2) == {"429 rate_limited": 2}


def test_r2_a_jump_of_redis_own_clock_refunds_nothing_backwards_and_locks_nobody_out(guarded, clock, tmp_path):
    keys = Keys(tmp_path, kit.seeded())
    spent, fast = keys.add("a", owner="a", tier="premium"), keys.add("b", owner="b")
    with Jumping(clock) as redis:
        real = int(redis.cli("TIME")[0])
        clock.jump(DAY)
        assert real + DAY - 60 < int(redis.cli("TIME")[0]) < real + DAY + 60
        c, = guarded(keys, redis=redis, ratelimit__premium={"requests": "1/h", "burst": 10},
                     ratelimit__api_key={"requests": "50/s", "burst": 5}, kv_redis={"timeout": "10s"})
        assert spend(c, spent, 12) == {"200": 10, "429 rate_limited": 2}
        assert spend(c, fast, 5)["200"] >= 5
        clock.jump(0)  # back by a day
        assert spend(c, spent, 2) == {"429 rate_limited": 2}
        kit.wait_for(lambda: spend(c, fast, 1) == {"200": 1}, "a token of 50 a second behind a day backwards")
        clock.jump(2 * DAY)  # forward by two: that is what the clock says, so the bucket is full, and no fuller
        assert spend(c, spent, 12) == {"200": 10, "429 rate_limited": 2}
        clock.jump(0)
        assert spend(c, spent, 2) == {"429 rate_limited": 2}


def test_a_jump_ends_no_claim_and_no_answer_is_made_twice(guarded, clock, tmp_path, counting):
    """A duplicate that comes behind a jump of the daemon's clock is a duplicate still."""
    keys = Keys(tmp_path, kit.seeded())
    secret = keys.add("a", owner="a")
    c, = guarded(keys, env=clock.env, up=counting)
    request = chat(secret, "once", headers={"Idempotency-Key": "once"})
    counting.shut()
    first = swarm.Volley([(c.address(), [request])])
    first.start()
    kit.wait_for(lambda: counting.held() == 1, "the first at the backend")
    clock.jump(HOUR)
    second = swarm.Volley([(c.address(), [request])])
    second.start()
    kit.wait_for(lambda: c.metric("chimera_idempotency_waits_total") == 1, "the second to wait")
    clock.jump(-HOUR)
    counting.open()
    (a,), (b,) = first.wait()[0], second.wait()[0]
    clock.jump(HOUR)
    (d,), = swarm.volley([(c.address(), [request])])
    assert [x.kind for x in (a, b, d)] == ["200", "200 replayed", "200 replayed"] and a.body == b.body == d.body
    assert counting.calls() == {"once": 1}
