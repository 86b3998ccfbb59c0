# SPDX-License-Identifier: Apache-2.0
"""What a core file of a process would hold, read from the living one: all its private memory but what is marked to be left out (VmFlags dd)."""
import os
import re

HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+\s*(.*)")
PIECE = 1 << 20


def mappings(pid):
    """(first, behind, rights, name, flags) of each mapping."""
    with open(f"/proc/{pid}/smaps", encoding="utf-8", errors="replace") as f:
        head = None
        for line in f:
            m = HEAD.match(line)
            if m:
                head = (int(m[1], 16), int(m[2], 16), m[3], m[4])
            elif line.startswith("VmFlags:"):
                yield (*head, set(line.split()[1:]))


def find(pid, needles):
    """{needle: [(mapping's name, address, what stands around it), …]} of those that a core file would hold."""
    out = {}
    longest = max(map(len, needles))
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as mem:
        for first, behind, rights, name, flags in mappings(pid):
            if "dd" in flags or "r" not in rights or name in ("[vvar]", "[vsyscall]") or ("s" in rights and name.startswith("/")):
                continue
            for at in range(first, behind, PIECE):
                try:
                    data = os.pread(mem.fileno(), min(PIECE + longest, behind - at), at)
                except OSError:
                    continue
                for needle in needles:
                    where = data.find(needle)
                    while 0 <= where < PIECE:
                        around = data[max(0, where - 120):where + len(needle) + 60]
                        out.setdefault(needle, []).append((name or "anonymous", at + where, around))
                        where = data.find(needle, where + 1)
    return out


def tell(found):
    return "\n".join(f"{needle!r} in {name} at {at:#x}: {around!r}" for needle, places in found.items() for name, at, around in places)
