# SPDX-License-Identifier: Apache-2.0
"""Fixtures of the tests of inference.

  provider   the module's server of models (provider.py)
  gateway    the module's gateway before it: a chimerad with the module's config(port), or the one that CHIMERA_GATEWAY names
  start      start(port, **sections) -> Gateway: a chimerad for this test alone
"""
import gateway as gw
import pytest
from provider import Provider

import chimera as kit


@pytest.fixture(scope="module")
def provider():
    p = Provider(gw.UPSTREAM_PORT if gw.URL else 0)
    yield p
    p.close()


@pytest.fixture(scope="module")
def gateway(request, provider, plugins, tmp_path_factory):
    if gw.URL:
        if not getattr(request.module, "ANY_GATEWAY", False):
            pytest.skip("CHIMERA_GATEWAY is set, and this needs a chimerad of its own")
        yield gw.running()
        return
    sections = request.module.config(provider.port)
    gw.need(plugins, sections)
    c = kit.Chimera(tmp_path_factory.mktemp("gateway"), plugins, sections).start()
    try:
        yield gw.Gateway(c.address(), c)
        c.stop()
    finally:
        c.kill()


@pytest.fixture
def start(chimera, plugins):
    def one(port, **more):
        sections = gw.sections(port, **more)
        gw.need(plugins, sections)
        c = chimera(sections)
        return gw.Gateway(c.address(), c)
    return one
