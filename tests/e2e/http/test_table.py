# SPDX-License-Identifier: Apache-2.0
"""tests/faults.md tells the truth: what it names exists, and what is named after a row stands in it."""
import glob
import os
import re

TESTS = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def guard():
    """The files of the guard's tests, in which rows begin with A, R and I, too."""
    return [path for area in ("auth", "guard", "idempotency", "kv", "ratelimit")
            for path in sorted(glob.glob(os.path.join(TESTS, "e2e", area, "test_*.py")))]


def test_every_test_of_the_table_exists():
    named = re.findall(r"`(e2e/[a-z_/]+\.py)::(test_\w+)`", read(os.path.join(TESTS, "faults.md")))
    assert len(named) > 100
    for path, name in named:
        assert re.search(rf"^def {name}\(", read(os.path.join(TESTS, path)), re.MULTILINE), (path, name)


def test_every_test_named_after_a_row_stands_in_the_table():
    table = read(os.path.join(TESTS, "faults.md"))
    for path in sorted(glob.glob(os.path.join(TESTS, "e2e", "[hi]*", "test_*.py"))) + guard():
        letters = "ahijpru" if path in guard() else "hjpu"
        for name, rows in re.findall(rf"^def (test_((?:[{letters}]\d+_)+)\w+)\(", read(path), re.MULTILINE):
            for row in rows.strip("_").split("_"):
                line = re.search(rf"^\| {row.upper()} \|.*$", table, re.MULTILINE)
                assert line and f"/{os.path.basename(path)}::{name}`" in line[0], (path, name, row)


def test_every_row_has_a_place():
    table = read(os.path.join(TESTS, "faults.md"))
    built = {m for m in re.findall(r"^\| ([AHIJPRU]\d+) \|", table, re.MULTILINE)}
    for letter, last in (("H", 28), ("J", 5), ("A", 6), ("R", 7), ("I", 8), ("U", 14)):
        assert {f"{letter}{i}" for i in range(1, last + 1)} <= built
    later = table.partition("## Not built yet")[2]
    for i in range(1, 21):
        assert f"P{i}" in built or re.search(rf"\bP{i}\b", later), i
