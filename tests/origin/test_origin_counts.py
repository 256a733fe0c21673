"""What was asked of the server, and how much of it at once."""
import concurrent.futures

from support.families import Family


def test_ranges_tell_what_was_fetched_twice(origin):
    origin.put("a", b"x" * 4096)
    origin.put("b")
    origin.control("POST", "counts/reset")
    for first, last in ((1024, 2047), (0, 1023), (2048, 9999), (0, 1023), (512, 1535)):
        origin.get("a", Range="bytes=%d-%d" % (first, last))
    origin.get("b")
    assert origin.control("GET", "ranges") == {
        "bkt/a": {"requests": 5, "distinct": 4, "bytes": 6144, "covered": 4096,
                  "ranges": [[0, 1024, 2], [512, 1024, 1], [1024, 1024, 1], [2048, 2048, 1]]},
        "bkt/b": {"requests": 1, "distinct": 1, "bytes": 0, "covered": 0, "ranges": [[0, 0, 1]]}}
    assert origin.control("GET", "counts")["repeated"] == 1
    origin.control("POST", "counts/reset")
    assert origin.control("GET", "ranges") == {} and origin.control("GET", "counts")["repeated"] == 0


def test_a_gap_is_not_covered_and_the_whole_object_is_one_range(origin):
    origin.put("a", b"x" * 100)
    for text in ("bytes=0-9", "bytes=2-4", "bytes=50-59", "bytes=-1"):
        origin.get("a", Range=text)
    entry = origin.control("GET", "ranges")["bkt/a"]
    assert entry["bytes"] == 24 and entry["covered"] == 21
    origin.get("a")
    assert [0, 100, 1] in origin.control("GET", "ranges")["bkt/a"]["ranges"]


def test_only_what_is_answered_with_bytes_is_a_range(origin, s3):
    etag = origin.put("a", b"x" * 100)
    s3.head_object(Bucket="bkt", Key="a")
    assert origin.http("GET", "/bkt/a", if_none_match=etag).status == 304
    assert origin.http("GET", "/bkt/a", if_match='"x"').status == 412
    assert origin.http("GET", "/bkt/a", range="bytes=100-").status == 416
    origin.fault({"status": 503})
    assert origin.http("GET", "/bkt/a").status == 503
    assert origin.control("GET", "ranges") == {}


def test_bytes_and_parallel_requests_are_counted_by_kind(origin):
    family = Family("f%02d", count=30, size=1000)
    origin.control("POST", "families", bucket="bkt", **family.rule())
    origin.control("POST", "network", kind="GetObject", latency_ms=60000)
    origin.control("POST", "counts/reset")
    waiting = [origin.connect() for _ in range(20)]
    for i, connection in enumerate(waiting):
        connection.request("GET", "/bkt/f%02d" % i)
    while origin.control("GET", "counts")["total"] < 20:
        pass
    origin.http("HEAD", "/bkt/f00")
    counts = origin.control("GET", "counts")
    assert counts["max_parallel"] == 21 and counts["max_parallel_by_kind"] == {"GetObject": 20, "HeadObject": 1}
    assert counts["connections"] == 21 and counts["max_connections"] >= 21
    origin.control("POST", "counts/reset")
    assert origin.control("GET", "counts")["max_parallel"] == 20
    for connection in waiting:
        connection.close()
    origin.control("DELETE", "network")
    origin.control("POST", "counts/reset")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert {len(r.body) for r in pool.map(lambda i: origin.http("GET", "/bkt/f%02d" % i), range(30))} == {1000}
    while origin.control("GET", "counts")["bytes_out"] < 30000:
        pass
    counts = origin.control("GET", "counts")
    assert counts["bytes_out_by_kind"]["GetObject"] == 30000 and counts["repeated"] == 0
    assert all(entry["ranges"] == [[0, 1000, 1]] for entry in origin.control("GET", "ranges").values())


def test_connections_that_were_closed_are_not_open(origin):
    origin.put("a")
    origin.http("GET", "/bkt/a")
    origin.control("POST", "counts/reset")
    before = origin.control("GET", "counts")["max_connections"]
    for _ in range(10):
        connection = origin.connect()
        origin.http("GET", "/bkt/a", connection=connection)
        connection.close()
        origin.control("GET", "counts")
    assert origin.control("GET", "counts")["max_connections"] <= before + 2
