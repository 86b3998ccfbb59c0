# SPDX-License-Identifier: Apache-2.0
"""Secrets of tests that can be told from everything else, so that one that gets out is seen.

    KEY = canary.of("openai-key")       a key or a password for a config, a database, a request
    canary.add(secret)                  one that the server itself has made
    canary.check(data, "its log")       asserts that none of them is in there

A daemon of the fixture is looked through when it ends (chimera.Chimera.check_secrets): what it has logged, and every file in its state_dir. All
that it answers to /metrics, all its answers of an error, and what `chimerad -t` and `-T` say, are looked at when they come. What a test keeps
there on purpose it names: chimera(…, kept=("*.db",)).
"""
import base64
import fnmatch
import os

PREFIX = "cnry0Zq7Kd"  # of no word, no number and no id; letters that no format has to escape
FILE_MOST = 16 << 20   # so much of a file is looked at


def _base64(text):
    """What is the same in base64 wherever the text begins."""
    for skip, first in ((0, 0), (1, 2), (2, 3)):
        code = base64.b64encode(b"x" * skip + text)
        yield code[first:(skip + len(text)) * 8 // 6]


NEEDLES = {PREFIX.encode(), PREFIX.encode().hex().encode(), PREFIX.encode().hex().upper().encode(), *_base64(PREFIX.encode())}


def of(name):
    """The canary of that name: the same in each run, URL-safe, 16 bytes and more."""
    return f"{PREFIX}-{name}-5ecret"


def hex_key():
    """A canary of 32 bytes as 64 hex digits, such as an encryption key."""
    return f"{PREFIX}-encryption-key-of-all".encode()[:32].ljust(32, b"k").hex()


def add(value):
    """Makes a canary of a secret that was made by somebody else; returns it."""
    assert len(value) >= 12, "too short to be looked for"
    NEEDLES.add(value.encode())
    return value


def find(data):
    """A canary that is in the bytes; None: there is none."""
    return next((n.decode() for n in NEEDLES if n in data), None)


def check(data, where):
    """Asserts that there is none. What is shown of the place does not hold it."""
    data = data.encode() if isinstance(data, str) else data
    found = find(data)
    if found is None:
        return
    at = data.index(found.encode())
    before = data[max(0, at - 200):at].decode(errors="replace")
    raise AssertionError(f"a secret ({found[:6]}…) stands in {where}, behind: …{before}")


def check_folder(folder, kept=()):
    """The same for all files below it, but those whose paths in it fit one of `kept`. They may go away meanwhile."""
    for path, _, names in os.walk(folder):
        for name in names:
            full = os.path.join(path, name)
            inner = os.path.relpath(full, folder)
            if any(fnmatch.fnmatch(inner, k) for k in kept) or not os.path.isfile(full):
                continue
            try:
                with open(full, "rb") as f:
                    data = f.read(FILE_MOST)
            except OSError:
                continue
            check(data, inner)
