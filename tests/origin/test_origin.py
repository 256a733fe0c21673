"""Buckets, objects, conditions and listings, with boto3 as the client."""
import base64
import hashlib
import re
import time

import pytest
from botocore.exceptions import ClientError


def code_of(call, *arguments, **named):
    with pytest.raises(ClientError) as caught:
        call(*arguments, **named)
    return caught.value.response["Error"]["Code"]


def status_of(call, **named):
    with pytest.raises(ClientError) as caught:
        call(**named)
    return caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def b64(data):
    return base64.b64encode(data).decode()


def test_a_bucket_is_created_headed_located_listed_and_deleted(origin, s3):
    s3.create_bucket(Bucket="frankfurt", CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
    head = s3.head_bucket(Bucket="frankfurt")
    assert head["ResponseMetadata"]["HTTPHeaders"]["x-amz-bucket-region"] == "eu-central-1"
    assert s3.get_bucket_location(Bucket="frankfurt")["LocationConstraint"] == "eu-central-1"
    assert s3.get_bucket_location(Bucket="bkt")["LocationConstraint"] is None
    assert [b["Name"] for b in s3.list_buckets()["Buckets"]] == ["bkt", "frankfurt"]
    assert [b["Name"] for b in s3.list_buckets(Prefix="fr")["Buckets"]] == ["frankfurt"]
    first = s3.list_buckets(MaxBuckets=1)
    assert [b["Name"] for b in s3.list_buckets(ContinuationToken=first["ContinuationToken"])["Buckets"]] == ["frankfurt"]
    s3.delete_bucket(Bucket="frankfurt")
    assert status_of(s3.head_bucket, Bucket="frankfurt") == 404


def test_bucket_errors_have_their_codes(origin, s3):
    origin.put("a")
    assert code_of(s3.delete_bucket, Bucket="bkt") == "BucketNotEmpty"
    assert code_of(s3.delete_bucket, Bucket="nope") == "NoSuchBucket"
    assert code_of(s3.list_objects_v2, Bucket="nope") == "NoSuchBucket"
    assert code_of(s3.create_bucket, Bucket="No_Bucket") == "InvalidBucketName"
    s3.create_bucket(Bucket="bkt")
    s3.create_bucket(Bucket="eu-bkt", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    assert code_of(s3.create_bucket, Bucket="eu-bkt") == "BucketAlreadyOwnedByYou"


def test_a_bucket_is_also_a_virtual_host(origin):
    host = "bkt.localhost:%d" % origin.port
    assert origin.http("PUT", "/a/b", b"x", Host=host).status == 200
    assert origin.get("a/b") == b"x"
    assert b"<Key>a/b</Key>" in origin.http("GET", "/?list-type=2", Host=host).body


def test_an_object_comes_back_with_all_that_was_stored_with_it(origin, s3):
    headers = {"ContentType": "text/plain", "CacheControl": "no-cache", "ContentEncoding": "gzip",
               "ContentDisposition": "inline", "ContentLanguage": "de"}
    etag = origin.put("a", b"hello", Metadata={"mtime": "1.5", "sha": "x" * 128}, StorageClass="STANDARD_IA",
                      Tagging="k=v&l=w%20x", **headers)
    assert etag == '"%s"' % hashlib.md5(b"hello").hexdigest()
    for reply in (s3.head_object(Bucket="bkt", Key="a"), s3.get_object(Bucket="bkt", Key="a")):
        assert reply["ContentLength"] == 5 and reply["ETag"] == etag and reply["StorageClass"] == "STANDARD_IA"
        assert reply["Metadata"] == {"mtime": "1.5", "sha": "x" * 128}
        assert {name: reply[name] for name in headers} == headers
        assert reply["ResponseMetadata"]["HTTPHeaders"]["x-amz-tagging-count"] == "2"
    assert s3.head_object(Bucket="bkt", Key="a")["ResponseMetadata"]["HTTPHeaders"]["x-amz-request-id"]


def test_an_expires_header_and_the_default_content_type_are_given_back(origin):
    origin.http("PUT", "/bkt/a", b"", Expires="Thu, 01 Dec 2030 16:00:00 GMT")
    headers = origin.http("HEAD", "/bkt/a").headers
    assert headers["expires"] == "Thu, 01 Dec 2030 16:00:00 GMT"
    assert headers["content-type"] == "binary/octet-stream"
    assert "x-amz-version-id" not in headers and "date" in headers


@pytest.mark.parametrize("key", ["a b", "a+b", "100%", "ü/€/😀", "a//b", "/lead", "d/./f", "e/../f", "x?y", "a&b<c>\"'", "d/",
                                 "a\\b", "~tilde", "x" * 1024, "new\nline", "bell\x07"], ids=ascii)
def test_every_key_is_stored_byte_for_byte_and_listed(origin, s3, key):
    origin.put(key, b"body")
    assert origin.get(key) == b"body"
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="bkt")["Contents"]] == [key]


def test_keys_and_metadata_beyond_the_limits_are_refused(origin, s3):
    assert code_of(origin.put, "x" * 1025) == "KeyTooLongError"
    origin.put("a", Metadata={"k": "v" * 2047})
    assert code_of(origin.put, "a", Metadata={"k": "v" * 2048}) == "MetadataTooLarge"
    assert code_of(s3.get_object, Bucket="bkt", Key="nope") == "NoSuchKey"
    assert status_of(s3.head_object, Bucket="bkt", Key="nope") == 404
    assert origin.http("GET", "/bkt/%FF").code() == "InvalidURI"
    assert code_of(origin.put, "a", StorageClass="NOPE") == "InvalidStorageClass"


def test_archived_objects_cannot_be_read(origin, s3):
    origin.put("a", b"x", StorageClass="GLACIER")
    assert code_of(s3.get_object, Bucket="bkt", Key="a") == "InvalidObjectState"
    assert s3.head_object(Bucket="bkt", Key="a")["StorageClass"] == "GLACIER"


RANGES = [("bytes=0-3", b"0123", "bytes 0-3/10"), ("bytes=4-", b"456789", "bytes 4-9/10"), ("bytes=8-100", b"89", "bytes 8-9/10"),
          ("bytes=-3", b"789", "bytes 7-9/10"), ("bytes=-100", b"0123456789", "bytes 0-9/10"), ("bytes=9-9", b"9", "bytes 9-9/10")]


@pytest.mark.parametrize("header, body, content_range", RANGES)
def test_a_range_gives_its_bytes(origin, header, body, content_range):
    origin.put("a", b"0123456789")
    reply = origin.http("GET", "/bkt/a", Range=header)
    assert (reply.status, reply.body, reply.headers["content-range"]) == (206, body, content_range)
    reply = origin.http("HEAD", "/bkt/a", Range=header)
    assert (reply.status, reply.headers["content-length"]) == (206, str(len(body)))


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=20-30", "bytes=-0"])
def test_a_range_outside_is_416_and_nonsense_is_the_whole_object(origin, header):
    origin.put("a", b"0123456789")
    reply = origin.http("GET", "/bkt/a", Range=header)
    assert (reply.status, reply.code(), reply.headers["content-range"]) == (416, "InvalidRange", "bytes */10")
    for nonsense in ("bytes=5-2", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4"):
        reply = origin.http("GET", "/bkt/a", Range=nonsense)
        assert (reply.status, reply.body) == (200, b"0123456789")


def test_an_empty_object_has_no_range(origin):
    origin.put("a")
    assert origin.http("GET", "/bkt/a", Range="bytes=0-").status == 416
    assert origin.http("GET", "/bkt/a", Range="bytes=-1").status == 416
    assert origin.http("GET", "/bkt/a").body == b""


OLD, NEW = "Mon, 01 Jan 2001 00:00:00 GMT", "Fri, 01 Jan 2038 00:00:00 GMT"
READS = [({"If_Match": "RIGHT"}, 200), ({"If_Match": "BARE"}, 200), ({"If_Match": '"x"'}, 412), ({"If_Match": "*"}, 200),
         ({"If_Match": '"x", RIGHT'}, 200), ({"If_None_Match": "RIGHT"}, 304), ({"If_None_Match": '"x"'}, 200),
         ({"If_None_Match": "*"}, 304), ({"If_Modified_Since": OLD}, 200), ({"If_Modified_Since": NEW}, 304),
         ({"If_Unmodified_Since": OLD}, 412), ({"If_Unmodified_Since": NEW}, 200),
         ({"If_Match": "RIGHT", "If_Unmodified_Since": OLD}, 200), ({"If_None_Match": "RIGHT", "If_Modified_Since": OLD}, 304),
         ({"If_None_Match": '"x"', "If_Modified_Since": NEW}, 200), ({"If_Match": '"x"', "If_None_Match": '"x"'}, 412)]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("conditions, status", READS, ids=str)
def test_conditions_of_reads(origin, method, conditions, status):
    etag = origin.put("a", b"x")
    conditions = {name: value.replace("RIGHT", etag).replace("BARE", etag.strip('"')) for name, value in conditions.items()}
    reply = origin.http(method, "/bkt/a", **conditions)
    assert reply.status == status
    if status == 304:
        assert reply.body == b"" and reply.headers["etag"] == etag
    assert origin.http("GET", "/bkt/nope", **conditions).status == 404


@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.parametrize("condition, with_object, without", [
    ({}, 200, 200), ({"IfNoneMatch": "*"}, 412, 200), ({"IfMatch": "RIGHT"}, 200, 404), ({"IfMatch": '"x"'}, 412, 404),
    ({"IfNoneMatch": '"x"'}, 501, 501)], ids=str)
def test_conditions_of_puts_copies_and_completes(origin, s3, exists, condition, with_object, without):
    expected = with_object if exists else without
    origin.put("source", b"new")

    def put(**conditions):
        s3.put_object(Bucket="bkt", Key="a", Body=b"new", **conditions)

    def copy(**conditions):
        s3.copy_object(Bucket="bkt", Key="a", CopySource="bkt/source", **conditions)

    def complete(**conditions):
        upload = s3.create_multipart_upload(Bucket="bkt", Key="a")["UploadId"]
        part = s3.upload_part(Bucket="bkt", Key="a", UploadId=upload, PartNumber=1, Body=b"new")["ETag"]
        parts = {"Parts": [{"PartNumber": 1, "ETag": part}]}
        try:
            s3.complete_multipart_upload(Bucket="bkt", Key="a", UploadId=upload, MultipartUpload=parts, **conditions)
        finally:
            kept = [u["UploadId"] for u in s3.list_multipart_uploads(Bucket="bkt").get("Uploads", [])]
            assert kept == ([] if expected == 200 else [upload])
            for upload in kept:
                s3.abort_multipart_upload(Bucket="bkt", Key="a", UploadId=upload)

    for write in (put, copy, complete):
        s3.delete_object(Bucket="bkt", Key="a")
        etag = origin.put("a", b"old") if exists else '"y"'
        arguments = {name: value.replace("RIGHT", etag) for name, value in condition.items()}
        if expected == 200:
            write(**arguments)
            assert origin.get("a") == b"new"
            continue
        assert status_of(write, **arguments) == expected
        assert not exists or origin.get("a") == b"old"


def test_conditions_of_deletes(origin, s3):
    etag = origin.put("a", b"x")
    assert status_of(s3.delete_object, Bucket="bkt", Key="a", IfMatch='"x"') == 412
    assert origin.get("a") == b"x"
    s3.delete_object(Bucket="bkt", Key="a", IfMatch=etag)
    s3.delete_object(Bucket="bkt", Key="a")
    assert status_of(s3.delete_object, Bucket="bkt", Key="a", IfMatch=etag) == 412
    assert status_of(s3.delete_object, Bucket="bkt", Key="a", IfMatch="*") == 412


def test_delete_objects_evaluates_the_etag_of_each(origin, s3):
    etags = {key: origin.put(key, key.encode()) for key in "abc"}
    objects = [{"Key": "a", "ETag": etags["a"]}, {"Key": "b", "ETag": etags["a"]}, {"Key": "c"}, {"Key": "none"},
               {"Key": "gone", "ETag": etags["a"]}]
    reply = s3.delete_objects(Bucket="bkt", Delete={"Objects": objects})
    assert [d["Key"] for d in reply["Deleted"]] == ["a", "c", "none"]
    assert [(e["Key"], e["Code"]) for e in reply["Errors"]] == [("b", "PreconditionFailed"), ("gone", "PreconditionFailed")]
    assert [o["Key"] for o in s3.list_objects_v2(Bucket="bkt")["Contents"]] == ["b"]
    reply = s3.delete_objects(Bucket="bkt", Delete={"Objects": [{"Key": "b"}], "Quiet": True})
    assert "Deleted" not in reply and "Errors" not in reply


def test_delete_objects_needs_a_digest_valid_xml_and_at_most_1000_keys(origin, s3):
    body = b"<Delete><Object><Key>a</Key></Object></Delete>"
    assert origin.http("POST", "/bkt?delete", body).code() == "InvalidRequest"
    assert origin.http("POST", "/bkt?delete", body, Content_MD5=b64(hashlib.md5(b"").digest())).code() == "BadDigest"
    assert origin.http("POST", "/bkt?delete", body, Content_MD5=b64(hashlib.md5(body).digest())).status == 200
    for bad in (b"<Delete>", b"<Delete/>", b"nothing", b"<!DOCTYPE a [<!ENTITY e 'x'>]><Delete><Object><Key>&e;</Key></Object></Delete>"):
        assert origin.http("POST", "/bkt?delete", bad, Content_MD5=b64(hashlib.md5(bad).digest())).code() == "MalformedXML"
    many = [{"Key": "k%d" % i} for i in range(1001)]
    assert len(s3.delete_objects(Bucket="bkt", Delete={"Objects": many[:1000]})["Deleted"]) == 1000
    assert code_of(s3.delete_objects, Bucket="bkt", Delete={"Objects": many}) == "MalformedXML"


CHECKSUMS = {"CRC32": ("y/Q5Jg==", "AAAAAA=="), "CRC32C": ("4waSgw==", "AAAAAA=="), "CRC64NVME": ("rosUhgp5mIg=", "AAAAAAAAAAA="),
             "SHA1": (b64(hashlib.sha1(b"123456789").digest()), b64(bytes(20))),
             "SHA256": (b64(hashlib.sha256(b"123456789").digest()), b64(bytes(32))),
             "SHA512": (b64(hashlib.sha512(b"123456789").digest()), b64(bytes(64)))}


@pytest.mark.parametrize("algorithm", CHECKSUMS)
def test_a_checksum_is_verified_stored_and_given_back(origin, algorithm):
    right, wrong = CHECKSUMS[algorithm]
    header = "x-amz-checksum-" + algorithm.lower()
    reply = origin.http("PUT", "/bkt/a", b"123456789", **{header: wrong})
    assert (reply.status, reply.code()) == (400, "BadDigest")
    assert origin.http("HEAD", "/bkt/a").status == 404
    assert origin.http("PUT", "/bkt/a", b"123456789", **{header: right[:-4]}).code() == "InvalidRequest"
    assert origin.http("PUT", "/bkt/a", b"123456789", **{header: right}).headers[header] == right
    for method in ("HEAD", "GET"):
        reply = origin.http(method, "/bkt/a", x_amz_checksum_mode="ENABLED")
        assert reply.headers[header] == right and reply.headers["x-amz-checksum-type"] == "FULL_OBJECT"
        assert header not in origin.http(method, "/bkt/a").headers
    assert header not in origin.http("GET", "/bkt/a", x_amz_checksum_mode="ENABLED", Range="bytes=0-3").headers


def test_without_a_checksum_s3_stores_crc64nvme_and_two_are_refused(origin):
    origin.http("PUT", "/bkt/a", b"123456789")
    reply = origin.http("HEAD", "/bkt/a", x_amz_checksum_mode="ENABLED")
    assert reply.headers["x-amz-checksum-crc64nvme"] == "rosUhgp5mIg="
    two = {"x-amz-checksum-crc32": "y/Q5Jg==", "x-amz-checksum-crc32c": "4waSgw=="}
    assert origin.http("PUT", "/bkt/a", b"123456789", **two).code() == "InvalidRequest"
    assert origin.http("PUT", "/bkt/a", b"1", x_amz_sdk_checksum_algorithm="SHA512").code() == "InvalidRequest"


def test_content_md5_and_content_sha256_are_verified(origin):
    assert origin.http("PUT", "/bkt/a", b"x", Content_MD5=b64(hashlib.md5(b"y").digest())).code() == "BadDigest"
    assert origin.http("PUT", "/bkt/a", b"x", Content_MD5="zz").code() == "InvalidDigest"
    assert origin.http("PUT", "/bkt/a", b"x", Content_MD5=b64(hashlib.md5(b"x").digest())).status == 200
    wrong = hashlib.sha256(b"y").hexdigest()
    assert origin.http("PUT", "/bkt/a", b"x", x_amz_content_sha256=wrong).code() == "XAmzContentSHA256Mismatch"
    assert origin.http("PUT", "/bkt/a", b"x", x_amz_content_sha256="UNSIGNED-PAYLOAD").status == 200


def test_bodies_come_with_a_length_only(origin):
    connection = origin.connect()
    connection.putrequest("PUT", "/bkt/a")
    connection.endheaders()
    assert connection.getresponse().status == 411
    assert origin.http("PUT", "/bkt/a", iter([b"x"]), Transfer_Encoding="chunked").code() == "NotImplemented"


def test_a_body_over_5_gib_is_refused_before_it_is_sent(origin):
    for path in ("/bkt/a", "/bkt/a?partNumber=1&uploadId=x"):
        connection = origin.connect()
        connection.putrequest("PUT", path)
        connection.putheader("Content-Length", str((5 << 30) + 1))
        connection.endheaders()
        reply = connection.getresponse()
        assert (reply.status, b"<Code>EntityTooLarge</Code>" in reply.read()) == (400, True)


def test_a_body_that_waits_for_100_continue_is_asked_for(origin):
    connection = origin.connect()
    connection.putrequest("PUT", "/bkt/a")
    connection.putheader("Content-Length", "5")
    connection.putheader("Expect", "100-continue")
    connection.endheaders()
    assert connection.sock.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
    connection.send(b"hello")
    assert connection.getresponse().status == 200
    assert origin.get("a") == b"hello"


def test_pipelined_requests_on_one_connection_are_answered_in_order(origin):
    connection = origin.connect()
    connection.connect()
    one = "PUT /bkt/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx"
    two = "GET /bkt/a HTTP/1.1\r\nHost: x\r\n\r\n"
    last = "GET /bkt/nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    connection.sock.sendall((one + two + last).encode())
    text = b""
    while chunk := connection.sock.recv(65536):
        text += chunk
    assert re.findall(rb"HTTP/1.1 (\d+)", text) == [b"200", b"200", b"404"]


@pytest.mark.parametrize("junk", [b"\r\n\r\n", b"GET\r\n\r\n", b"GET / \r\n\r\n", b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
                                  b"GET /%zz/a HTTP/1.1\r\n\r\n", b"GET /bkt?%q HTTP/1.1\r\n\r\n", b"x" * 200000,
                                  b"PUT /bkt/a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"GET /bkt/%00 HTTP/1.1\r\n\r\n"], ids=str)
def test_junk_is_refused_and_the_connection_closed(origin, junk):
    connection = origin.connect(5)
    connection.connect()
    try:
        connection.sock.sendall(junk)
        reply = b""
        while chunk := connection.sock.recv(65536):
            reply += chunk
        assert reply == b"" or reply.startswith(b"HTTP/1.1 400")
    except ConnectionError:
        pass
    origin.put("a")


def test_large_bodies_go_to_a_file_and_come_back(origin):
    body = bytes(range(256)) * (20 << 12)
    etag = origin.put("big", body)
    assert etag == '"%s"' % hashlib.md5(body).hexdigest()
    assert origin.get("big") == body
    assert origin.get("big", Range="bytes=5000000-6999999") == body[5000000:7000000]


def test_a_reader_keeps_the_version_it_reads(origin, s3):
    old = b"o" * (8 << 20)
    origin.put("a", old)
    body = s3.get_object(Bucket="bkt", Key="a")["Body"]
    origin.put("a", b"new")
    assert body.read() == old


def test_what_the_server_does_not_have_never_touches_the_object(origin):
    origin.put("a", b"x")
    for query in ("annotation=n", "renameObject", "retention", "legal-hold", "versionId=1", "future-thing"):
        for method in ("PUT", "GET", "DELETE"):
            assert origin.http(method, "/bkt/a?" + query, b"y" if method == "PUT" else None).status == 501
    assert origin.http("GET", "/bkt/a?partNumber=1").status == 501
    assert origin.http("GET", "/bkt?versions").status == 501
    assert origin.get("a") == b"x"
    assert origin.control("GET", "counts")["by_kind"]["RenameObject"] == 1


def test_an_object_encrypted_with_kms_has_an_etag_that_is_no_md5(origin, s3):
    reply = s3.put_object(Bucket="bkt", Key="a", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="key")
    assert reply["ServerSideEncryption"] == "aws:kms" and reply["SSEKMSKeyId"] == "key"
    head = s3.head_object(Bucket="bkt", Key="a")
    assert head["ETag"] == reply["ETag"] != '"%s"' % hashlib.md5(b"x").hexdigest() and head["SSEKMSKeyId"] == "key"
    s3.copy_object(Bucket="bkt", Key="b", CopySource="bkt/a")
    assert s3.head_object(Bucket="bkt", Key="b")["ServerSideEncryption"] == "AES256"
    assert origin.http("PUT", "/bkt/c", b"x", x_amz_server_side_encryption_customer_algorithm="AES256").status == 400


def test_presigned_urls_work(origin, s3):
    origin.put("a b", b"x")
    url = s3.generate_presigned_url("get_object", Params={"Bucket": "bkt", "Key": "a b"})
    assert origin.http("GET", url.split(str(origin.port), 1)[1]).body == b"x"


def test_last_modified_has_whole_seconds_and_is_now(origin, s3):
    origin.put("a")
    listed = s3.list_objects_v2(Bucket="bkt")["Contents"][0]["LastModified"]
    assert listed == s3.head_object(Bucket="bkt", Key="a")["LastModified"]
    assert abs(listed.timestamp() - time.time()) < 10
