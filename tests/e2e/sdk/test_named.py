# SPDX-License-Identifier: Apache-2.0
"""Whatever the interface offers is used by a plugin of the tests or of the SDK: each host function, table field, callback and operation of
a service. A new one fails here until somebody has written down how an author would use it."""
import glob
import os
import re

import headers
import pytest

import chimera as kit

FOLDERS = ["tests/plugins", "sdk/examples", "sdk/templates", "sdk/conformance"]
# The tables of struct ch_plugin, whose rows authors fill; the descriptor itself.
TABLES = ["ch_option", "ch_metric", "ch_label", "ch_hook", "ch_tap", "ch_route", "ch_provide", "ch_check", "ch_cron", "ch_command",
        "ch_seam",
          "ch_plugin"]
# What macros fill in.
BY_MACRO = {"CH_OPT(": {"ch_option.name", "ch_option.type", "ch_option.offset"}}
# What authors read or fill outside of tables.
READ = ["ch_str", "ch_list", "ch_svcs", "ch_svc", "ch_check_result", "ch_row", "ch_self", "ch_facts", "ch_code_info", "ch_addrs",
        "ch_fault",
        "ch_server", "ch_instance", "ch_check_state", "ch_sample", "ch_span", "ch_degradation", "ch_message", "ch_inference_args",
        "ch_inference_result", "ch_inference_sink", "ch_inference_delta", "ch_inference_about", "ch_openai", "ch_splice", "ch_model",
        "ch_manifest", "ch_refusal", "ch_capability", "ch_kv_args", "ch_kv_bucket", "ch_kv_take_args", "ch_kv_level", "ch_kv_result",
        "ch_http_field", "ch_http_args", "ch_http_result", "ch_http_sink"]
# Filled by the host alone and looked at by none: how long the struct is.
HOSTS_OWN = {"ch_self.size", "ch_svc.size", "ch_facts.size", "ch_code_info.size", "ch_instance.size", "ch_check_state.size",
        "ch_sample.size",
             "ch_span.size", "ch_degradation.size"}
# For providers that do not answer at once, as those of the SDK do.
PROVIDERS_OWN = {"ch_kv_result.call"}
VTABLES = re.compile(r"ch_\w+_v\d+")


def sources():
    """{path: text without comments} of the plugins."""
    out = {}
    for folder in FOLDERS:
        for path in glob.glob(os.path.join(kit.SRC, folder, "**", "*.[ch]"), recursive=True):
            if os.path.basename(path).startswith("test_"):
                continue
            with open(path, encoding="utf-8") as f:
                out[os.path.relpath(path, kit.SRC)] = headers.strip_comments(f.read())
    assert any(p.startswith("tests/plugins/") for p in out)
    return out


def balanced(text, at):
    """What stands between the brace at `at` and its match."""
    depth = 0
    for i in range(at, len(text)):
        depth += (text[i] == "{") - (text[i] == "}")
        if not depth:
            return text[at + 1:i]
    raise AssertionError(f"a brace without its match: {text[at:at + 60]}")


def filled(text, tag):
    """The fields that initialisers of struct TAG name, in one source. Labels are written inside of metrics."""
    outer = "ch_metric" if tag == "ch_label" else tag
    found = set()
    for m in re.finditer(rf"struct {outer}\b[^;{{}}()=]*=\s*\{{", text):
        inner = balanced(text, m.end() - 1)
        found |= {f"{tag}.{f}" for f in re.findall(r"\.(\w+)\s*=", inner)}
        if tag == "ch_tap" and inner.strip():
            found.add("ch_tap.fn")  # one field: rows are written { fn }
    for macro, names in BY_MACRO.items():
        if macro in text:
            found |= {n for n in names if n.startswith(tag + ".")}
    return found


STRUCTS = {tag: fields for h in headers.all_headers() for tag, fields in h.structs.items()}


@pytest.mark.parametrize("header", ["plugin.h", "inspect.h", "json.h", "inference.h", "models.h", "http.h", "kv.h"])
def test_each_function_is_called_by_a_plugin(header):
    text = "\n".join(sources().values())
    (h,) = [h for h in headers.all_headers() if h.name == header]
    missing = [name for name in h.functions if not name.endswith("_") and not re.search(rf"\b{name}\(", text)]
    assert not missing, f"no plugin of {', '.join(FOLDERS)} calls {missing}"


def test_each_function_of_the_host_table_is_reached():
    text = "\n".join(sources().values())
    reached = set()
    for h in headers.all_headers():
        for name, body in h.functions.items():
            if re.search(rf"\b{name}\(", text):
                reached |= set(headers.wrapped(body))
    missing = set(STRUCTS["ch_host"]) - {"size", "abi_major", "abi_minor"} - reached
    assert not missing, f"no plugin reaches {sorted(missing)}"


@pytest.mark.parametrize("tag", TABLES)
def test_each_field_of_a_table_is_filled_by_a_plugin(tag):
    found = set().union(*(filled(text, tag) for text in sources().values()))
    missing = {f"{tag}.{f}" for f in STRUCTS[tag]} - found
    assert not missing, f"no plugin of {', '.join(FOLDERS)} names {sorted(missing)}"


@pytest.mark.parametrize("tag", READ)
def test_each_other_field_is_named_by_a_plugin_that_has_to_do_with_the_struct(tag):
    makers = {name for h in headers.all_headers() for name in h.functions}
    texts = [t for t in sources().values() if re.search(rf"\b{tag}\b", t) or (tag in makers and f"{tag}(" in t)]
    assert texts, f"no plugin has to do with struct {tag}"
    missing = [f for f in STRUCTS[tag] if f"{tag}.{f}" not in HOSTS_OWN | PROVIDERS_OWN
               and not any(re.search(rf"(\.|->){f}\b", t) for t in texts)]
    assert not missing, f"no plugin names {[f'{tag}.{f}' for f in missing]}"


def operations():
    return [(tag, op) for tag, fields in STRUCTS.items() if VTABLES.fullmatch(tag) for op in fields if op != "size"]


@pytest.mark.parametrize("tag,op", operations(), ids=lambda v: v)
def test_each_operation_of_a_service_is_called_by_a_plugin(tag, op):
    texts = [t for t in sources().values() if tag in t]
    assert any(re.search(rf"->{op}\(", t) for t in texts), f"no plugin that knows struct {tag} calls its {op}"


@pytest.mark.parametrize("prefix", ["CH_T_", "CH_P_", "CH_O_", "CH_S_", "CH_L_"])
def test_each_kind_of_option_phase_flag_seam_and_label_is_used(prefix):
    text = "\n".join(sources().values())
    names = [n for h in headers.all_headers() for n in [*h.macros, *sum(h.enums.values(), [])] if n.startswith(prefix)]
    assert len(names) > 2
    missing = [n for n in names if not re.search(rf"\b{n}\b", text)]
    if prefix == "CH_T_":  # CH_OPT(conf, field, DURATION, …)
        missing = [n for n in missing if not re.search(rf"CH_OPT(_AS)?\([^()]*, {n[5:]},", text)]
    assert not missing, f"no plugin uses {missing}"


def test_the_search_finds_what_is_missing():
    """So that the tests above are worth something."""
    text = "static const struct ch_hook hooks[] = { { .phase = CH_P_END, .fn = on_end } };"
    assert filled(text, "ch_hook") == {"ch_hook.phase", "ch_hook.fn"}
    assert filled(text.replace("ch_hook", "ch_route"), "ch_hook") == set()
