# SPDX-License-Identifier: Apache-2.0
"""That a secret which gets out is seen (canary.py): each way in which the fixture looks is shown one."""
import base64
import os

import canary
import pytest

import chimera as kit

KEY = canary.of("of-this-test")
LEAKED = [("X-Request-Id", KEY)]  # which trace logs, and sends back, if the peer is trusted


def test_a_secret_in_the_log_fails_the_test_that_stops_the_server(chimera):
    c = chimera({"server": {"trusted_proxies": "127.0.0.1"}, "trace": {}, "log": {"access": "all"}})
    with c.connect() as conn:
        assert conn.ask("GET", "/", headers=LEAKED).header("X-Request-Id") == KEY
    with pytest.raises(AssertionError, match="stands in the log"):
        c.stop()
    os.truncate(c.errors_path, 0)  # or it fails once more, in the fixture
    c.check_secrets()


def test_a_secret_in_an_error_answer_fails_the_request(chimera):
    c = chimera({"server": {"trusted_proxies": "127.0.0.1"}, "trace": {}, "log": {"access": "off"}})
    with pytest.raises(AssertionError, match="stands in the answer 404"):
        c.request("GET", "/nowhere", headers=LEAKED)


@pytest.mark.parametrize("form", [KEY.encode(), base64.b64encode(b"user:" + KEY.encode()), base64.b64encode(b"u:" + KEY.encode()),
                                  base64.b64encode(KEY.encode()), KEY.encode().hex().encode(), canary.hex_key().encode()],
                         ids=["plain", "basic", "basic 2", "base64", "hex", "encryption key"])
def test_a_secret_in_a_file_of_the_state_dir_is_found_in_any_form(chimera, form):
    c = chimera({}, kept=("kept/*",))
    os.makedirs(os.path.join(c.state, "kept"))
    with open(os.path.join(c.state, "kept", "file"), "wb") as f:
        f.write(b"\0" * 5000 + form)
    c.check_secrets()
    os.rename(f.name, os.path.join(c.state, "other"))
    with pytest.raises(AssertionError, match="stands in other"):
        c.check_secrets()
    os.remove(os.path.join(c.state, "other"))


def test_a_secret_in_what_the_check_says_is_found(tmp_path):
    (tmp_path / "c.ini").write_text(f"[server]\nworkers = {KEY}\n")
    with pytest.raises(AssertionError, match="what chimerad says"):
        kit.run_chimerad("-c", tmp_path / "c.ini", "-t")


def test_a_secret_that_a_server_has_made_is_looked_for_too():
    made = "chk_0123456789abcdef"
    canary.check(made, "here")
    canary.add(made)
    try:
        with pytest.raises(AssertionError, match="stands in here"):
            canary.check("x" + made, "here")
    finally:
        canary.NEEDLES.discard(made.encode())
