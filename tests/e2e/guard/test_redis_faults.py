# SPDX-License-Identifier: Apache-2.0
"""Redis is killed, paused, restarted, slow, or talks nonsense while two daemons are asked all the time, with auth, ratelimit and
idempotency on. No request fails because of it; the fallback and the return are each said once; a header, a metric and /ready?verbose tell
of it; what it costs a request is printed, and bounded."""
import itertools
import re
import time

import chimera as kit
import pytest
import swarm
from guarding import Keys, ask, chat, tally
from proxy import Proxy
from redis_server import Fake, Redis, RedisError, Sentinel, Wire

ONCE = True  # real time and real servers: the faults do not depend on sanitizers
DEFAULT_MS = 20
# Far more than the default: what is said once is said once, also where a machine is so busy that 20 ms are nothing.
TIMEOUT_MS = 1000
# A request asks Redis three times at most: a limit, a claim, and for what is kept.
ROUNDS = 3
# What a machine that is busy with other things may add to the worst of thousands.
SLACK_S = 3.0


CHANGE = re.compile(r"(.*?) (is degraded now|works again)")


class Load:
    """Two daemons, and clients that ask them all the time: questions, such with an Idempotency-Key, and streams."""

    def __init__(self, guarded, tmp_path, url, timeout_ms=TIMEOUT_MS, **more):
        rng = kit.seeded()
        self.timeout_ms = timeout_ms
        more["kv_redis"] = {"timeout": f"{timeout_ms}ms", **more.get("kv_redis", {})}
        keys = Keys(tmp_path, rng)
        self.secret = keys.add("key", owner="team-a")
        # Answers take 2 ms: thousands a second, and not all that the machine can do.
        self.daemons = guarded(keys, n=2, redis=url, dryrun={"latency": "2ms"}, **more)
        self.number = itertools.count()
        self.flood = swarm.Flood([c.address() for c in self.daemons], self.next, connections=4)
        self.marks = []

    def next(self):
        n = next(self.number)
        key = {"Idempotency-Key": f"load-{n}"}
        return (ask(self.secret), ask(self.secret, f"{n}", key), chat(self.secret, f"{n}", "dryrun", headers=key),
                chat(self.secret, f"{n}", "dryrun", stream=True, headers=key))[n % 4]

    def __enter__(self):
        self.flood.start()
        self.mark("before")
        self.flood.more(1500)
        return self

    def __exit__(self, *_):
        self.flood.stop()

    def mark(self, name):
        self.marks.append((name, time.monotonic()))

    def part(self, name):
        """The answers that were sent between that mark and the next."""
        names = [n for n, _ in self.marks]
        begin, end = self.marks[names.index(name)][1], ([t for _, t in self.marks] + [float("inf")])[names.index(name) + 1]
        return [a for a in self.flood.answers if begin <= a.sent < end]

    def changes(self):
        """{(daemon, plugin, what): [what was said of it, …]}"""
        found = {}
        for i, c in enumerate(self.daemons):
            for line in c.log:
                said = CHANGE.match(line["msg"])
                if said:
                    found.setdefault((i, line["plugin"], said[1]), []).append(line["msg"][len(said[1]) + 1:])
        return found

    def of_limiter(self, words):
        return {i for (i, plugin, _), said in self.changes().items() if plugin == "ratelimit" and any(words in s for s in said)}

    def wait_fallback(self):
        kit.wait_for(lambda: len(self.of_limiter("is degraded now")) == len(self.daemons), lambda: self.said("the fallback"))
        # Decisions that were out when it was said may still end well; now every answer tells of it.
        self.mark("away")

    def wait_return(self):
        kit.wait_for(lambda: all(said[-1].startswith("works again") for said in self.changes().values()), lambda: self.said("the return"))
        self.mark("after")

    def said(self, what):
        return f"{what}; said was: {self.changes()}"

    @staticmethod
    def ready(c):
        r = c.get("/ready?verbose", kind="status")
        return r.status, r.text

    def told(self):
        """That Redis is away is told by header, metric and probe."""
        for c in self.daemons:
            assert c.metric("chimera_degraded", plugin="ratelimit") >= 1
            assert c.metric("chimera_ratelimit_store_away_total", outcome="fallback") > 0
            status, text = self.ready(c)
            assert status == 200 and "ratelimit" in text and "degraded" in text, text
            (a,), = swarm.volley([(c.address(), [ask(self.secret)])])
            assert a.status == 200 and a.header("X-RateLimit-Degraded"), a

    def judge(self, what, once=True):
        """When all is over. once: what was said was said once for the fault."""
        answers = self.flood.answers
        before, away, after = self.part("before"), self.part("away"), self.part("after")
        others = set(before) | set(after)
        fault = [a for a in answers if a not in others]
        print(f"\n{what}: {len(answers)} requests: {tally(answers)}")
        for name, part in (("before", before), ("fault", fault), ("after", after)):
            print(f"  {name:7} {swarm.spread(a.took for a in part)}")
        median = lambda part: sorted(a.took for a in part)[len(part) // 2]  # noqa: E731
        worst = lambda part: max(a.took for a in part)  # noqa: E731
        print(f"  added: median {1000 * (median(fault) - median(before)):.2f} ms, worst {1000 * (worst(fault) - median(before)):.2f} ms"
              f" (timeout {self.timeout_ms} ms)")
        assert tally(answers) == {"200": len(answers)}
        assert len(away) > 200 and len(after) > 200
        bound = ROUNDS * self.timeout_ms / 1000
        over, usual = (sum(a.took > median(before) + bound for a in part) for part in (fault, before))
        print(f"  added {1000 * bound:.0f} ms and more: {over} of {len(fault)}, {usual} of {len(before)} before")
        assert worst(fault) < worst(before) + bound + SLACK_S
        # A machine that stands still now and then did so before, too.
        assert median(away) < median(before) + bound and over / len(fault) < 0.01 + 3 * usual / len(before)
        changes = self.changes()
        print(f"  said: {({f'{i} {plugin}: {what}': len(said) for (i, plugin, what), said in changes.items()})}")
        for said in changes.values():
            assert not once or [s.startswith("works again") for s in said] == [False, True], said
        assert {(i, "ratelimit", "store") for i in range(len(self.daemons))} <= set(changes)
        begun = dict(self.marks)["fault"]
        degraded = [sum(bool(a.header("X-RateLimit-Degraded")) for a in part) / len(part)
                    for part in ([a for a in before if a.ended < begun], away, after)]
        shares = zip(degraded, ("before", "away", "after"))
        print("  decided by the fallback: " + ", ".join(f"{100 * d:.1f} % {name}" for d, name in shares))
        assert degraded[1] > 0 and (not once or degraded[0] == degraded[2] == 0)


def kill(redis):
    redis.kill()
    return redis.start


def stop(redis):
    redis.pause()
    return redis.resume


def client_pause(redis):
    redis.cli("CLIENT", "PAUSE", "5000", "ALL")
    return lambda: None


def debug_sleep(redis):
    w = Wire(redis)
    w.send("DEBUG", "SLEEP", "5")
    return lambda: (w.read(), w.close())


def restart(redis):
    redis.stop()
    return redis.start


def read_only(redis):
    redis.cli("REPLICAOF", "127.0.0.1", str(kit.free_port()))
    return lambda: redis.cli("REPLICAOF", "NO", "ONE")


def out_of_memory(redis):
    redis.cli("CONFIG", "SET", "maxmemory", "1")
    return lambda: redis.cli("CONFIG", "SET", "maxmemory", "0")


# A Redis that sleeps is one that is stopped, as far as others see: once is enough for the run of each change.
FAULTS = [kill, stop, client_pause, *([debug_sleep] if kit.HEAVY else []), restart, read_only, out_of_memory]


@pytest.mark.parametrize("fault", FAULTS, ids=[f.__name__ for f in FAULTS])
def test_r4_r5_no_request_fails_because_of_redis(guarded, tmp_path, redis, fault):
    with Load(guarded, tmp_path, redis) as load:
        load.mark("fault")
        mend = fault(redis)
        load.wait_fallback()
        load.flood.more(500)
        if fault not in (client_pause, debug_sleep):  # these end by themselves
            load.told()
        mend()
        load.wait_return()
        load.flood.more(500)
    load.judge(fault.__name__)


@pytest.mark.parametrize("fault", [kill, stop], ids=["kill", "stop"])
def test_r4_with_the_timeout_as_it_comes_the_added_delay_is_bounded(guarded, tmp_path, redis, fault):
    with Load(guarded, tmp_path, redis, timeout_ms=DEFAULT_MS) as load:
        load.mark("fault")
        mend = fault(redis)
        load.wait_fallback()
        load.flood.more(1000)
        mend()
        load.mark("after")
        load.flood.more(500)
    load.judge(f"{fault.__name__}, {DEFAULT_MS} ms", once=False)


def test_r4_a_redis_behind_a_slow_network_counts_as_down(guarded, tmp_path, redis):
    with Proxy(redis.port) as proxy:
        through = type("Through", (), {"url": redis.at(proxy.port)})
        with Load(guarded, tmp_path, through) as load:
            load.mark("fault")
            proxy.latency = 2 * TIMEOUT_MS / 1000
            load.wait_fallback()
            load.flood.more(500)
            load.told()
            proxy.heal()
            load.wait_return()
            load.flood.more(500)
        load.judge("slow network")


def test_r4_a_failover_of_sentinel_fails_no_request(guarded, tmp_path):
    """The master is killed, the replica takes its place: the daemons find it by themselves."""
    with Redis() as a, Redis(replicaof=a) as b, Sentinel(a) as s:
        kit.wait_for(lambda: s.replicas() == [b.port], "the sentinel to find the replica")
        with Load(guarded, tmp_path, a, kv_redis={"sentinels": s.address, "master": s.name}) as load:
            load.mark("fault")
            a.kill()
            load.wait_fallback()
            load.flood.more(500)
            load.wait_return()
            load.flood.more(500)
        load.judge("failover")
        assert b.keys("chimera:*")


def test_r4_a_redis_that_forgets_its_scripts_is_told_them_again(guarded, tmp_path, redis):
    """NOSCRIPT is no fault."""
    with Load(guarded, tmp_path, redis, timeout_ms=10000) as load:
        for _ in range(5):
            redis.cli("SCRIPT", "FLUSH", "SYNC")
            load.flood.more(300)
    answers = load.flood.answers
    print(f"SCRIPT FLUSH: {tally(answers)}")
    assert tally(answers) == {"200": len(answers)} and not load.changes()
    assert not any(a.header("X-RateLimit-Degraded") for a in answers)


NONSENSE = {
    "garbage": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "bytes": bytes(range(256)),
    "an error": b"-ERR what do you mean?\r\n",
    "moved": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "a number": b":42\r\n",
    "a null": b"$-1\r\n",
    "an empty list": b"*0\r\n",
    "a deep list": b"*1\r\n" * 6 + b":1\r\n",
    "a long list": b"*1000\r\n" + b":1\r\n" * 1000,
    "words": b"*3\r\n$1\r\na\r\n$1\r\nb\r\n$1\r\nc\r\n",
    "nothing": b"",
    "the end": None,
}


@pytest.mark.parametrize("what", NONSENSE)
def test_r4_a_redis_that_talks_nonsense_fails_no_request(guarded, tmp_path, what):
    """From the first byte on: whatever is said to a set-up, a script or a value."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    with Fake(lambda command, n: NONSENSE[what]) as fake:
        c, = guarded(keys, redis=fake, kv_redis={"timeout": f"{DEFAULT_MS}ms"})
        number = itertools.count()
        with swarm.Flood([c.address()], lambda: ask(secret, "x", {"Idempotency-Key": f"key-{next(number)}"}), connections=2) as flood:
            flood.more(100)
            c.wait_said("is degraded now", plugin="ratelimit")
            flood.more(200)
        answers = flood.answers
        print(f"{what}: {tally(answers)}; {swarm.spread(a.took for a in answers)}; {len(fake.commands)} commands, "
              f"{fake.connections} connections")
        assert tally(answers) == {"200": len(answers)}
        assert len(c.said("is degraded now", plugin="ratelimit")) == 1
        # A Redis that makes no sense is left alone, not asked for each request.
        assert len(fake.commands) < len(answers) and fake.connections < 100


def test_r4_a_key_of_another_kind_is_no_limit_that_is_lost(guarded, tmp_path, redis):
    """Somebody else's value stands where the limiter's bucket should: WRONGTYPE costs no request, and the value is not touched."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    # A bucket that is full is gone: this one is not for a minute.
    c, = guarded(keys, redis=redis, kv_redis={"timeout": "10s"}, ratelimit__api_key={"requests": "1/min", "burst": 1000})
    swarm.volley([(c.address(), [ask(secret)])])
    bucket, = [k for k in redis.keys() if b"rate_limit:" in k]
    redis.cli("DEL", bucket)
    redis.cli("RPUSH", bucket, "another's")
    answers, = swarm.volley([(c.address(), [ask(secret)] * 20)])
    print(f"WRONGTYPE: {tally(answers)}")
    assert tally(answers) == {"200": 20} and redis.cli("LRANGE", bucket, "0", "-1") == [b"another's"]


def test_r5_redis_dies_while_requests_run(guarded, tmp_path, redis, counting):
    """The decision was made, the claim stands: what runs goes on, is called once and is answered."""
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    c, = guarded(keys, redis=redis, up=counting, kv_redis={"timeout": "5s"},
                 ratelimit__api_key={"requests": "100000/s", "burst": 100000, "tokens": "10000000/s", "concurrent": 1000})
    counting.shut()
    requests = [chat(secret, f"{i}", stream=i % 2 == 0, headers={"Idempotency-Key": f"key-{i}"}) for i in range(100)]
    v = swarm.Volley([(c.address(), [request]) for request in requests])
    v.start()
    kit.wait_for(lambda: counting.held() == 100, "100 calls at the backend")
    redis.kill()
    counting.open()
    answers = [a for a, in v.wait()]
    print(f"Redis died in mid-call: {tally(answers)}, {sum(counting.calls().values())} calls")
    assert tally(answers) == {"200": 100} and sum(counting.calls().values()) == 100


@pytest.mark.parametrize("policy", ["pass", "refuse"])
def test_i8_without_a_store_keys_that_were_seen_are_refused_and_new_ones_as_the_option_says(guarded, tmp_path, redis, counting, policy):
    rng = kit.seeded()
    keys = Keys(tmp_path, rng)
    secret = keys.add("key", owner="team-a")
    c, = guarded(keys, redis=redis, up=counting, idempotency={"on_store_down": policy}, kv_redis={"timeout": "5s"})

    def one(key):
        (a,), = swarm.volley([(c.address(), [chat(secret, key, headers={"Idempotency-Key": key})])])
        return a

    assert one("old").kind == "200" and one("old").kind == "200 replayed"
    redis.kill()
    seen, new = one("old"), one("new")
    print(f"{policy}: a key that was seen: {seen.kind}, a new one: {new.kind}")
    assert seen.status == 503 and int(seen.header("Retry-After")) >= 1
    assert new.status == (200 if policy == "pass" else 503), new
    assert counting.calls().get("old") == 1 and counting.calls().get("new", 0) == (policy == "pass")
    redis.start()
    kit.wait_for(lambda: one("again").status == 200, "Redis to be used again")


def test_no_secret_of_redis_is_told(guarded, tmp_path):
    """A wrong password is a sentence, without the password."""
    with Redis(password="right-canary-0123456789") as redis:
        with pytest.raises(RedisError):
            Wire(("127.0.0.1", redis.port)).ask("PING")
        url = type("Wrong", (), {"url": f"redis://:wrong-canary-0123456789@127.0.0.1:{redis.port}/0"})
        c, = guarded(None, redis=url)
        c.wait_said("is degraded now")
        answers, = swarm.volley([(c.address(), [ask()] * 20)])
        assert tally(answers) == {"200": 20}
        everything = c.stderr() + c.get("/metrics", kind="status").text + c.get("/ready?verbose", kind="status").text
        assert "canary" not in everything
