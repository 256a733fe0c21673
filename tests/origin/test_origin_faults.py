"""The control endpoint: counts, log, settings and every fault."""
import http.client
import json
import socket
import subprocess
import threading
import time
import xml.etree.ElementTree as ElementTree

import pytest

from test_origin import code_of

BODY = bytes(range(256)) * 8000


def read(origin, connection=None, key="a", **headers):
    return origin.http("GET", "/bkt/" + key, connection=connection, **headers)


@pytest.fixture
def a(origin):
    origin.put("a", BODY)
    return origin


def started(origin, method="GET", path="/bkt/a", timeout=20):
    """A connection on which a request was sent and no reply read."""
    connection = origin.connect(timeout)
    connection.request(method, path)
    return connection


def wait_for(origin, kind, number=1):
    deadline = time.monotonic() + 10
    while origin.control("GET", "counts")["by_kind"].get(kind, 0) < number:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_requests_are_counted_by_kind_and_key_with_their_bytes(origin, s3):
    origin.control("POST", "counts/reset")
    origin.put("d/a", b"12345")
    origin.get("d/a")
    origin.get("d/a", Range="bytes=0-1")
    s3.list_objects_v2(Bucket="bkt", Prefix="d/")
    code_of(s3.get_object, Bucket="bkt", Key="nope")
    counts = origin.control("GET", "counts")
    assert counts["total"] == 5
    assert counts["by_kind"] == {"PutObject": 1, "GetObject": 3, "ListObjectsV2": 1}
    assert counts["by_key"] == {"bkt/d/a": {"PutObject": 1, "GetObject": 2}, "bkt/d/": {"ListObjectsV2": 1},
                                "bkt/nope": {"GetObject": 1}}
    assert counts["bytes_in"] == 5 and counts["bytes_out"] > 7 and counts["max_parallel"] == 1
    origin.control("POST", "counts/reset")
    counts = origin.control("GET", "counts")
    assert counts["total"] == counts["bytes_in"] == counts["bytes_out"] == 0 and counts["by_key"] == {}


def test_connections_that_sent_a_request_are_counted_and_parallel_requests(origin):
    origin.fault("hang", count=-1)
    idle = origin.connect()
    idle.connect()
    hanging = [started(origin, "GET", "/bkt/%d" % i) for i in range(5)]
    wait_for(origin, "GetObject", 5)
    counts = origin.control("GET", "counts")
    assert counts["connections"] == 5 and counts["max_parallel"] == 5 and len(hanging) == 5
    origin.control("DELETE", "faults")
    origin.control("POST", "release")
    assert [c.getresponse().status for c in hanging] == [404] * 5


def test_the_log_has_each_request(a):
    a.control("POST", "counts/reset")
    read(a, Range="bytes=0-3", If_Match="*")
    a.http("GET", "/bkt?list-type=2&prefix=x%20y")
    log = a.control("GET", "log")
    assert [e["kind"] for e in log] == ["GetObject", "ListObjectsV2"]
    first = {name: log[0][name] for name in ("method", "bucket", "key", "query", "range", "if_match", "status", "bytes", "bytes_in")}
    assert first == {"method": "GET", "bucket": "bkt", "key": "a", "query": "", "range": "bytes=0-3", "if_match": "*",
                     "status": 206, "bytes": 4, "bytes_in": 0}
    assert log[1]["key"] is None and log[1]["query"] == "list-type=2&prefix=x%20y"


def test_the_log_keeps_the_last_10000(origin):
    connection = origin.connect()
    for _ in range(10020):
        connection.request("HEAD", "/bkt/x")
        connection.getresponse().read()
    log = origin.control("GET", "log")
    assert len(log) == 10000 and log[-1]["seq"] - log[0]["seq"] == 9999


def test_a_rule_skips_counts_and_selects_by_kind_and_pattern(a):
    a.put("d/x")
    a.fault({"status": 503}, kind="GetObject", key="bkt/d/*", count=2, skip=1)
    assert [read(a, key="d/x").status for _ in range(5)] == [200, 503, 503, 200, 200]
    assert read(a).status == 200 and a.http("HEAD", "/bkt/d/x").status == 200
    rule, = a.control("GET", "faults")
    assert rule["hits"] == 2 and rule["kind"] == "GetObject" and rule["action"] == {"status": 503}
    a.control("DELETE", "faults")
    a.fault({"status": 500}, key="bkt/d/", kind="ListObjectsV2", count=-1)
    assert [a.http("GET", "/bkt?list-type=2&prefix=d/").status for _ in range(3)] == [500] * 3
    assert a.http("GET", "/bkt?list-type=2").status == 200
    a.control("DELETE", "faults")
    assert a.control("GET", "faults") == []
    assert a.http("GET", "/bkt?list-type=2&prefix=d/").status == 200


@pytest.mark.parametrize("rule", [{}, {"action": {}}, {"action": "nonsense"}, {"action": {"delay_ms": "x"}}, {"action": {"status": None}},
                                  {"action": "hang", "count": "x"}, {"action": "hang", "kind": 1}, [], 3, None], ids=str)
def test_rules_that_make_no_sense_are_refused(origin, rule):
    assert origin.http("POST", "/-/faults", json.dumps(rule)).status == 400
    assert origin.control("GET", "faults") == []


def test_control_requests_that_do_not_exist_are_errors(origin):
    assert origin.http("GET", "/-/nothing").status == 404
    assert origin.http("POST", "/-/faults", "{").status == 400
    assert origin.http("POST", "/-/synthetic", json.dumps({"bucket": "nope", "key": "a"})).status == 404
    assert origin.http("POST", "/-/synthetic", json.dumps({"bucket": "bkt", "key": "a", "size": -1})).status == 400
    assert origin.http("POST", "/-/settings", json.dumps({"region": 1})).status == 400


def test_settings_of_the_server_and_of_one_bucket(origin, s3):
    origin.control("POST", "settings", region="eu-west-1")
    s3.create_bucket(Bucket="new")
    assert origin.http("HEAD", "/new").headers["x-amz-bucket-region"] == "eu-west-1"
    assert origin.http("HEAD", "/bkt").headers["x-amz-bucket-region"] == "us-east-1"
    reply = origin.control("POST", "settings", bucket="bkt", region="ap-south-1", ownership="ObjectWriter")
    assert reply == {"region": "ap-south-1", "ownership": "ObjectWriter"}
    assert origin.http("HEAD", "/bkt").headers["x-amz-bucket-region"] == "ap-south-1"
    assert b"BucketOwnerEnforced" in origin.http("GET", "/new?ownershipControls").body


def test_a_foreign_bucket_is_not_listed_and_its_name_is_taken(origin, s3):
    s3.create_bucket(Bucket="theirs")
    s3.put_object(Bucket="theirs", Key="a", Body=b"x")
    origin.control("POST", "settings", bucket="theirs", foreign=True)
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["bkt"]
    assert origin.http("PUT", "/theirs").status == 409
    assert s3.get_object(Bucket="theirs", Key="a")["Body"].read() == b"x"


def test_delay_comes_before_the_operation(a):
    a.fault({"delay_ms": 300})
    start = time.monotonic()
    assert read(a).body == BODY
    assert 0.3 <= time.monotonic() - start < 2
    a.fault({"delay_ms": 200}, kind="PutObject")
    connection = a.connect()
    connection.request("PUT", "/bkt/late", b"x")
    wait_for(a, "PutObject")
    connection.close()
    assert read(a, key="late").status == 404
    time.sleep(0.4)
    assert read(a, key="late").body == b"x"


def test_a_hang_lasts_until_release_and_a_client_that_left_has_done_nothing(a):
    a.fault("hang", kind="PutObject", count=2)
    gone, stays = a.connect(), a.connect()
    gone.request("PUT", "/bkt/gone", b"x")
    stays.request("PUT", "/bkt/stays", b"x")
    wait_for(a, "PutObject", 2)
    gone.close()
    time.sleep(0.1)
    assert read(a, key="stays").status == 404
    a.control("POST", "release")
    assert stays.getresponse().status == 200
    assert read(a, key="stays").body == b"x" and read(a, key="gone").status == 404
    assert [e["status"] for e in a.control("GET", "log") if e["key"] == "gone"] == [0, 404]


@pytest.mark.parametrize("status, code", [(503, "SlowDown"), (500, "InternalError"), (403, "AccessDenied"), (404, "NoSuchKey"),
                                          (409, "ConditionalRequestConflict")])
def test_a_status_is_answered_and_nothing_is_done(origin, s3, status, code):
    origin.fault({"status": status}, kind="PutObject")
    assert code_of(s3.put_object, Bucket="bkt", Key="b", Body=b"x") == code
    assert read(origin, key="b").status == 404
    origin.fault({"status": status, "code": "Own", "retry_after": 7}, kind="GetObject")
    reply = read(origin, key="b")
    assert (reply.status, reply.code(), reply.headers["retry-after"]) == (status, "Own", "7")


def test_reset_does_nothing_and_execute_then_reset_does_it(a):
    for action, status in (("reset", 404), ("execute_then_reset", 200)):
        a.fault(action, kind="PutObject")
        with pytest.raises(ConnectionResetError):
            a.http("PUT", "/bkt/b", b"x")
        assert read(a, key="b").status == status


def drain(connection):
    """The body bytes that arrive, and the exception that ended them."""
    response = connection.getresponse()
    data = b""
    try:
        while chunk := response.read1(65536):
            data += chunk
    except (ConnectionError, http.client.IncompleteRead, socket.timeout) as error:
        return response, data, error
    return response, data, None


@pytest.mark.parametrize("after", [0, 1, 1000, 500_000])
def test_reset_after_and_cut_after_deliver_exactly_that_many_bytes(a, after):
    a.fault({"reset_after": after})
    response, data, error = drain(started(a))
    assert data == BODY[:after] and isinstance(error, ConnectionResetError)
    a.fault({"cut_after": after})
    response, data, error = drain(started(a))
    assert data == BODY[:after] and response.getheader("Content-Length") == str(len(BODY))
    assert not isinstance(error, ConnectionResetError)


@pytest.mark.parametrize("size", [2048, 2048000, 3])
def test_corrupt_at_changes_one_byte_of_one_reply(origin, size):
    body = (BODY * 2)[:size]
    origin.put("a", body)
    at = size * 2 // 3
    origin.fault({"corrupt_at": at})
    got = read(origin).body
    assert len(got) == size and [i for i in range(size) if got[i] != body[i]] == [at]
    assert read(origin).body == body
    origin.fault({"corrupt_at": 1})
    assert read(origin, Range="bytes=1-2").body == bytes([body[1], body[2] ^ 0xFF])


def test_redirect_names_the_region_until_a_request_is_signed_for_it(a):
    a.fault({"redirect": "eu-west-1"}, count=-1)
    reply = read(a)
    assert (reply.status, reply.code(), reply.headers["x-amz-bucket-region"]) == (301, "PermanentRedirect", "eu-west-1")
    assert reply.headers["location"] == "http://127.0.0.1:%d/bkt/a" % a.port
    assert ("<Endpoint>127.0.0.1:%d</Endpoint>" % a.port).encode() in reply.body
    head = a.http("HEAD", "/bkt/a")
    assert (head.status, head.headers["x-amz-bucket-region"]) == (301, "eu-west-1")
    signed = "AWS4-HMAC-SHA256 Credential=id/20260101/eu-west-1/s3/aws4_request, SignedHeaders=host, Signature=0"
    assert read(a, Authorization=signed).body == BODY
    a.control("DELETE", "faults")
    a.fault({"redirect": "eu-west-1", "status": 307})
    reply = read(a)
    assert (reply.status, reply.code()) == (307, "TemporaryRedirect")


@pytest.mark.parametrize("lie", [10, -10])
def test_lie_length_is_in_header_and_listing(a, lie):
    a.fault({"lie_length": lie}, count=-1)
    assert a.http("HEAD", "/bkt/a").headers["content-length"] == str(len(BODY) + lie)
    response, data, error = drain(started(a))
    assert response.getheader("Content-Length") == str(len(BODY) + lie)
    assert data == BODY[:len(BODY) + lie]
    listing = started(a, "GET", "/bkt?list-type=2").getresponse()
    try:
        text = listing.read()
    except http.client.IncompleteRead as short:
        text = short.partial
    assert b"<Size>%d</Size>" % (len(BODY) + lie) in text


def test_lie_etag_is_told_everywhere(a, s3):
    a.fault({"lie_etag": '"lie"'}, count=-1)
    assert read(a).headers["etag"] == a.http("HEAD", "/bkt/a").headers["etag"] == '"lie"'
    assert s3.list_objects_v2(Bucket="bkt")["Contents"][0]["ETag"] == '"lie"'
    assert a.put("b") == '"lie"'
    assert s3.copy_object(Bucket="bkt", Key="c", CopySource="bkt/a")["CopyObjectResult"]["ETag"] == '"lie"'


def test_loop_listing_never_ends(origin, s3):
    for key in "abc":
        origin.put(key)
    origin.fault("loop_listing", kind="ListObjectsV2", count=-1)
    token = {}
    for _ in range(5):
        page = s3.list_objects_v2(Bucket="bkt", **token)
        assert page["IsTruncated"] and [o["Key"] for o in page["Contents"]] == ["a", "b", "c"]
        token = {"ContinuationToken": page["NextContinuationToken"]}


def test_malformed_xml_cannot_be_parsed(a, s3):
    calls = [lambda: a.http("GET", "/bkt?list-type=2"), lambda: a.http("GET", "/"), lambda: a.http("GET", "/bkt/a?tagging"),
             lambda: a.http("PUT", "/bkt/b", x_amz_copy_source="bkt/a"), lambda: a.http("POST", "/bkt/m?uploads")]
    for call in calls:
        a.fault("malformed_xml")
        reply = call()
        assert reply.status == 200
        with pytest.raises(ElementTree.ParseError):
            ElementTree.fromstring(reply.body)
    assert read(a, key="b").body == BODY


def test_huge_xml_is_well_formed_and_huge(a):
    a.fault({"huge_xml": 3_000_000}, kind="ListObjectsV2")
    body = a.http("GET", "/bkt?list-type=2").body
    assert 3_000_000 <= len(body) < 3_001_000
    root = ElementTree.fromstring(body)
    assert root.tag == "ListBucketResult" and len(root.findall("Contents")) > 10000
    a.fault({"huge_xml": 5 << 30})
    connection = started(a, "GET", "/bkt?list-type=2")
    response = connection.getresponse()
    assert int(response.getheader("Content-Length")) >= 5 << 30
    assert response.read(1000).startswith(b"<?xml")
    connection.close()


def test_entity_xml_has_entities_that_explode(a):
    a.fault("entity_xml")
    body = a.http("GET", "/bkt?list-type=2").body
    assert b"<!DOCTYPE ListBucketResult [" in body and b"&e9;" in body and len(body) < 2000


def test_an_error_in_200_is_an_error_and_does_nothing(a, s3):
    a.fault("error_in_200", kind="CopyObject")
    reply = a.http("PUT", "/bkt/b", x_amz_copy_source="bkt/a")
    assert (reply.status, reply.code()) == (200, "InternalError")
    a.fault({"error_in_200": True, "code": "SlowDown"}, kind="DeleteObjects")
    assert a.http("POST", "/bkt?delete", b"<Delete/>").code() == "SlowDown"
    assert read(a, key="b").status == 404 and read(a).status == 200


def test_a_skewed_clock_is_refused_with_the_servers_date(a):
    a.fault({"skew_s": 3600})
    reply = read(a)
    assert (reply.status, reply.code()) == (403, "RequestTimeTooSkewed")
    there = time.mktime(time.strptime(reply.headers["date"], "%a, %d %b %Y %H:%M:%S GMT")) - time.timezone
    assert 3500 < there - time.time() < 3700


def test_stall_after_stops_and_goes_on_after_release(a):
    a.fault({"stall_after": 1000})
    connection = started(a, timeout=0.5)
    response = connection.getresponse()
    assert response.read(1000) == BODY[:1000]
    with pytest.raises(socket.timeout):
        response.read1(1)
    a.fault({"stall_after": 1000})
    connection = started(a)
    response = connection.getresponse()
    assert response.read(1000) == BODY[:1000]
    a.control("POST", "release")
    assert response.read() == BODY[1000:]
    assert read(a, connection=connection).body == BODY


def test_trickle_is_slow_and_complete(origin):
    body = BODY[:20_000]
    origin.put("a", body)
    origin.fault({"trickle_bps": 40_000})
    start = time.monotonic()
    assert read(origin).body == body
    assert 0.4 < time.monotonic() - start < 3


def test_wrong_range_is_another_range_or_the_whole(a):
    a.fault("wrong_range")
    reply = read(a, Range="bytes=10-19")
    assert (reply.status, reply.headers["content-range"], reply.body) == (206, "bytes 11-20/%d" % len(BODY), BODY[11:21])
    a.fault({"wrong_range": "whole"})
    reply = read(a, Range="bytes=10-19")
    assert (reply.status, reply.body) == (200, BODY) and "content-range" not in reply.headers
    a.fault("wrong_range")
    reply = read(a, Range="bytes=-5")
    assert reply.status == 206 and reply.headers["content-range"] != "bytes %d-%d/%d" % (len(BODY) - 5, len(BODY) - 1, len(BODY))


def test_empty_200_is_empty_and_does_nothing(a):
    a.fault("empty_200", count=-1)
    reply = read(a)
    assert (reply.status, reply.body) == (200, b"") and "etag" not in reply.headers
    assert a.http("DELETE", "/bkt/a").status == 200
    a.control("DELETE", "faults")
    assert read(a).body == BODY


def test_execute_overrides_what_an_action_does_by_itself(a):
    a.fault({"execute_then_reset": True, "execute": False}, kind="DeleteObject")
    with pytest.raises(ConnectionResetError):
        a.http("DELETE", "/bkt/a")
    assert read(a).body == BODY


def test_a_hanging_request_holds_nobody_else_up(a):
    a.fault("hang", count=20)
    hanging = [started(a) for _ in range(20)]
    wait_for(a, "GetObject", 20)
    results = []
    threads = [threading.Thread(target=lambda: results.append(read(a).body == BODY)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 8 and len(hanging) == 20


def test_the_program_takes_a_port_and_writes_it_to_a_file(server, tmp_path):
    program = server.process.args[0]
    path = tmp_path / "port"
    process = subprocess.Popen([program, "--port", "0", "--port-file", str(path)], stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line == "listening on 127.0.0.1:%d\n" % int(path.read_text())
    taken = subprocess.run([program, "--port", line.rsplit(":", 1)[1].strip()], stderr=subprocess.PIPE, text=True)
    assert taken.returncode == 1 and "cannot listen" in taken.stderr
    process.terminate()
    assert process.wait(timeout=10) == 0
    for wrong in (["--port", "x"], ["--port", "70000"], ["--nothing"], ["extra"]):
        assert subprocess.run([program] + wrong, stderr=subprocess.PIPE).returncode == 2
