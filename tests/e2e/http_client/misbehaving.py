# SPDX-License-Identifier: Apache-2.0
"""sdk/conformance/misbehave.py as a child of the tests."""
import json
import os
import subprocess
import sys
import urllib.request

import chimera as kit

PROGRAM = os.path.join(kit.SRC, "sdk", "conformance", "misbehave.py")


class Misbehave:
    """A running server. urls: what it has printed, {"control": …, "http": …, "ca": …}; "ca" is None where there is no `openssl`.

    On leaving it is stopped, and must have had nothing to say on stderr.
    """

    def __enter__(self):
        self.process = subprocess.Popen([sys.executable, PROGRAM], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1].decode(errors="replace")
        self.urls = json.loads(line)
        return self

    def __exit__(self, kind, *_):
        self.process.terminate()
        try:
            _, said = self.process.communicate(timeout=kit.DEADLINE)
        finally:
            self.process.kill()
        if kind is None:
            assert said == b"" and self.process.returncode == 0, said.decode(errors="replace")

    def control(self, path):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(self.urls["control"] + path, timeout=kit.DEADLINE) as r:
            return r.read().decode()

    def open_connections(self):
        """How many clients have open now, on all ports."""
        return sum(port["open"] for port in json.loads(self.control("/stats")).values())
