# SPDX-License-Identifier: Apache-2.0
"""GET /openapi.json describes what is served, validly."""
import json
import os
import re
import shutil
import subprocess

import pytest

CONFIG = {"ask": {}, "dryrun": {}, "trace": {}, "t_echo": {}}
METHODS = {"get", "put", "post", "delete", "options", "head", "patch", "trace"}


@pytest.fixture
def document(server):
    r = server.get("/openapi.json", kind="status")
    assert r.status == 200 and r.header("Content-Type") == "application/json"
    return json.loads(r.text, object_pairs_hook=unique)


def unique(pairs):
    assert len({k for k, _ in pairs}) == len(pairs), f"a member twice: {[k for k, _ in pairs]}"
    return dict(pairs)


def references(value):
    if isinstance(value, dict):
        yield from ([value["$ref"]] if isinstance(value.get("$ref"), str) else [])
        for v in value.values():
            yield from references(v)
    elif isinstance(value, list):
        for v in value:
            yield from references(v)


def test_it_has_the_shape_of_openapi_3_1(document):
    assert re.fullmatch(r"3\.1\.\d+", document["openapi"])
    assert document["info"]["title"] and document["info"]["version"]
    assert document["paths"]
    ids = []
    for path, item in document["paths"].items():
        assert path.startswith("/")
        in_path = set(re.findall(r"\{([^}]*)\}", path))
        assert all(re.fullmatch(r"[A-Za-z0-9_]+", name) for name in in_path), path
        shared = item.get("parameters", [])
        for method, op in item.items():
            if method not in METHODS:
                assert method in ("parameters", "summary", "description", "servers"), (path, method)
                continue
            assert op["responses"] and all(re.fullmatch(r"[1-5](\d\d|XX)|default", status) for status in op["responses"])
            assert all(answer["description"] for answer in op["responses"].values() if "$ref" not in answer)
            ids += [op["operationId"]] if "operationId" in op else []
            parameters = shared + op.get("parameters", [])
            assert {p["name"] for p in parameters if p["in"] == "path"} == in_path, (path, method)
            assert all(p["required"] is True and "schema" in p for p in parameters if p["in"] == "path")
            for media in op.get("requestBody", {}).get("content", {}).values():
                assert isinstance(media.get("schema", {}), (dict, bool))
    assert len(set(ids)) == len(ids)


def test_all_references_lead_somewhere(document):
    for ref in references(document):
        assert ref.startswith("#/"), ref
        at = document
        for part in ref[2:].split("/"):
            at = at[part.replace("~1", "/").replace("~0", "~")]


def test_every_route_is_described(document):
    assert {"post"} <= set(document["paths"]["/v1/ask"])
    assert {"get", "post"} <= set(document["paths"]["/"])
    assert "/metrics" in document["paths"] and "/health" in document["paths"]
    ask = document["paths"]["/v1/ask"]["post"]
    assert ask["requestBody"]["content"]["application/json"]["schema"]["properties"]["prompt"]
    assert ask["responses"]["200"]["content"]["application/json"]["schema"]["required"]


def test_every_path_without_parts_is_served(server, document):
    for path, item in document["paths"].items():
        if "{" not in path and "get" in item:
            assert server.get(path, kind="status").status not in (404, 405), path


def test_a_validator_of_its_own_accepts_it(server, document, tmp_path):
    """CHIMERA_OPENAPI_VALIDATOR names a program (or a .js for node) that takes the file's path and exits 0 if it is valid."""
    tool = os.environ.get("CHIMERA_OPENAPI_VALIDATOR")
    if not tool:
        pytest.skip("CHIMERA_OPENAPI_VALIDATOR is not set")
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document), encoding="utf-8")
    node = [shutil.which("node")] if tool.endswith((".js", ".mjs", ".cjs")) else []
    done = subprocess.run([*node, tool, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schemas_are_json_schema(document):
    jsonschema = pytest.importorskip("jsonschema")
    for item in document["paths"].values():
        for op in item.values():
            for part in [op.get("requestBody", {}), *op.get("responses", {}).values()] if isinstance(op, dict) else []:
                for media in part.get("content", {}).values():
                    if "schema" in media:
                        jsonschema.validators.validator_for(media["schema"]).check_schema(media["schema"])
