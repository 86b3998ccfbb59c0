# SPDX-License-Identifier: Apache-2.0
"""GET /metrics in both formats, and what it counts."""
import shutil
import subprocess

import chimera as kit
import pytest

CONFIG = {"ask": {}, "dryrun": {}, "trace": {}, "t_echo": {}}
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}


@pytest.fixture
def busy(server):
    for _ in range(3):
        server.get("/")
        server.get("/nowhere")
        server.request("POST", "/v1/ask", '{"prompt":"x"}')
    return server


def test_promtool_finds_nothing(busy):
    if not shutil.which("promtool"):
        pytest.skip("promtool is not installed (Debian: prometheus)")
    text = busy.get("/metrics", kind="status").body
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    # Names that deployments already know are kept, and promtool dislikes one of them: its unit is milliseconds.
    said = [line for line in (done.stdout + done.stderr).decode().splitlines() if line and not line.startswith("ask_latency_ms ")]
    assert said == [] and done.returncode in (0, 3), said


def test_the_text_format_is_served_by_default(busy):
    r = busy.get("/metrics", kind="status")
    assert r.header("Content-Type").startswith("text/plain; version=0.0.4")
    assert kit.parse_metrics(r.text)
    families = [line.split()[2] for line in r.text.splitlines() if line.startswith("# TYPE ")]
    helped = [line.split()[2] for line in r.text.splitlines() if line.startswith("# HELP ")]
    assert families == helped and len(set(families)) == len(families)


def test_openmetrics_is_served_when_asked_for(busy):
    r = busy.get("/metrics", kind="status", headers=OPENMETRICS)
    assert r.header("Content-Type").startswith("application/openmetrics-text; version=1.0.0")
    assert r.text.endswith("# EOF\n")
    counters = [line.split()[2] for line in r.text.splitlines() if line.startswith("# TYPE ") and line.endswith(" counter")]
    assert counters and not [name for name in counters if name.endswith("_total")]
    kit.parse_metrics(r.text)


def test_openmetrics_is_read_by_the_python_client(busy):
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    text = busy.get("/metrics", kind="status", headers=OPENMETRICS).text
    assert {f.name for f in parser.text_string_to_metric_families(text)} >= {"http_requests", "http_request_duration_seconds"}


def test_requests_are_counted_by_method_endpoint_and_status(server):
    before = server.metric("http_requests_total", method="GET", endpoint="/", status=200)
    for _ in range(7):
        server.get("/")
    assert server.metric("http_requests_total", method="GET", endpoint="/", status=200) == before + 7
    assert server.metric("http_request_duration_seconds_count", method="GET", endpoint="/") >= 7


def test_counts_of_all_workers_come_together(server):
    before = server.metric("http_requests_total", endpoint="/", status=200)
    conns = [server.connect() for _ in range(40)]
    for c in conns:
        assert c.ask("GET", "/").status == 200
        c.close()
    assert server.metric("http_requests_total", endpoint="/", status=200) == before + 40


def test_gauges_go_back(server):
    with server.connect() as c:
        assert c.ask("GET", "/").status == 200
        kit.wait_for(lambda: server.metric("active_connections") == 2, "two connections: this and the scrape's")
    kit.wait_for(lambda: server.metric("active_connections") == 1, "the connection to be gone")
    assert server.metric("http_requests_in_progress") == 1


def test_histograms_are_cumulative_and_end_with_inf(busy):
    samples = busy.metrics()
    buckets = [(labels["le"], v) for n, labels, v in samples if n == "http_request_duration_seconds_bucket"
        and labels["endpoint"] == "/v1/ask"]
    assert [le for le, _ in buckets] == ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "+Inf"]
    values = [v for _, v in buckets]
    assert values == sorted(values)
    assert values[-1] == busy.metric("http_request_duration_seconds_count", endpoint="/v1/ask")


def test_metrics_are_for_the_operator(chimera):
    c = chimera({"t_echo": {}})
    assert c.get("/metrics").status == 200, "loopback peers may"
    assert c.get("/metrics", headers={"X-Forwarded-For": "203.0.113.7"}).status == 403
    assert c.request("POST", "/metrics", b"", kind="status").status == 405
