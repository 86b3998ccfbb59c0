# SPDX-License-Identifier: Apache-2.0
"""Does the time that judging a key takes tell what is wrong with it? Welch's t over a million tries."""

import json
import random
import subprocess

from measure import Row
from servers import PATIENCE, SOURCE, Broken, compile_c, on_cpus

TRIES = 1000000
BOUND = 4.5  # |t| from which on a difference is no chance any more
KINDS = ("malformed", "wrong_first", "wrong_last", "expired", "disabled", "good")


def timing_part(maker, options):
    """tests/auth/verify_kinds.c, whose comments say how it measures, with the build's own kit."""
    seed = random.randrange(1, 1 << 63)
    part = f"judging a key, {TRIES:,} tries of {len(KINDS) + 1} kinds, interleaved at random with the seed {seed}"
    source, kit = SOURCE / "plugins/auth/verify.c", maker.chimerad.parent / "sdk/libchimera-kit.a"
    if not source.exists() or not kit.exists():
        return [Row(part, "|t|", "", [], skipped=f"there is no {kit if source.exists() else source}")]
    program = maker.folder / "verify_kinds"
    compile_c("../auth/verify_kinds.c", program, f"-I{SOURCE}/sdk/include", source, libs=[kit, "-lcrypto", "-lm"])
    with on_cpus(maker.cpus):
        done = subprocess.run([program, "time", str(TRIES), str(seed)], capture_output=True, text=True, timeout=PATIENCE * 3)
    if done.returncode:
        raise Broken(f"verify_kinds time {TRIES} {seed} ended with {done.returncode}: {done.stderr.strip()}")
    got = json.loads(done.stdout)
    t = lambda what, kind: [round(abs(got[what][kind]["t"]), 2)]
    rows = [Row(part, f"|t|, {kind} against unknown", "", t("verify", kind), None, BOUND, True) for kind in KINDS]
    return rows + [Row(part, "|t|, wrong_last, a search that stops early", "", t("naive", "wrong_last")),
                   Row(part, "mean, unknown", "ticks", [got["verify"]["unknown"]["mean"]])]
