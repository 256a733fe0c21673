"""ListObjectsV2, ListObjects, tags, ACLs and ownership."""
import re

import pytest

from test_origin import code_of


def names(reply):
    return [o["Key"] for o in reply.get("Contents", [])], [p["Prefix"] for p in reply.get("CommonPrefixes", [])]


def walk(s3, size, **arguments):
    """Every page of a listing, as a list of what names() gives."""
    pages, token = [], {}
    while True:
        reply = s3.list_objects_v2(Bucket="bkt", MaxKeys=size, **arguments, **token)
        pages.append(names(reply))
        assert reply["KeyCount"] == len(pages[-1][0]) + len(pages[-1][1]) <= size
        if not reply["IsTruncated"]:
            assert "NextContinuationToken" not in reply
            return pages
        token = {"ContinuationToken": reply["NextContinuationToken"]}


KEYS = ["a", "a!", "a-b", "a/", "a/1", "a/2/x", "a/2/y", "a0", "b/c/d", "z", "ä", "€", "😀"]


def fill(origin):
    for key in KEYS:
        origin.put(key, key.encode())


def test_keys_are_in_utf8_binary_order_with_their_attributes(origin, s3):
    fill(origin)
    reply = s3.list_objects_v2(Bucket="bkt", FetchOwner=True)
    assert [o["Key"] for o in reply["Contents"]] == sorted(KEYS, key=lambda k: k.encode()) == KEYS
    for entry in reply["Contents"]:
        assert entry["Size"] == len(entry["Key"].encode()) and entry["StorageClass"] == "STANDARD"
        assert entry["ETag"] == s3.head_object(Bucket="bkt", Key=entry["Key"])["ETag"] and entry["Owner"]["ID"]
        assert entry["ChecksumAlgorithm"] and entry["ChecksumType"] == "FULL_OBJECT"
    assert reply["KeyCount"] == len(KEYS) and reply["MaxKeys"] == 1000 and not reply["IsTruncated"]


@pytest.mark.parametrize("prefix, keys, prefixes", [
    ("", ["a", "a!", "a-b", "a0", "z", "ä", "€", "😀"], ["a/", "b/"]), ("a", ["a", "a!", "a-b", "a0"], ["a/"]),
    ("a/", ["a/", "a/1"], ["a/2/"]), ("a/2/", ["a/2/x", "a/2/y"], []), ("b/", [], ["b/c/"]), ("nope", [], [])])
def test_a_delimiter_groups_what_lies_below(origin, s3, prefix, keys, prefixes):
    fill(origin)
    assert names(s3.list_objects_v2(Bucket="bkt", Delimiter="/", Prefix=prefix)) == (keys, prefixes)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize("arguments", [{}, {"Delimiter": "/"}, {"Prefix": "a/"}, {"Prefix": "a", "Delimiter": "/"}], ids=str)
def test_pages_together_are_the_listing(origin, s3, size, arguments):
    fill(origin)
    whole = names(s3.list_objects_v2(Bucket="bkt", **arguments))
    pages = walk(s3, size, **arguments)
    assert ([k for p in pages for k in p[0]], [c for p in pages for c in p[1]]) == whole
    assert len(pages) == max(1, -(-(len(whole[0]) + len(whole[1])) // size))


def test_start_after_is_exclusive_and_ignored_with_a_token(origin, s3):
    fill(origin)
    reply = s3.list_objects_v2(Bucket="bkt", StartAfter="a0", MaxKeys=1)
    assert names(reply) == (["b/c/d"], []) and reply["StartAfter"] == "a0"
    assert names(s3.list_objects_v2(Bucket="bkt", StartAfter="zz", Prefix="a")) == ([], [])
    token = reply["NextContinuationToken"]
    assert names(s3.list_objects_v2(Bucket="bkt", StartAfter="a", ContinuationToken=token, MaxKeys=1)) == (["z"], [])
    below = s3.list_objects_v2(Bucket="bkt", StartAfter="a/1", Delimiter="/")
    assert names(below) == (["a0", "z", "ä", "€", "😀"], ["a/", "b/"])
    after = s3.list_objects_v2(Bucket="bkt", StartAfter="a/", Delimiter="/")
    assert names(after) == (["a0", "z", "ä", "€", "😀"], ["b/"])
    assert names(s3.list_objects_v2(Bucket="bkt", StartAfter="a/", Prefix="a/", Delimiter="/")) == (["a/1"], ["a/2/"])


def test_other_delimiters_and_limits(origin, s3):
    for key in ("x--1", "x--2", "y"):
        origin.put(key)
    assert names(s3.list_objects_v2(Bucket="bkt", Delimiter="--")) == (["y"], ["x--"])
    reply = s3.list_objects_v2(Bucket="bkt", MaxKeys=0)
    assert reply["KeyCount"] == 0 and not reply["IsTruncated"]
    assert s3.list_objects_v2(Bucket="bkt", MaxKeys=5000)["MaxKeys"] == 1000
    for token in ("nonsense!", "cA==", "aw==", "eA==", "AAAA", "===="):
        assert code_of(s3.list_objects_v2, Bucket="bkt", ContinuationToken=token) == "InvalidArgument"
    assert origin.http("GET", "/bkt?list-type=2&max-keys=-1").code() == "InvalidArgument"
    assert origin.http("GET", "/bkt?list-type=2&encoding-type=x").code() == "InvalidArgument"


def test_keys_are_encoded_only_when_asked(origin):
    origin.put("a b+c/ü\x01<&>")
    plain = origin.http("GET", "/bkt?list-type=2").body.decode()
    assert "<Key>a b+c/ü&#x1;&lt;&amp;&gt;</Key>" in plain and "EncodingType" not in plain
    coded = origin.http("GET", "/bkt?list-type=2&encoding-type=url&prefix=a%20&delimiter=%2B").body.decode()
    assert "<Prefix>a+b%2B</Prefix>" in coded and "<Delimiter>%2B</Delimiter>" in coded and "<EncodingType>url" in coded
    coded = origin.http("GET", "/bkt?list-type=2&encoding-type=url").body.decode()
    assert "<Key>a+b%2Bc/%C3%BC%01%3C%26%3E</Key>" in coded


def test_the_first_version_of_the_listing_uses_markers(origin, s3):
    fill(origin)
    reply = s3.list_objects(Bucket="bkt", Delimiter="/", MaxKeys=4)
    assert names(reply) == (["a", "a!", "a-b"], ["a/"]) and reply["NextMarker"] == "a/"
    assert names(s3.list_objects(Bucket="bkt", Delimiter="/", Marker="a/", MaxKeys=2)) == (["a0"], ["b/"])
    assert names(s3.list_objects(Bucket="bkt", Marker="z")) == (["ä", "€", "😀"], [])


def test_many_keys_are_made_at_once_and_listed_by_thousands(origin, s3):
    reply = origin.control("POST", "synthetic", bucket="bkt", prefix="d/f", count=2500, size=10)
    assert reply == {"count": 2500, "last": "d/f002499"}
    assert [len(p[0]) for p in walk(s3, 1000)] == [1000, 1000, 500]
    assert names(s3.list_objects_v2(Bucket="bkt", Delimiter="/")) == ([], ["d/"])
    assert origin.control("GET", "counts")["by_kind"] == {"ListObjectsV2": 4}


def test_tags_are_put_counted_replaced_and_deleted(origin, s3):
    origin.put("a", b"x")
    assert s3.get_object_tagging(Bucket="bkt", Key="a")["TagSet"] == []
    tags = [{"Key": "k", "Value": "v <&>"}, {"Key": "ü", "Value": ""}]
    s3.put_object_tagging(Bucket="bkt", Key="a", Tagging={"TagSet": tags})
    assert s3.get_object_tagging(Bucket="bkt", Key="a")["TagSet"] == tags
    assert origin.http("HEAD", "/bkt/a").headers["x-amz-tagging-count"] == "2"
    s3.delete_object_tagging(Bucket="bkt", Key="a")
    assert "x-amz-tagging-count" not in origin.http("HEAD", "/bkt/a").headers
    assert code_of(s3.get_object_tagging, Bucket="bkt", Key="nope") == "NoSuchKey"
    many = [{"Key": str(i), "Value": ""} for i in range(11)]
    assert code_of(s3.put_object_tagging, Bucket="bkt", Key="a", Tagging={"TagSet": many}) == "BadRequest"
    assert code_of(s3.put_object_tagging, Bucket="bkt", Key="a", Tagging={"TagSet": [many[0], many[0]]}) == "InvalidTag"
    assert code_of(origin.put, "b", Tagging="&".join("%d=x" % i for i in range(11))) == "BadRequest"
    assert code_of(origin.put, "b", Tagging="a=1&a=2") == "InvalidTag"


def permissions(s3, key):
    grants = s3.get_object_acl(Bucket="bkt", Key=key)["Grants"]
    return [(g["Grantee"].get("URI", "").rpartition("/")[2] or g["Grantee"]["ID"], g["Permission"]) for g in grants]


def test_acls_are_kept_where_the_bucket_allows_them(origin, s3):
    origin.control("POST", "settings", ownership="ObjectWriter")
    rule = s3.get_bucket_ownership_controls(Bucket="bkt")["OwnershipControls"]["Rules"]
    assert rule == [{"ObjectOwnership": "ObjectWriter"}]
    origin.put("a")
    assert permissions(s3, "a") == [("origin", "FULL_CONTROL")]
    origin.put("a", ACL="public-read")
    assert permissions(s3, "a") == [("origin", "FULL_CONTROL"), ("AllUsers", "READ")]
    acl = s3.get_object_acl(Bucket="bkt", Key="a")
    s3.put_object_acl(Bucket="bkt", Key="a", ACL="private")
    assert permissions(s3, "a") == [("origin", "FULL_CONTROL")]
    s3.put_object_acl(Bucket="bkt", Key="a", AccessControlPolicy={"Grants": acl["Grants"], "Owner": acl["Owner"]})
    assert permissions(s3, "a") == [("origin", "FULL_CONTROL"), ("AllUsers", "READ")]
    s3.put_object_acl(Bucket="bkt", Key="a", GrantRead='id="someone"')
    assert permissions(s3, "a") == [("someone", "READ")]
    assert code_of(s3.put_object_acl, Bucket="bkt", Key="a", GrantRead="nobody") == "InvalidArgument"
    assert s3.get_bucket_acl(Bucket="bkt")["Grants"]


def test_by_default_the_bucket_owner_is_enforced_and_acls_are_refused(origin, s3):
    rule = s3.get_bucket_ownership_controls(Bucket="bkt")["OwnershipControls"]["Rules"]
    assert rule == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    origin.put("a", ACL="bucket-owner-full-control")
    assert code_of(origin.put, "a", ACL="public-read") == "AccessControlListNotSupported"
    assert code_of(s3.put_object_acl, Bucket="bkt", Key="a", ACL="private") == "AccessControlListNotSupported"
    s3.put_bucket_ownership_controls(Bucket="bkt", OwnershipControls={"Rules": [{"ObjectOwnership": "BucketOwnerPreferred"}]})
    s3.put_object_acl(Bucket="bkt", Key="a", ACL="private")


def test_error_replies_name_key_and_request(origin):
    reply = origin.http("GET", "/bkt/n%C3%B6pe")
    text = reply.body.decode()
    assert "<Key>nöpe</Key>" in text
    assert re.search("<RequestId>(.*)</RequestId>", text).group(1) == reply.headers["x-amz-request-id"]
