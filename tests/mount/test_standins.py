"""What stands for a download: bytes that are held under another name are not fetched again, whatever tells that they are the same."""
import base64
import hashlib
import io

import boto3.s3.transfer
import pytest

from support.caches import idle, read
from support.work import pattern

MIB = 1024 * 1024
BODY = pattern(12 * MIB + 345, 1)
OTHER = pattern(12 * MIB + 345, 2)


def parts(mib):
    return boto3.s3.transfer.TransferConfig(multipart_threshold=5 * MIB, multipart_chunksize=mib * MIB)


def upload(witness, key, body, mib=8, **extra):
    witness.s3.upload_fileobj(io.BytesIO(body), witness.name, key, Config=parts(mib), ExtraArgs=extra or None)


def claimed(body):
    return {"Metadata": {"awsimple-sha512": hashlib.sha512(body).hexdigest()}}


def fetched(disk):
    return disk.status()["files"]["bytes_fetched"]


@pytest.fixture
def held(origin, bucket, mount):
    """A mount whose cache holds BODY, as a program uploaded it by parts."""
    witness = bucket(origin)
    upload(witness, "f", BODY)
    disk = mount(witness, ttl="0")
    assert (disk / "f").read_bytes() == BODY
    idle(disk)
    return disk


def reads_without_download(disk, key):
    before = fetched(disk)
    assert read(disk / key) == BODY
    return fetched(disk) == before


def test_a_copy_by_parts_costs_no_download(held):
    witness = held.bucket
    witness.s3.copy({"Bucket": witness.name, "Key": "f"}, witness.name, "copy", Config=parts(8))
    assert reads_without_download(held, "copy")
    idle(held)
    held.remount()
    assert reads_without_download(held, "copy")


def test_a_copy_in_one_request_costs_no_download(held):
    witness = held.bucket
    witness.s3.copy_object(Bucket=witness.name, Key="copy", CopySource={"Bucket": witness.name, "Key": "f"})
    assert reads_without_download(held, "copy")


def test_an_upload_of_the_same_bytes_in_one_request_costs_no_download(held):
    held.bucket.put("f", BODY)
    assert reads_without_download(held, "f")
    held.bucket.put("another", BODY)
    assert reads_without_download(held, "another")


def test_an_upload_in_other_parts_is_known_by_a_header_that_the_server_confirms(held):
    upload(held.bucket, "again", BODY, 6, **claimed(BODY))
    assert reads_without_download(held, "again")


def copied(witness, key, body, checksum, **extra):
    """An encrypted object, whose ETag says nothing, with a checksum that the server computes."""
    witness.put("source", body)
    witness.s3.copy_object(Bucket=witness.name, Key=key, CopySource={"Bucket": witness.name, "Key": "source"}, ChecksumAlgorithm=checksum,
                           ServerSideEncryption="aws:kms", MetadataDirective="REPLACE", **extra)
    assert witness.head(key)["ETag"] != witness.head("source")["ETag"]


def uploaded(witness, key, body, checksum, **extra):
    """The same by parts: with a checksum of the parts' checksums."""
    upload(witness, key, body, 6, ChecksumAlgorithm=checksum, ServerSideEncryption="aws:kms", **extra)


ENCRYPTED = [(copied, "CRC32"), (copied, "CRC32C"), (copied, "CRC64NVME"), (copied, "SHA1"), (copied, "SHA256"),
             (uploaded, "CRC32"), (uploaded, "SHA256")]


@pytest.mark.parametrize("make, checksum", ENCRYPTED)
def test_every_checksum_of_the_server_confirms_a_header(held, make, checksum):
    make(held.bucket, "again", BODY, checksum, **claimed(BODY))
    make(held.bucket, "stale", OTHER, checksum, **claimed(BODY))
    assert reads_without_download(held, "again")
    before = fetched(held)
    assert read(held / "stale") == OTHER
    assert fetched(held) - before == len(OTHER)


@pytest.mark.parametrize("checksum, found", [("CRC32C", False), ("SHA1", True), ("SHA256", True)])
def test_without_a_header_a_sha_of_the_server_is_enough_and_a_crc_is_not(held, checksum, found):
    copied(held.bucket, "again", BODY, checksum)
    assert reads_without_download(held, "again") == found


def test_without_a_header_or_a_sum_of_the_server_bytes_are_fetched_right(held):
    upload(held.bucket, "again", BODY, 6)
    assert read(held / "again") == BODY


@pytest.mark.parametrize("how", ["one", "parts"])
def test_a_stale_header_on_other_bytes_of_the_same_size_is_noticed(held, how):
    if how == "one":
        held.bucket.put("f", OTHER, **claimed(BODY))
    else:
        upload(held.bucket, "f", OTHER, 8, **claimed(BODY))
    before = fetched(held)
    assert read(held / "f") == OTHER
    assert fetched(held) - before == len(OTHER)


def test_a_small_file_with_a_stale_header_is_right(held):
    held.bucket.put("s", b"first bytes")
    assert (held / "s").read_bytes() == b"first bytes"
    idle(held)
    held.bucket.put("s", b"other bytes", **claimed(b"first bytes"))
    assert (held / "s").read_bytes() == b"other bytes"


def test_other_bytes_of_the_same_size_are_exactly_one_download(held):
    held.bucket.put("f", OTHER)
    before = fetched(held)
    assert read(held / "f") == OTHER
    assert fetched(held) - before == len(OTHER)


def test_a_sha512_that_the_server_computed_is_enough(origin, bucket, mount):
    """The ETag of an encrypted object is no MD5."""
    witness = bucket(origin)
    witness.put("f", BODY)
    disk = mount(witness, ttl="0")
    assert (disk / "f").read_bytes() == BODY
    idle(disk)
    sha = hashlib.sha512(BODY).digest()
    witness.put("kms", BODY, ServerSideEncryption="aws:kms", ChecksumSHA512=base64.b64encode(sha).decode())
    assert witness.head("kms")["ETag"] != witness.head("f")["ETag"]
    origin.reset_counts()
    assert reads_without_download(disk, "kms")
    assert origin.requests().get("GetObject", 0) == 0


def test_questions_in_vain_end(origin, bucket, mount):
    """Files of the same size, as shards are: a few cost a question each, the others none."""
    witness = bucket(origin)
    for i in range(12):
        upload(witness, "shard%02d" % i, pattern(6 * MIB, i), 5)
    disk = mount(witness)
    for i in range(12):
        assert read(disk / ("shard%02d" % i)) == pattern(6 * MIB, i)
        idle(disk)
    counts = origin.requests()
    assert counts["HeadObject"] <= 2 + 4
    assert fetched(disk) == 12 * 6 * MIB
