CONFIG = {"ask": {}, "dryrun": {}, "trace": {}}
def test_a(server):
    r = server.request("POST", "/v1/ask", '{"prompt":"x"}')
    print(r)
    assert r.status == 200
    assert server.metric("http_requests_total", endpoint="/v1/ask", status=200) == 1
    print(server.rss(), server.cpu())
def test_b(chimera):
    c = chimera({"ask": {}, "dryrun": {}, "log": {"access": "all"}})
    assert c.get("/nope").problem(404, "not_found")
    assert c.wait_said("request", url__path="/nope")
