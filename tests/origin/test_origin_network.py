"""Latency, bandwidth and the rate that a prefix bears. Times are tested from below alone: what is late is the machine's load."""
import concurrent.futures
import json
import time

import pytest


def shape(origin, **values):
    origin.control("POST", "network", **values)


def elapsed(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def test_every_request_waits_for_the_latency_and_all_wait_together(origin):
    origin.put("a", b"x")
    shape(origin, latency_ms=150.5)
    connection = origin.connect()
    for method, path in (("GET", "/bkt/a"), ("HEAD", "/bkt/a"), ("GET", "/bkt?list-type=2"), ("GET", "/bkt/nope")):
        assert elapsed(lambda: origin.http(method, path, connection=connection)) >= 0.15
    origin.control("POST", "counts/reset")
    shape(origin, latency_ms=1500)
    with concurrent.futures.ThreadPoolExecutor(40) as pool:
        assert {r.status for r in pool.map(lambda i: origin.http("GET", "/bkt/a"), range(40))} == {200}
    assert origin.control("GET", "counts")["max_parallel"] > 20


def test_a_thousand_connections_wait_and_are_answered(origin):
    origin.put("a", b"x")
    shape(origin, latency_ms=50)
    connections = [origin.connect(60) for _ in range(1000)]
    for connection in connections:
        connection.request("GET", "/bkt/a")
    assert all(c.getresponse().read() == b"x" for c in connections)
    assert origin.control("GET", "counts")["connections"] >= 1000
    for connection in connections:
        connection.close()


def test_only_the_first_request_of_a_connection_waits_for_it(origin):
    origin.put("a", b"x")
    shape(origin, connect_ms=400)
    connection = origin.connect()
    assert elapsed(lambda: origin.http("GET", "/bkt/a", connection=connection)) >= 0.39
    shape(origin, connect_ms=60000)
    time.sleep(0.01)
    other = origin.connect(0.5)
    with pytest.raises(TimeoutError):
        origin.http("GET", "/bkt/a", connection=other)
    shape(origin, connect_ms=0)
    assert origin.http("GET", "/bkt/a", connection=connection).status == 200


def test_a_connection_has_its_bandwidth_whatever_the_others_take(origin):
    origin.control("POST", "families", bucket="bkt", name="f%02d", count=8, size=1000000)
    shape(origin, connection_bps=4000000)
    connection = origin.connect()
    assert elapsed(lambda: origin.http("GET", "/bkt/f00", connection=connection)) >= 0.249
    assert elapsed(lambda: origin.http("GET", "/bkt/f01", connection=connection)) >= 0.249
    assert origin.http("HEAD", "/bkt/f00").headers["content-length"] == "1000000"


def test_all_connections_share_what_there_is_in_all(origin):
    origin.control("POST", "families", bucket="bkt", name="f%02d", count=8, size=500000)
    shape(origin, total_bps=8000000)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        def all_of_them():
            assert [len(r.body) for r in pool.map(lambda i: origin.http("GET", "/bkt/f0%d" % i), range(8))] == [500000] * 8
        assert elapsed(all_of_them) >= 0.49


def test_rules_by_key_and_kind_come_before_what_holds_for_all(origin):
    for key in ("slow/a", "fast/a"):
        origin.put(key, b"x" * 1000)
    shape(origin, latency_ms=60000)
    shape(origin, key="bkt/fast/*", latency_ms=0)
    shape(origin, key="bkt/slow/*", kind="HeadObject", latency_ms=0, connection_bps=1)
    assert origin.http("GET", "/bkt/fast/a").status == 200
    assert origin.http("HEAD", "/bkt/slow/a").status == 200
    with pytest.raises(TimeoutError):
        origin.http("GET", "/bkt/slow/a", connection=origin.connect(0.3))
    assert origin.control("GET", "network") == {"latency_ms": 60000, "rules": [
        {"key": "bkt/fast/*", "latency_ms": 0}, {"key": "bkt/slow/*", "kind": "HeadObject", "latency_ms": 0, "connection_bps": 1}]}
    origin.control("DELETE", "network")
    assert origin.http("GET", "/bkt/slow/a").status == 200 and origin.control("GET", "network") == {}


def test_a_prefix_bears_only_so_many_requests_and_others_as_many_again(origin):
    for key in ("one/a", "two/a"):
        origin.put(key, b"x")
    shape(origin, gets_per_s=1, burst=5)
    start = time.monotonic()
    replies = [origin.http("GET", "/bkt/one/a") for _ in range(30)]
    passed = [r for r in replies if r.status == 200]
    assert 5 <= len(passed) <= 6 + time.monotonic() - start
    refused = [r for r in replies if r.status != 200]
    assert {(r.status, r.code()) for r in refused} == {(503, "SlowDown")}
    assert origin.http("GET", "/bkt/two/a").status == 200
    assert origin.http("PUT", "/bkt/one/b", b"x").status == 200
    counts = origin.control("GET", "counts")
    assert counts["throttled"] == len(refused) and counts["by_kind"]["GetObject"] == 31
    shape(origin, puts_per_s=1, burst=1)
    assert {origin.http("DELETE", "/bkt/two/x").status for _ in range(20)} == {204, 503}
    shape(origin, gets_per_s=0, puts_per_s=0)
    assert {origin.http("GET", "/bkt/one/a").status for _ in range(20)} == {200}


def test_listings_count_under_their_prefix(origin):
    origin.put("one/a")
    shape(origin, gets_per_s=1, burst=1)
    assert {origin.http("GET", "/bkt?list-type=2&prefix=one/").status for _ in range(20)} == {200, 503}
    assert origin.http("GET", "/bkt?list-type=2").status == 200


@pytest.mark.parametrize("values", [{"latency_ms": "1"}, {"latency_ms": -1}, {"speed": 1}, {"key": "*", "total_bps": 1}, {"key": 1}], ids=str)
def test_what_is_no_setting_is_refused(origin, values):
    reply = origin.http("POST", "/-/network", json.dumps(values))
    assert reply.status == 400 and "network" in reply.json()["error"]
