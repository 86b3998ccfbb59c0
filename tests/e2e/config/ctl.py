# SPDX-License-Identifier: Apache-2.0
"""Running chimeractl."""
import os
import shutil
import subprocess

import pytest

import chimera as kit

needs_ctl = pytest.mark.skipif(not shutil.which(kit.CHIMERACTL), reason=f"there is no {kit.CHIMERACTL}")


def run_chimeractl(*args, env=None, **kw):
    """To its end: a CompletedProcess with text."""
    done = subprocess.run([kit.CHIMERACTL, *map(str, args)], stdin=subprocess.DEVNULL, capture_output=True, env=kit.clean_environment(env),
                          timeout=kit.DEADLINE, check=False, **kw)
    assert not kit.REPORTS.search(done.stderr), done.stderr.decode(errors="replace")
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    return done


def control_path(c):
    return os.path.join(c.state, "control.sock")
