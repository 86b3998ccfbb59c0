# SPDX-License-Identifier: Apache-2.0
"""Where a server's time goes, by perf's samples of its CPU time (it needs no hardware counters)."""

import collections
import re
import shutil
import subprocess

from measure import Row, generate, warm
from servers import PATIENCE, Broken, cpu_seconds

RATE = 4999  # samples a second
FUNCTIONS = 12
LEAST = 0.01  # what has less of the time is not told
OTHERS = "other threads"


def profile(server, req, path, body, options):
    """
    ({(object, function): us per request}, samples); objects are "kernel", OTHERS for threads that are no workers of a chimerad, and
    file names. A text: why there is none.
    """
    if not shutil.which("perf"):
        return "perf is not installed: apt-get install linux-perf"
    out = options.folder / "perf.data"
    record = ["perf", "record", "-q", "-F", str(RATE), "-e", "cpu-clock", "-o", out, "-p", ",".join(map(str, server.pids())), "--"]
    if subprocess.run([*record, "true"], capture_output=True, timeout=PATIENCE).returncode:
        return "perf may not sample here: kernel.perf_event_paranoid, or a container without CAP_PERFMON"
    warm(server, req, options.turns)
    cpu = cpu_seconds(server.pids())
    r = generate(server, req, path, body, options.short, options, before=record)
    cpu = cpu_seconds(server.pids()) - cpu
    report = ["perf", "report", "-i", out, "--stdio", "-q", "-g", "none", "-n", "-F", "sample,comm,dso,sym", "-t", "|"]
    done = subprocess.run(report, capture_output=True, text=True, timeout=PATIENCE)
    found = re.findall(r"^\s*(\d+)\s*\|\s*(.*?)\s*\|\s*(\S+)\s*\|\s*\[(.)\]\s*(\S+)", done.stdout, re.M)
    samples = sum(int(n) for n, *_ in found)
    if not samples:
        raise Broken(f"perf report says nothing of {server.name}: {done.stdout[-300:]} {done.stderr[-300:]}")
    shares = collections.Counter()
    for n, thread, where, mode, function in found:
        other = server.name == "chimera" and not thread.startswith("worker")
        shares[OTHERS if other else "kernel" if mode == "k" else where, "" if function.startswith("0x") else function] += int(n)
    return {key: n / samples * cpu / r["requests"] * 1e6 for key, n in shares.items()}, samples


def by_object(profile):
    total = collections.Counter()
    for (where, _), us in profile.items():
        total[where] += us
    return total


def profile_rows(ours, theirs):
    """Kernel and user space of both, then what of ours has its part: objects, and the functions of user space."""
    (mine, samples), (other, _) = ours, theirs
    objects, total = by_object(mine), sum(mine.values())
    part = f"the same, where the time of a request goes, {samples:,} samples"
    kernel = lambda profile: by_object(profile)["kernel"]
    user = lambda profile: sum(profile.values()) - kernel(profile) - by_object(profile)[OTHERS]
    rows = [Row(part, "in the kernel", "us", [kernel(mine)], [kernel(other)]),
            Row(part, "in user space", "us", [user(mine)], [user(other)]),
            Row(part, f"in {OTHERS}, such as SQLite's writer", "us", [objects[OTHERS]])]
    files = [(where, us) for where, us in objects.most_common() if where not in ("kernel", OTHERS) and us >= LEAST * total]
    rows += [Row(part, f"in {where}", "us", [us]) for where, us in files]
    named = collections.Counter({key: us for key, us in mine.items() if key[0] not in ("kernel", OTHERS) and key[1]})
    return rows + [Row(part, f"{function} ({where})", "us", [us]) for (where, function), us in named.most_common(FUNCTIONS)]
