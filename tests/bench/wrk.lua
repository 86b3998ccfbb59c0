-- SPDX-License-Identifier: Apache-2.0
-- One request at a time on each connection (no pipelining), built once; the result as one line of JSON, times in microseconds.
local body = os.getenv("BENCH_BODY")
if body then
	wrk.method = "POST"
	wrk.body = body
	wrk.headers["Content-Type"] = "application/json"
end

function done(summary, latency, requests)
	local e = summary.errors
	io.write(string.format(
		'\nBENCH {"requests":%d,"bytes":%d,"duration_us":%d,"bad":%d,"p50_us":%d,"p99_us":%d}\n',
		summary.requests, summary.bytes, summary.duration, e.connect + e.read + e.write + e.status + e.timeout,
		latency:percentile(50), latency:percentile(99)))
end
