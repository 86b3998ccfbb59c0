# SPDX-License-Identifier: Apache-2.0
"""kv_memory in the running server: the conformance suite, one limit for all workers, reloads under load, bounds, faults."""
import re
import signal
import threading

import chimera as kit

LINE = re.compile(r"(not )?ok (\d+) - (\S+)(?:: .*)?")
SLOW = "count=1&period=3600000"  # one token an hour: none comes back while a test runs


def kv(conn, op, query):
    """One operation of t_kv_op over a connection that stays."""
    r = conn.ask("GET", f"/kv/{op}?{query}")
    assert r.status == 200, r
    return r.json()


def hammer(c, clients, query, done):
    """So many clients take from a bucket until done(); how often each passed. An answer that is no 200, or an error, fails the test."""
    passed, problems = [0] * clients, []

    def run(i):
        try:
            with c.connect() as conn:
                while not done():
                    a = kv(conn, "take", query)
                    assert a["error"] == "ok" and not a["again"], a
                    passed[i] += a["done"]
        except Exception as e:  # noqa: BLE001 - the test's thread tells
            problems.append(repr(e))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
    for t in threads:
        t.start()
    return threads, passed, problems


def reload(c, sections):
    before = c.metric("chimera_config_reloads_total", result="ok")
    c.write(sections)
    c.signal(signal.SIGHUP)
    c.wait_metric("chimera_config_reloads_total", before + 1, result="ok")


GROUPS = ["value", "ttl", "when", "count", "kind", "take", "change", "settle", "holders", "nobody", "cancel", "race"]


def test_kv_memory_passes_every_case_of_kv(chimera):
    c = chimera({"server": {"workers": 4}, "kv_memory": {}, "conform_kv": {"slack": "5s"}})
    reports = {}

    def run(group):
        reports[group] = c.request("POST", f"/conform/kv?case={group}/").text

    # Most of a run is waiting, so the groups run side by side: each run has keys of its own.
    threads = [threading.Thread(target=run, args=(group,)) for group in GROUPS]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    names = []
    for group in GROUPS:
        first, *lines = reports[group].splitlines()
        cases = [LINE.fullmatch(line) for line in lines if not line.startswith("#") and not line.startswith("1..")]
        assert first == "TAP version 13" and all(cases), reports[group]
        assert not [m[3] for m in cases if m[1]], reports[group]
        names += [m[3] for m in cases]
    assert len(names) == len(set(names)) > 110 and sum(name.startswith("race/") for name in names) == 7


def test_all_workers_share_one_limit(chimera):
    c = chimera({"server": {"workers": 4}, "kv_memory": {}, "t_kv_op": {}})
    limit, asked = 777, []
    threads, passed, problems = hammer(c, 16, f"key=a&burst={limit}&{SLOW}", lambda: asked.append(1) or len(asked) > 4000)
    for t in threads:
        t.join()
    assert not problems
    assert sum(passed) == limit
    print(f"limit {limit}, passed {sum(passed)}, error {sum(passed) - limit}")


def test_a_reload_under_load_keeps_buckets_values_and_counters(chimera):
    sections = {"server": {"workers": 4}, "kv_memory": {"max_bytes": "8m"}, "t_kv_op": {}}
    c = chimera(sections)
    with c.connect() as conn:
        kv(conn, "set", "key=value&value=kept&ttl=3600000")
        kv(conn, "add", "key=counter&delta=41")
        kv(conn, "take", "key=door&holder=me&burst=1&hold=3600000")
    limit, over = 2000, threading.Event()
    threads, passed, problems = hammer(c, 8, f"key=a&burst={limit}&{SLOW}", over.is_set)
    try:
        for i in range(6):
            # Another size: a new instance, which takes the store over from the one that still serves. The same: the instance stays.
            reload(c, {**sections, "kv_memory": {"max_bytes": ["16m", "4m", "4m"][i % 3]}})
        kit.wait_for(lambda: sum(passed) >= limit or problems, "the limit to be reached")
        for i in range(2):
            reload(c, {**sections, "kv_memory": {"max_bytes": ["16m", "8m"][i]}})
    finally:
        over.set()
        for t in threads:
            t.join()
    assert not problems
    assert sum(passed) == limit
    with c.connect() as conn:
        assert kv(conn, "get", "key=value")["value"] == "kept"
        assert kv(conn, "add", "key=counter")["number"] == 42
        assert not kv(conn, "take", "key=door&holder=you&burst=1&hold=3600000")["done"]


def test_new_keys_without_end_do_not_grow_past_the_bound(chimera):
    c = chimera({"server": {"workers": 2}, "kv_memory": {"max_bytes": "2m"}, "t_kv_op": {}})
    clients, each, problems = 4, 1500, []

    def run(i):
        try:
            with c.connect() as conn:
                for n in range(each):
                    # Sixteen buckets each: 96,000 keys in all, of which 2 MiB hold some 17,000.
                    a = kv(conn, "take", f"key={i}-{n}-&keys=16&burst=10&{SLOW}")
                    assert a["error"] == "ok" and a["done"], a
        except Exception as e:  # noqa: BLE001 - the test's thread tells
            problems.append(repr(e))

    threads = [threading.Thread(target=run, args=(i,)) for i in range(clients)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not problems
    gone = c.wait_metric("chimera_kv_evictions_total", 70000, store="kv_memory", reason="full")
    kit.wait_for(lambda: c.metric("cache_items", cache_type="kv_memory") >= 15000, "the metric of items")
    assert c.metric("cache_size_bytes", cache_type="kv_memory") <= 2 << 20, gone


def test_what_expires_is_let_go_where_nobody_asks(chimera):
    c = chimera({"kv_memory": {}, "t_kv_op": {}})
    empty = c.metric("cache_size_bytes", cache_type="kv_memory")
    with c.connect() as conn:
        for ttl in (3600000, 2000):  # all of them can be seen first
            for n in range(50):
                assert kv(conn, "set", f"key={n}&bytes=100000&ttl={ttl}")["done"]
            if ttl > 2000:
                kit.wait_for(lambda: c.metric("cache_size_bytes", cache_type="kv_memory") >= empty + 5000000, "50 values to be seen")
    kit.wait_for(lambda: c.metric("cache_size_bytes", cache_type="kv_memory") == empty, "all of them to be gone")
    kit.wait_for(lambda: c.metric("cache_items", cache_type="kv_memory") == 0, "no item to be left")
    assert c.metric("chimera_kv_evictions_total", store="kv_memory", reason="expired") == 50


def test_a_fault_of_the_seam_strikes(chimera):
    c = chimera({"kv_memory": {}, "t_kv_op": {}, "t_seam": {}})
    bucket = f"/kv/take?key=a&burst=10&{SLOW}"
    away = c.get(bucket, headers=[("X-Fault", "kv"), ("X-Kind", "down")]).json()
    assert away["error"] == "unavailable" and not away["again"]
    late = c.get(bucket, headers=[("X-Fault", "kv"), ("X-Delay", "100")]).json()
    assert late["done"] and late["again"] and late["us"] >= 100000
    assert c.get(bucket).json()["levels"][0][1] == 8
    assert c.metric("chimera_kv_failures_total", store="kv_memory", error="unavailable") == 1


def test_two_stores_know_nothing_of_each_other(chimera):
    c = chimera({"kv_memory": {}, "kv_memory:other": {"max_bytes": "1m"}, "t_kv_op": {"kv": "other"}})
    with c.connect() as conn:
        kv(conn, "set", "key=a&value=x")
    kit.wait_for(lambda: c.metric("cache_items", cache_type="other") == 1, "the metric of items")
    assert c.metric("cache_items", cache_type="kv_memory") == 0
