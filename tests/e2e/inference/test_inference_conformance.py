# SPDX-License-Identifier: Apache-2.0
"""Each backend, and the router before them, passes the suite that every provider of inference/1 must pass: sdk/conformance, as
docs/conformance.md tells to run it. And a provider that breaks a rule does not."""
import re

import gateway as gw
import pytest

import chimera as kit

LINE = re.compile(r"(not )?ok (\d+) - (\S+)(?: # SKIP (.*))?")
SLACK = "10s" if kit.SANITIZERS else "3s"

pytestmark = pytest.mark.skipif(bool(gw.URL), reason="CHIMERA_GATEWAY is set, and this needs a chimerad of its own")


def report(c, query=""):
    """Runs the suite: ({name: passed}, {name: why it was skipped}, text). The report must be whole, and numbered without a gap."""
    r = c.request("POST", "/conform/inference" + query)
    assert r.status == 200, r
    first, *lines = r.text.splitlines()
    assert first == "TAP version 13"
    cases = [LINE.fullmatch(line) for line in lines if not line.startswith("#") and not line.startswith("1..")]
    assert all(cases), r.text
    assert [int(m[2]) for m in cases] == list(range(1, len(cases) + 1)) and f"1..{len(cases)}" in lines, r.text
    assert len({m[3] for m in cases}) == len(cases), "a name stands for two cases"
    return {m[3]: not m[1] for m in cases}, {m[3]: m[4] for m in cases if m[4]}, r.text


def start(chimera, plugins, target, sections, **options):
    sections = {"server": {"workers": 2}, **sections, "conform_inference": {"target": target, "slack": SLACK, **options}}
    gw.need(plugins, sections)
    return chimera(sections)


def passes(c, *groups_skipped):
    """All cases but those of these groups that this provider does otherwise are there and pass."""
    cases, skipped, text = report(c)
    failed = [name for name, passed in cases.items() if not passed]
    assert not failed, f"{len(failed)} of {len(cases)} failed: {', '.join(failed)}\n{text}"
    assert len(cases) > 60
    unexpected = [n for n in skipped if not n.startswith(("op/", "needs/", *groups_skipped))]
    assert not unexpected, f"skipped: {unexpected}\n{text}"


def test_dryrun(chimera, plugins):
    passes(start(chimera, plugins, "dryrun", {
        "dryrun": {"models": "dryrun, hung", "hang": "100%", "faulty_models": "hung", "latency": "2ms", "tokens_per_second": "500"}},
        model="dryrun", hanging_model="hung"), "broken/")


def test_dryrun_that_breaks_its_streams(chimera, plugins):
    passes(start(chimera, plugins, "dryrun", {
        "dryrun": {"models": "dryrun, broken", "fail": "100%", "fail_after": 3, "faulty_models": "broken"}},
        model="dryrun", breaking_model="broken"), "time/", "cancel/")


UP = {"http_client": {}}
BAD = {"hanging_model": "bad-stall-before-head", "breaking_model": "bad-rst-mid"}


def openai(port):
    return {"openai:up": {"base_url": gw.base(port), "models": "words-*, bad-*", "default_model": "gpt-test"}}


def test_openai(chimera, plugins, provider):
    passes(start(chimera, plugins, "up", {**UP, **openai(provider.port)}, model="words-6-5", **BAD))


def test_llama_as_ollama(chimera, plugins, provider):
    passes(start(chimera, plugins, "ollama", {**UP, "llama:ollama": {
        "base_url": gw.base(provider.port, ""), "dialect": "ollama", "models": "words-*, bad-*", "default_model": "ollama-gemma3"}},
        model="words-6-5", **BAD))


def test_llama_as_llama_cpp(chimera, plugins, provider):
    passes(start(chimera, plugins, "cpp", {**UP, "llama:cpp": {
        "base_url": gw.base(provider.port, ""), "dialect": "openai", "models": "words-*, bad-*", "default_model": "gpt-test"}},
        model="words-6-5", **BAD))


def test_the_router(chimera, plugins, provider):
    passes(start(chimera, plugins, "router", {**UP, **openai(provider.port), "dryrun": {"models": "made-up"}, "router": {
        "default": "up", "retries": 0, **gw.NO_BREAKER}}, model="words-6-5", **BAD), "model/backend-is-ignored")


# ---- the suite itself

FAULTS = {  # of t_lame: a case that notices it, and what it says
    "delta_inside": ("answer/stream", "the sink was called inside submit"),
    "delta_cancelled": ("cancel/in-sink", "the sink was called after the call was cancelled"),
    "delta_paused": ("sink/pause", "the sink was called between AGAIN and go_on"),
    "slow_cancel": ("cancel/whole-at-once", "resumed within the turn of the loop"),
    "no_detail": ("op/no-such", "there is no detail with not_implemented"),
    "odd_code": ("model/unknown", "code is 4711, which is none of the table"),
    "any_op": ("op/probe", "expected not_implemented, found an answer"),
    "any_need": ("needs/tools", "expected bad_request, found an answer"),
    "any_model": ("model/unknown", "expected model_not_found, found an answer"),
    "half_text": ("answer/stream", "the text of delta 1 is no whole UTF-8"),
    "bare_frame": ("answer/stream", "the request had no args.openai"),
    "no_backend": ("answer/stream", "*out does not say yet who answers"),
    "no_reason": ("answer/whole", "finish_reason is NULL"),
    "no_usage": ("answer/whole", "1 and 0 tokens are no usage"),
    "no_first_delta": ("answer/stream", "first_delta is 0"),
    "text_twice": ("answer/stream", "a streamed answer stands in *out, too"),
    "silent": ("answer/stream", "streamed without a delta"),
    "changed_late": ("answer/whole", "behind the end of the call changed *out"),
    "no_timeout": ("time/whole", "expected upstream_timeout, found an answer"),
    "leak": ("memory/stream", "bytes more are in use"),
}


def lame(chimera, plugins, fault):
    return start(chimera, plugins, "t_lame", {"t_lame": {"fault": fault}}, model="lame", hanging_model="hung")


def test_a_provider_that_breaks_no_rule_passes(chimera, plugins):
    passes(lame(chimera, plugins, "none"), "answer/completion", "openai/tools", "openai/format", "embeddings/", "list/", "probe/", "broken/", "cancel/", "model/backend")


@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_rule_is_noticed(chimera, plugins, fault):
    if fault == "leak" and kit.SANITIZERS:
        pytest.skip("the sanitizer's own memory is not counted, and it finds leaks by itself")
    case, says = FAULTS[fault]
    cases, _, text = report(lame(chimera, plugins, fault), "?case=" + case)
    assert cases[case] is False and says in text, text


def test_one_group_of_cases_can_be_asked_for(chimera, plugins):
    c = start(chimera, plugins, "dryrun", {"dryrun": {}}, model="dryrun")
    assert list(report(c, "?case=sink/pause-,about/")[0]) == ["about/itself", "sink/pause-at-each", "sink/pause-openai"]
    assert report(c, "?case=no-such/")[0] == {}
