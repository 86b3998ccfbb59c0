# SPDX-License-Identifier: Apache-2.0
"""A hook that takes longer than its budget is named: in the log, in a metric, in chimeractl plugins."""
import subprocess

import chimera as kit


def over(server):
    text = server.get("/metrics").body.decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
               if line.startswith("chimera_hook_over_budget_total{") and 'plugin="t_block"' in line)


def test_a_slow_handler_is_named_once_a_minute_and_counted_each_time(chimera):
    c = chimera({"server": {"workers": 1, "hook_budget": "10ms"}, "prometheus": {}, "t_block": {}})
    kit.wait_for(lambda: c.get("/block?ms=30").status == 200 and c.said("its content hook took", plugin="t_block"), "the log line")
    line = c.said("its content hook took", plugin="t_block")[0]["msg"]
    assert "its budget is 10.0 ms" in line and "use ch_offload" in line and "worker-0" in line
    kit.wait_for(lambda: c.get("/block?ms=30").status == 200 and over(c) >= 3, "three counted calls")
    assert len(c.said("its content hook took", plugin="t_block")) == 1
    shown = subprocess.run([kit.CHIMERACTL, "-c", c.path, "plugins", "--live"], capture_output=True, text=True, check=True).stdout
    row = next(line.split() for line in shown.splitlines() if line.split()[:2] == ["t_block", "content"])
    assert int(row[4]) >= 3, "calls over the budget"


def test_a_budget_of_0_names_nobody(chimera):
    c = chimera({"server": {"workers": 1, "hook_budget": 0}, "prometheus": {}, "t_block": {}})
    for _ in range(70):
        assert c.get("/block?ms=7").status == 200
    assert over(c) == 0 and not c.said("its content hook took")
