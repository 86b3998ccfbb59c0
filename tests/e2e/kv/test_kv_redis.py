# SPDX-License-Identifier: Apache-2.0
"""kv_redis over a real Redis: the conformance suite of kv/1."""
import re
import threading

LINE = re.compile(r"(not )?ok (\d+) - (\S+)(?:: .*)?")


def cases_of(text):
    """[(name, passed)] of a report in TAP."""
    first, *lines = text.splitlines()
    cases = [LINE.fullmatch(line) for line in lines if not line.startswith("#") and not line.startswith("1..")]
    assert first == "TAP version 13" and all(cases) and f"1..{len(cases)}" in lines, text
    return [(m[3], not m[1]) for m in cases]


def test_kv_redis_passes_every_case_of_kv_with_one_worker_and_with_four(chimera, redis_server):
    """Both at a time over one Redis: most of the time goes into waiting, and neither may see the other's keys."""
    answers = {}

    def run(workers, c):
        answers[workers] = c.request("POST", "/conform/kv")
    threads = []
    for workers in (1, 4):
        c = chimera({"server": {"workers": workers}, "kv_redis": {"url": redis_server.url, "timeout": "10s", "value_timeout": "10s"},
                     "conform_kv": {"slack": "5s"}})
        threads.append(threading.Thread(target=run, args=(workers, c)))
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    for workers in (1, 4):
        assert answers[workers].status == 200
        cases = cases_of(answers[workers].text)
        assert not [name for name, passed in cases if not passed], answers[workers].text
        assert len(cases) > 100 and sum(name.startswith("race/") for name, _ in cases) > 5
