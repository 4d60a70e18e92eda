#!/bin/sh
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# What the printers print, through real parsers: Prometheus' own client library
# for its exposition format (python3-prometheus-client), Python's for JSON.
set -u
stats=$(dirname "$SCTX_TEST_SO")/tests/unit/stats
export LD_LIBRARY_PATH="$(dirname "$SCTX_TEST_SO")"
# The packages' Python, which another one may hide.
python=$(command -v /usr/bin/python3 || command -v python3)
"$python" -c 'import prometheus_client' 2>/dev/null ||
	{ echo "missing package python3-prometheus-client: run 'make deps'"; exit 1; }

"$stats" print prometheus >"${TMPDIR:-/tmp}/sctx-stats.$$" || exit 1
trap 'rm -f "${TMPDIR:-/tmp}/sctx-stats.$$"' EXIT
"$python" - "${TMPDIR:-/tmp}/sctx-stats.$$" <<'EOF' || exit 1
import sys
from prometheus_client.parser import text_string_to_metric_families

text = open(sys.argv[1], encoding="utf-8").read()
families = list(text_string_to_metric_families(text))
names = [f.name for f in families]
assert len(names) == len(set(names)), "a metric stands twice"
value = {(s.name, tuple(sorted(s.labels.items()))): s.value for f in families for s in f.samples}
for f in families:
    assert f.documentation and f.type in ("counter", "gauge", "histogram"), f
    assert f.type != "counter" or all(s.name.endswith("_total") for s in f.samples), f
build = [s for f in families if f.name == "streamctx_build_info" for s in f.samples]
assert len(build) == 1 and build[0].value == 1 and build[0].labels["version"]
assert value["streamctx_opens_total", ()] == 1
assert value["streamctx_streams", ()] == 1
assert value["streamctx_owners", ()] == 2
first = (("owner", 'a "quoted" \\ name\nof two lines'), ("serial", "1"), ("tag", "Test"))
second = (("owner", "caf\u00e9 ???A"), ("serial", "2"), ("tag", "0x017b5c22"))
for owner in (first, second):
    assert value["streamctx_owner_contexts", owner] == 1, owner
buckets = [s for f in families if f.type == "histogram" for s in f.samples if s.name.endswith("_bucket")]
counts = [b.value for b in buckets]
assert counts == sorted(counts) and buckets[-1].labels["le"] == "+Inf"
assert counts[-1] == value["streamctx_grace_period_seconds_count", ()]
assert counts[-1] >= value["streamctx_grace_periods_total", ()] > 0  # gathered in this order
assert value["streamctx_tag_objects", (("tag", "Test"),)] == 1
print("ok:", len(value), "samples")
EOF

"$stats" print json | "$python" -c '
import json, sys
d = json.load(sys.stdin)
assert d["process"]["opens"] == 1 and d["registry"]["streams"] == 1
assert [o["owner"] for o in d["owners"]] == ["a \"quoted\" \\ name\nof two lines", "caf\u00e9 ?\x01?A"]
assert all(o["contexts"] == 1 for o in d["owners"])
assert {"tag": "Test"}.items() <= d["tags"][0].items() and d["tags"][0]["objects"] == 1
assert len(d["process"]["grace_period_latency"]) == 24
print("ok: JSON")
'
