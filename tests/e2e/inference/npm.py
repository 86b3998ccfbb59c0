# SPDX-License-Identifier: Apache-2.0
"""Runs client.mjs. The package is in the folder that CHIMERA_NPM names (quickstart.sh --check puts it there); without it, or without node,
the tests are skipped."""
import json
import os
import shutil
import subprocess

import chimera as kit
import pytest

CLIENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "client.mjs")


def run(base_url, jobs):
    """{name: result} of {name: job}, see client.mjs."""
    folder = os.environ.get("CHIMERA_NPM", "")
    node = shutil.which("node")
    if not node or not os.path.isdir(os.path.join(folder, "node_modules", "openai")):
        pytest.skip("CHIMERA_NPM names no folder with the npm package `openai` in node_modules, or there is no node")
    order = {"package": os.path.abspath(folder), "baseURL": base_url, "jobs": jobs}
    done = subprocess.run([node, CLIENT], input=json.dumps(order), capture_output=True, text=True, timeout=4 * kit.DEADLINE, check=False,
                          env=kit.clean_environment())
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def job(call, *args, **more):
    return {"call": call, "args": list(args), **more}
