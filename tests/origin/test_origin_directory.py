"""Directory buckets, with boto3 as the client: it makes sessions of its own."""
import botocore.exceptions
import pytest

BUCKET = "dir--use1-az4--x-s3"


@pytest.fixture
def directory(origin):
    assert origin.http("PUT", "/" + BUCKET).status == 200
    origin.control("POST", "counts/reset")
    return origin


def put(origin, key, body=b"x", client=None):
    return (client or origin.s3).put_object(Bucket=BUCKET, Key=key, Body=body)["ETag"]


def sessions(origin):
    return origin.control("GET", "counts")["by_kind"].get("CreateSession", 0)


def code(error):
    return error.value.response["Error"]["Code"]


def test_boto3_makes_one_session_for_many_requests(directory):
    client = directory.client()
    for i in range(5):
        put(directory, "k%d" % i, client=client)
    assert client.get_object(Bucket=BUCKET, Key="k3")["Body"].read() == b"x"
    assert sessions(directory) == 1


def test_a_request_without_session_is_refused(directory):
    client = directory.client(s3={"addressing_style": "path"})
    client.meta.events.register("before-send.s3.GetObject", lambda request, **_: request.headers.__delitem__("x-amz-s3session-token"))
    put(directory, "k", client=client)
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.get_object(Bucket=BUCKET, Key="k")
    assert code(error) == "AccessDenied"


def test_an_expired_session_is_refused(directory):
    client = directory.client()
    put(directory, "k", client=client)
    directory.control("POST", "sessions/expire")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.get_object(Bucket=BUCKET, Key="k")
    assert code(error) == "ExpiredToken"


def test_a_plain_signature_is_refused(directory):
    assert directory.http("GET", "/" + BUCKET + "?list-type=2").code() == "AccessDenied"


def test_sessions_are_for_directory_buckets_only(directory):
    assert directory.http("GET", "/bkt?session").code() == "NotImplemented"
    assert directory.http("PUT", "/bkt/b?renameObject", x_amz_rename_source="a").code() == "NotImplemented"


def test_a_listing_has_no_order_and_every_key_once(directory):
    client = directory.client()
    keys = ["f%02d" % i for i in range(25)]
    for key in keys:
        put(directory, key, client=client)
        put(directory, "d/%s/x" % key, client=client)
    seen, prefixes, token = [], [], {}
    while token is not None:
        page = client.list_objects_v2(Bucket=BUCKET, MaxKeys=7, Delimiter="/", **token)
        seen += [o["Key"] for o in page.get("Contents", [])]
        prefixes += [o["Prefix"] for o in page.get("CommonPrefixes", [])]
        token = {"ContinuationToken": page["NextContinuationToken"]} if page["IsTruncated"] else None
    assert sorted(seen) == keys and seen != keys
    assert prefixes == ["d/"]


@pytest.mark.parametrize("arguments", [{"Prefix": "f"}, {"StartAfter": "f"}, {"Delimiter": "x"}])
def test_listings_that_a_directory_bucket_cannot_give_are_refused(directory, arguments):
    with pytest.raises(botocore.exceptions.ClientError):
        directory.client().list_objects_v2(Bucket=BUCKET, **arguments)


def test_a_rename_keeps_etag_and_metadata(directory):
    client = directory.client()
    etag = client.put_object(Bucket=BUCKET, Key="a b", Body=b"bytes", Metadata={"m": "v"})["ETag"]
    client.rename_object(Bucket=BUCKET, Key="c", RenameSource="a%20b", SourceIfMatch=etag, DestinationIfNoneMatch="*",
                         ClientToken="t1")
    found = client.head_object(Bucket=BUCKET, Key="c")
    assert (found["ETag"], found["Metadata"]) == (etag, {"m": "v"})
    with pytest.raises(botocore.exceptions.ClientError):
        client.head_object(Bucket=BUCKET, Key="a b")
    # Once more with the same token: it was done. With another one the source is not there.
    client.rename_object(Bucket=BUCKET, Key="c", RenameSource="a%20b", ClientToken="t1")
    with pytest.raises(botocore.exceptions.ClientError) as error:
        client.rename_object(Bucket=BUCKET, Key="c", RenameSource="a%20b", ClientToken="t2")
    assert code(error) == "NoSuchKey"


def test_conditions_of_a_rename(directory):
    client = directory.client()
    a, b = put(directory, "a", client=client), put(directory, "b", client=client)
    for wrong in ({"SourceIfMatch": b}, {"DestinationIfNoneMatch": "*"}, {"DestinationIfMatch": a}):
        with pytest.raises(botocore.exceptions.ClientError) as error:
            client.rename_object(Bucket=BUCKET, Key="b", RenameSource="a", **wrong)
        assert code(error) in ("PreconditionFailed", "412")
    client.rename_object(Bucket=BUCKET, Key="b", RenameSource="a", DestinationIfMatch=b)
    assert client.head_object(Bucket=BUCKET, Key="b")["ETag"] == a


def test_an_etag_is_no_md5(directory):
    assert put(directory, "k", b"") != '"d41d8cd98f00b204e9800998ecf8427e"'


def test_neither_tags_nor_acls(directory):
    with pytest.raises(botocore.exceptions.ClientError):
        directory.s3.put_object(Bucket=BUCKET, Key="k", Tagging="a=b")
    with pytest.raises(botocore.exceptions.ClientError):
        directory.s3.get_object_acl(Bucket=BUCKET, Key="k")
