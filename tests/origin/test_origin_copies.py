"""CopyObject and multipart uploads."""
import base64
import hashlib
import zlib

import pytest

from test_origin import NEW, OLD, b64, code_of

MIB = 1 << 20


def copy(s3, source="bkt/a", key="b", **arguments):
    return s3.copy_object(Bucket="bkt", Key=key, CopySource=source, **arguments)


def test_a_copy_takes_everything_but_class_and_acl(origin, s3):
    origin.put("a", b"x", Metadata={"k": "v"}, ContentType="text/plain", CacheControl="no-cache", Tagging="t=1",
               StorageClass="STANDARD_IA")
    result = copy(s3)["CopyObjectResult"]
    head = s3.head_object(Bucket="bkt", Key="b")
    assert head["ETag"] == result["ETag"] and head["Metadata"] == {"k": "v"} and head["CacheControl"] == "no-cache"
    assert head["ContentType"] == "text/plain" and "StorageClass" not in head
    assert s3.get_object_tagging(Bucket="bkt", Key="b")["TagSet"] == [{"Key": "t", "Value": "1"}]
    assert origin.get("b") == b"x"


def test_replace_drops_what_is_not_sent(origin, s3):
    origin.put("a", b"x", Metadata={"k": "v"}, ContentType="text/plain", CacheControl="no-cache", Tagging="t=1")
    copy(s3, MetadataDirective="REPLACE", Metadata={"n": "w"}, TaggingDirective="REPLACE", Tagging="u=2")
    head = s3.head_object(Bucket="bkt", Key="b")
    assert head["Metadata"] == {"n": "w"} and "CacheControl" not in head and head["ContentType"] == "binary/octet-stream"
    assert s3.get_object_tagging(Bucket="bkt", Key="b")["TagSet"] == [{"Key": "u", "Value": "2"}]
    assert code_of(copy, s3, MetadataDirective="NONSENSE") == "InvalidArgument"


def test_a_copy_onto_itself_must_change_something(origin, s3):
    etag = origin.put("a", b"x")
    assert code_of(copy, s3, key="a") == "InvalidRequest"
    copy(s3, key="a", MetadataDirective="REPLACE", Metadata={"n": "w"})
    copy(s3, key="a", StorageClass="STANDARD_IA")
    head = s3.head_object(Bucket="bkt", Key="a")
    assert head["ETag"] == etag and head["Metadata"] == {"n": "w"} and head["StorageClass"] == "STANDARD_IA"


@pytest.mark.parametrize("key", ["a b", "a+b", "ü", "100%", "d//x", "q?v"])
def test_a_copy_source_is_percent_encoded(origin, s3, key):
    origin.put(key, b"x")
    copy(s3, source={"Bucket": "bkt", "Key": key})
    assert origin.get("b") == b"x"


SOURCES = [({"CopySourceIfMatch": "RIGHT"}, True), ({"CopySourceIfMatch": '"x"'}, False), ({"CopySourceIfNoneMatch": "RIGHT"}, False),
           ({"CopySourceIfNoneMatch": '"x"'}, True), ({"CopySourceIfModifiedSince": OLD}, True),
           ({"CopySourceIfModifiedSince": NEW}, False), ({"CopySourceIfUnmodifiedSince": OLD}, False),
           ({"CopySourceIfUnmodifiedSince": NEW}, True), ({"CopySourceIfMatch": "RIGHT", "CopySourceIfUnmodifiedSince": OLD}, True),
           ({"CopySourceIfNoneMatch": "RIGHT", "CopySourceIfModifiedSince": OLD}, False)]


@pytest.mark.parametrize("conditions, copied", SOURCES, ids=str)
def test_conditions_on_the_source_of_copies_and_part_copies(origin, s3, conditions, copied):
    etag = origin.put("a", b"x")
    conditions = {name: value.replace("RIGHT", etag) for name, value in conditions.items()}
    upload = s3.create_multipart_upload(Bucket="bkt", Key="b")["UploadId"]
    part = {"Bucket": "bkt", "Key": "b", "UploadId": upload, "PartNumber": 1, "CopySource": "bkt/a"}
    if copied:
        copy(s3, **conditions)
        assert s3.upload_part_copy(**part, **conditions)["CopyPartResult"]["ETag"] == etag
    else:
        assert code_of(copy, s3, **conditions) == "PreconditionFailed"
        assert code_of(s3.upload_part_copy, **part, **conditions) == "PreconditionFailed"


def test_copy_errors_have_their_codes(origin, s3):
    origin.put("g", b"x", StorageClass="GLACIER")
    origin.control("POST", "synthetic", bucket="bkt", key="huge", size=(5 << 30) + 1, seed=1)
    assert code_of(copy, s3, source="bkt/nope") == "NoSuchKey"
    assert code_of(copy, s3, source="nope/a") == "NoSuchBucket"
    assert code_of(copy, s3, source="bkt/g") == "InvalidObjectState"
    assert code_of(copy, s3, source="bkt/huge") == "InvalidRequest"
    assert origin.http("PUT", "/bkt/b", x_amz_copy_source="junk").code() == "InvalidArgument"


class Upload:
    def __init__(self, s3, key="m", **arguments):
        self.s3, self.parts = s3, []
        self.name = {"Bucket": "bkt", "Key": key}
        self.name["UploadId"] = s3.create_multipart_upload(**self.name, **arguments)["UploadId"]

    def part(self, body, number=None, **arguments):
        number = number or len(self.parts) + 1
        reply = self.s3.upload_part(**self.name, PartNumber=number, Body=body, **arguments)
        return self.add(number, reply["ETag"])

    def part_copy(self, source, **arguments):
        reply = self.s3.upload_part_copy(**self.name, PartNumber=len(self.parts) + 1, CopySource=source, **arguments)
        return self.add(len(self.parts) + 1, reply["CopyPartResult"]["ETag"])

    def add(self, number, etag):
        self.parts.append({"PartNumber": number, "ETag": etag})
        return etag

    def complete(self, parts=None, **arguments):
        return self.s3.complete_multipart_upload(**self.name, MultipartUpload={"Parts": parts or self.parts}, **arguments)


def multipart_etag(*bodies):
    return '"%s-%d"' % (hashlib.md5(b"".join(hashlib.md5(b).digest() for b in bodies)).hexdigest(), len(bodies))


def test_an_upload_by_parts_becomes_an_object_with_what_its_creation_said(origin, s3):
    upload = Upload(s3, Metadata={"k": "v"}, ContentType="text/x", Tagging="a=b", StorageClass="STANDARD_IA")
    one, two = b"1" * (5 * MIB), b"2" * 100
    upload.part(two, number=7)
    upload.part(one, number=3)
    parts = s3.list_parts(**upload.name)["Parts"]
    assert [(p["PartNumber"], p["Size"]) for p in parts] == [(3, 5 * MIB), (7, 100)]
    assert code_of(s3.head_object, Bucket="bkt", Key="m") == "404"
    etag = upload.complete(parts=upload.parts[::-1], MpuObjectSize=5 * MIB + 100)["ETag"]
    head = s3.head_object(Bucket="bkt", Key="m")
    assert head["ETag"] == etag == multipart_etag(one, two) and head["StorageClass"] == "STANDARD_IA"
    assert head["Metadata"] == {"k": "v"} and head["ContentType"] == "text/x"
    assert origin.get("m") == one + two
    assert origin.get("m", Range="bytes=%d-%d" % (5 * MIB - 2, 5 * MIB + 1)) == b"1122"
    assert code_of(upload.complete) == "NoSuchUpload"


def test_completions_that_are_wrong_are_refused_and_leave_the_upload(origin, s3):
    upload = Upload(s3)
    etag = upload.part(b"1" * (5 * MIB))
    upload.part(b"2")
    upload.part(b"3")
    one, two, three = upload.parts
    assert code_of(upload.complete, parts=[two, one]) == "InvalidPartOrder"
    assert code_of(upload.complete, parts=[one, one]) == "InvalidPartOrder"
    assert code_of(upload.complete, parts=[one, two, three]) == "EntityTooSmall"
    assert code_of(upload.complete, parts=[one, {"PartNumber": 9, "ETag": etag}]) == "InvalidPart"
    assert code_of(upload.complete, parts=[one, {"PartNumber": 2, "ETag": etag}]) == "InvalidPart"
    assert code_of(upload.complete, parts=[one, two], MpuObjectSize=1) == "InvalidRequest"
    assert origin.http("POST", "/bkt/m?uploadId=" + upload.name["UploadId"], b"<x/>").code() == "MalformedXML"
    assert origin.http("POST", "/bkt/m?uploadId=" + upload.name["UploadId"],
                       b"<CompleteMultipartUpload/>").code() == "MalformedXML"
    upload.complete(parts=[one, two])
    assert origin.get("m") == b"1" * (5 * MIB) + b"2"


def test_a_part_is_replaced_refused_and_gone_after_an_abort(origin, s3):
    upload = Upload(s3)
    upload.part(b"old", number=1)
    upload.parts.clear()
    upload.part(b"new", number=1)
    path = "/bkt/m?partNumber=1&uploadId=" + upload.name["UploadId"]
    for number in ("0", "10001", "-1", "x", ""):
        assert origin.http("PUT", path.replace("=1&", "=%s&" % number), b"x").code() == "InvalidArgument"
    assert origin.http("PUT", path, b"x", Content_MD5=b64(hashlib.md5(b"y").digest())).code() == "BadDigest"
    assert origin.http("PUT", path.replace("/m?", "/other?"), b"x").code() == "NoSuchUpload"
    s3.abort_multipart_upload(**upload.name)
    for call in (s3.abort_multipart_upload, s3.list_parts):
        assert code_of(call, **upload.name) == "NoSuchUpload"
    assert code_of(upload.part, b"x") == "NoSuchUpload"


def test_uploads_and_parts_are_listed_in_pages(origin, s3):
    uploads = [Upload(s3, key) for key in ("b", "a ü", "b", "c/d")]
    listed = s3.list_multipart_uploads(Bucket="bkt")["Uploads"]
    assert [(u["Key"], u["UploadId"]) for u in listed] == [
        (uploads[i].name["Key"], uploads[i].name["UploadId"]) for i in (1, 0, 2, 3)]
    assert [u["Key"] for u in s3.list_multipart_uploads(Bucket="bkt", Prefix="c/")["Uploads"]] == ["c/d"]
    page = s3.list_multipart_uploads(Bucket="bkt", MaxUploads=2)
    assert page["IsTruncated"] and page["NextKeyMarker"] == "b"
    rest = s3.list_multipart_uploads(Bucket="bkt", KeyMarker=page["NextKeyMarker"], UploadIdMarker=page["NextUploadIdMarker"])
    assert [u["UploadId"] for u in rest["Uploads"]] == [uploads[2].name["UploadId"], uploads[3].name["UploadId"]]
    for number in (1, 2, 3):
        uploads[0].part(b"x", number=number)
    page = s3.list_parts(**uploads[0].name, MaxParts=2)
    assert page["IsTruncated"] and page["NextPartNumberMarker"] == 2
    assert [p["PartNumber"] for p in s3.list_parts(**uploads[0].name, PartNumberMarker=2)["Parts"]] == [3]


def test_parts_are_copied_from_ranges(origin, s3):
    source = bytes(range(256)) * (6 << 12)
    origin.put("a", source)
    upload = Upload(s3)
    upload.part_copy("bkt/a", CopySourceRange="bytes=1-%d" % (5 * MIB))
    upload.part_copy("bkt/a")
    upload.part_copy("bkt/a", CopySourceRange="bytes=0-0")
    upload.complete()
    whole = source[1:5 * MIB + 1], source, source[:1]
    assert origin.get("m") == b"".join(whole)
    again = Upload(s3)
    for body in whole:
        again.part(body)
    assert [p["ETag"] for p in again.parts] == [p["ETag"] for p in upload.parts]
    for bad in ("bytes=0-%d" % len(source), "bytes=5-4", "bytes=0-", "x"):
        assert code_of(again.part_copy, "bkt/a", CopySourceRange=bad) == "InvalidArgument"


def test_the_middle_part_of_a_completed_copy_is_too_small(origin, s3):
    origin.put("a", b"x" * 10)
    upload = Upload(s3)
    upload.part_copy("bkt/a")
    upload.part_copy("bkt/a")
    assert code_of(upload.complete) == "EntityTooSmall"


def test_an_object_of_6_gib_is_copied_by_parts_and_every_byte_is_known(origin, s3):
    size = 6 << 30
    origin.control("POST", "synthetic", bucket="bkt", key="big", size=size, seed=42)
    upload = Upload(s3)
    for start in range(0, size, 2 << 30):
        upload.part_copy("bkt/big", CopySourceRange="bytes=%d-%d" % (start, start + (2 << 30) - 1))
    upload.complete()
    assert s3.head_object(Bucket="bkt", Key="m")["ContentLength"] == size
    offset = (4 << 30) - 3
    assert origin.get("m", Range="bytes=%d-%d" % (offset, offset + 19)) == synthetic(42, offset, 20)


def synthetic(seed, offset, length):
    mask = (1 << 64) - 1

    def word(index):
        z = (seed + index + 0x9E3779B97F4A7C15) & mask
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        return (z ^ z >> 31).to_bytes(8, "little")

    first = offset // 8
    data = b"".join(word(i) for i in range(first, (offset + length) // 8 + 1))
    return data[offset - 8 * first:][:length]


def test_a_synthetic_object_is_what_the_readme_says(origin, s3):
    reply = origin.control("POST", "synthetic", bucket="bkt", key="s", size=1000, seed=7)
    expected = synthetic(7, 0, 1000)
    assert origin.get("s") == expected and reply["etag"] == '"%s"' % hashlib.md5(expected).hexdigest()
    origin.control("POST", "synthetic", bucket="bkt", key="t", size=5 << 30, seed=(1 << 63) - 1)
    head = s3.head_object(Bucket="bkt", Key="t")
    assert head["ContentLength"] == 5 << 30 and "-" in head["ETag"]
    last = (5 << 30) - 5
    assert origin.get("t", Range="bytes=-5") == synthetic((1 << 63) - 1, last, 5)


def test_a_full_object_crc_of_the_parts_is_combined_and_verified(origin, s3):
    one, two = b"1" * (5 * MIB), b"2" * 1000
    crc = b64(zlib.crc32(one + two).to_bytes(4, "big"))
    upload = Upload(s3, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    upload.part(one, ChecksumAlgorithm="CRC32")
    upload.part(two, ChecksumAlgorithm="CRC32")
    assert code_of(upload.complete, ChecksumCRC32="AAAAAA==") == "BadDigest"
    assert upload.complete(ChecksumCRC32=crc)["ChecksumCRC32"] == crc
    head = s3.head_object(Bucket="bkt", Key="m", ChecksumMode="ENABLED")
    assert head["ChecksumCRC32"] == crc and head["ChecksumType"] == "FULL_OBJECT"


def test_an_upload_without_algorithm_gets_the_crc64nvme_of_the_whole(origin, s3):
    one, two = b"1" * (5 * MIB), b"2" * 1000
    origin.http("PUT", "/bkt/whole", one + two)
    expected = s3.head_object(Bucket="bkt", Key="whole", ChecksumMode="ENABLED")["ChecksumCRC64NVME"]
    upload = Upload(s3, ChecksumAlgorithm="CRC64NVME")
    for number, body in enumerate((one, two), 1):
        path = "/bkt/m?partNumber=%d&uploadId=%s" % (number, upload.name["UploadId"])
        upload.add(number, origin.http("PUT", path, body).headers["etag"])
    assert upload.complete(ChecksumCRC64NVME=expected, ChecksumType="FULL_OBJECT")["ChecksumCRC64NVME"] == expected
    copy(s3, source="bkt/m", key="c")
    assert s3.head_object(Bucket="bkt", Key="c", ChecksumMode="ENABLED")["ChecksumCRC64NVME"] == expected
    assert s3.head_object(Bucket="bkt", Key="c")["ETag"] == '"%s"' % hashlib.md5(one + two).hexdigest()


def test_sha_checksums_of_parts_are_composite(origin, s3):
    one, two = b"1" * (5 * MIB), b"2" * 1000
    upload = Upload(s3, ChecksumAlgorithm="SHA256")
    for body in (one, two):
        upload.part(body, ChecksumAlgorithm="SHA256")
    digest = hashlib.sha256(hashlib.sha256(one).digest() + hashlib.sha256(two).digest()).digest()
    reply = upload.complete()
    assert reply["ChecksumSHA256"] == base64.b64encode(digest).decode() + "-2" and reply["ChecksumType"] == "COMPOSITE"
    assert s3.head_object(Bucket="bkt", Key="m", ChecksumMode="ENABLED")["ChecksumType"] == "COMPOSITE"
    assert code_of(s3.create_multipart_upload, Bucket="bkt", Key="x", ChecksumAlgorithm="SHA512",
                   ChecksumType="FULL_OBJECT") == "InvalidRequest"


def test_a_copy_recomputes_the_checksum_that_is_asked_for(origin, s3):
    origin.put("a", b"hello")
    copy(s3, ChecksumAlgorithm="SHA256")
    expected = b64(hashlib.sha256(b"hello").digest())
    assert s3.head_object(Bucket="bkt", Key="b", ChecksumMode="ENABLED")["ChecksumSHA256"] == expected


def test_a_bucket_with_an_open_upload_can_be_deleted(origin, s3):
    Upload(s3)
    s3.delete_bucket(Bucket="bkt")
    assert code_of(s3.list_multipart_uploads, Bucket="bkt") == "NoSuchBucket"
