"""Families of keys: objects that a rule describes and nothing stores."""
import json
import random

import pytest

from support.families import PERIOD, Family
from test_origin import code_of
from test_origin_listing import names, walk


def add(origin, *families):
    for family in families:
        reply = origin.control("POST", "families", bucket="bkt", **family.rule())
        assert reply == {"count": family.count, "first": family.key(0), "last": family.key(family.count - 1)}


SHAPES = [Family("f%03d", count=250, size=10), Family("d%02d/f%02d", each=[7, 30], size=[0, 5000]),
          Family("a%01d/b%01d/%%c%02d.txt", each=[3, 2, 11], count=60, size=1, seed=9), Family("x-%02d-%02d", each=[12, 12]),
          Family("d03/big", size=3)]


@pytest.mark.parametrize("family", SHAPES, ids=lambda f: f.name)
def test_the_keys_of_a_family_are_listed_in_order_with_what_a_head_says(origin, s3, family):
    add(origin, family)
    listed = [o for page in s3.get_paginator("list_objects_v2").paginate(Bucket="bkt", MaxKeys=13) for o in page["Contents"]]
    assert [o["Key"] for o in listed] == sorted(family.keys(), key=str.encode) == list(family.keys())
    for entry in listed[::17]:
        head = s3.head_object(Bucket="bkt", Key=entry["Key"])
        assert entry["Size"] == head["ContentLength"] == family.size(entry["Key"])
        assert entry["ETag"] == head["ETag"] == family.etag(entry["Key"])
        assert entry["LastModified"] == head["LastModified"] and head["LastModified"].timestamp() == family.mtime


def reference(keys, prefix, delimiter, after):
    """What S3 lists of these keys: (keys, common prefixes), for a start-after that is no common prefix."""
    plain, common = [], []
    for key in sorted(keys, key=str.encode):
        if not key.startswith(prefix) or key.encode() <= after.encode():
            continue
        cut = key.find(delimiter, len(prefix)) if delimiter else -1
        if cut < 0:
            plain.append(key)
        elif key[:cut + 1] not in common[-1:]:
            common.append(key[:cut + 1])
    return plain, common


@pytest.mark.parametrize("seed", range(4))
def test_prefix_delimiter_and_start_after_find_what_a_sorted_list_of_the_keys_has(origin, s3, seed):
    chance = random.Random(seed)
    for family in SHAPES:
        add(origin, family)
    stored = ["a1", "d03/f", "d03/f05x", "d03/f05", "f100", "f1000", "zz", "d06/f29/x", "e/1", "d05/f29~"]
    for key in stored:
        origin.put(key, b"stored")
    gone = ["f007", "d00/f00", "a2/b1/%c04.txt"]
    for key in gone:
        s3.delete_object(Bucket="bkt", Key=key)
    keys = (set(stored) | {k for f in SHAPES for k in f.keys()}) - set(gone)
    for _ in range(60):
        base = chance.choice(sorted(keys))
        prefix = base[:chance.randrange(len(base) + 1)] if chance.random() < 0.6 else ""
        after = chance.choice(sorted(keys))
        after = after[:chance.randrange(len(after) + 1)] + chance.choice(["", "~", "5", "!", ":"])
        delimiter = chance.choice(["", "/"])
        if after.endswith("/"):
            continue
        pages = walk(s3, chance.choice([3, 50, 1000]), Prefix=prefix, Delimiter=delimiter, StartAfter=after)
        got = [k for p in pages for k in p[0]], [c for p in pages for c in p[1]]
        assert got == reference(keys, prefix, delimiter, after), (prefix, delimiter, after)


def test_any_byte_of_any_object_can_be_computed(origin, s3):
    family = Family("big%02d", count=50, size=[2 * PERIOD, 9 * PERIOD], seed=-3)
    add(origin, family)
    assert origin.get("big17") == family.contents("big17")
    sizes = {family.size(key) for key in family.keys()}
    assert len(sizes) > 40 and 2 * PERIOD <= min(sizes) and max(sizes) <= 9 * PERIOD
    for key, first, length in (("big01", 0, 1), ("big01", PERIOD - 1, 2), ("big02", 3, 2 * PERIOD), ("big49", PERIOD, 100)):
        got = origin.get(key, Range="bytes=%d-%d" % (first, first + length - 1), IfMatch=family.etag(key))
        assert got == family.contents(key, first, length)
    assert origin.get("big03", Range="bytes=-7") == family.contents("big03")[-7:]
    assert len({family.contents(key, 0, 16) for key in family.keys()}) == 50
    assert code_of(origin.get, "big03", IfMatch=family.etag("big04")) == "PreconditionFailed"


def test_a_hundred_million_keys_take_no_more_than_ten(origin, s3):
    family = Family("d%03d/e%02d/f%05d", each=[100, 10, 100000], size=4096)
    add(origin, family)
    assert family.count == 10 ** 8
    last = family.key(family.count - 1)
    assert names(s3.list_objects_v2(Bucket="bkt", StartAfter=family.key(family.count - 3))) == ([family.key(family.count - 2), last], [])
    assert names(s3.list_objects_v2(Bucket="bkt", Delimiter="/"))[1] == ["d%03d/" % i for i in range(100)]
    assert names(s3.list_objects_v2(Bucket="bkt", Delimiter="/", Prefix="d077/"))[1] == ["d077/e%02d/" % i for i in range(10)]
    middle = s3.list_objects_v2(Bucket="bkt", Prefix="d050/e05/", StartAfter="d050/e05/f50000", MaxKeys=5)
    assert names(middle)[0] == ["d050/e05/f%05d" % i for i in range(50001, 50006)] and middle["IsTruncated"]
    assert origin.get(last) == family.contents(last)
    for key in ("d100/e00/f00000", "d000/e00/f0000", "d000/e00/f000000", "d000/e00/", "D000/e00/f00000"):
        assert code_of(origin.get, key) == "NoSuchKey"


def test_what_is_stored_lies_over_a_family_and_what_is_deleted_stays_away(origin, s3):
    family = Family("f%02d", count=20, size=100)
    add(origin, family)
    assert code_of(origin.put, "f03", b"x", IfNoneMatch="*") == "PreconditionFailed"
    origin.put("f03", b"stored", IfMatch=family.etag("f03"))
    assert origin.get("f03") == b"stored" and s3.list_objects_v2(Bucket="bkt", StartAfter="f02", MaxKeys=1)["Contents"][0]["Size"] == 6
    s3.delete_object(Bucket="bkt", Key="f03")
    s3.delete_objects(Bucket="bkt", Delete={"Objects": [{"Key": "f05"}, {"Key": "f06", "ETag": family.etag("f06")}]})
    assert code_of(origin.get, "f03") == code_of(origin.get, "f06") == "NoSuchKey"
    assert names(s3.list_objects_v2(Bucket="bkt"))[0] == [k for k in family.keys() if k not in ("f03", "f05", "f06")]
    origin.put("f05", b"again", IfNoneMatch="*")
    assert origin.get("f05") == b"again"
    copied = s3.copy_object(Bucket="bkt", Key="copy", CopySource="bkt/f07")["CopyObjectResult"]
    assert origin.get("copy") == family.contents("f07") and copied["ETag"] != family.etag("f07")
    s3.put_object_tagging(Bucket="bkt", Key="f08", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]})
    assert s3.get_object_tagging(Bucket="bkt", Key="f08")["TagSet"] and origin.get("f08") == family.contents("f08")
    assert s3.head_object(Bucket="bkt", Key="f08")["ETag"] == family.etag("f08")


def test_a_family_is_replaced_by_its_name_and_removed_with_all(origin, s3):
    old, new = Family("f%02d", count=20, size=100), Family("f%02d", count=20, size=100, seed=1)
    add(origin, old)
    add(origin, new)
    assert origin.get("f00") == new.contents("f00") != old.contents("f00") and new.etag("f00") != old.etag("f00")
    assert code_of(s3.delete_bucket, Bucket="bkt") == "BucketNotEmpty"
    origin.control("DELETE", "families", bucket="bkt")
    assert names(s3.list_objects_v2(Bucket="bkt")) == ([], [])


@pytest.mark.parametrize("rule", [
    {"name": "f", "count": 2}, {"name": "", "count": 1}, {"name": "f", "each": [1]}, {"name": "f%d", "count": 3}, {"name": "f%03d"}, {"name": "f%03d", "count": 1001}, {"name": "f%03d", "each": [1, 1]},
    {"name": "%02d%02d%02d%02d%02d", "each": [1] * 5}, {"name": "f%013d", "count": 1}, {"name": "f%03d", "count": 3, "size": -1},
    {"name": "f%03d", "count": 3, "size": [5, 4]}, {"name": "f%01d", "each": [5], "count": 6}, {"name": "%s%03d", "count": 1},
    {"name": "%012d/%012d", "each": [10 ** 12, 10 ** 12]}, {"name": 5, "count": 1}, {"name": "f%03", "count": 1}], ids=str)
def test_what_is_no_rule_is_refused(origin, rule):

    reply = origin.http("POST", "/-/families", json.dumps({"bucket": "bkt", "size": 1, **rule}))
    assert reply.status == 400 and "family" in reply.json()["error"]


def test_a_bucket_takes_sixteen_families(origin):
    for i in range(16):
        add(origin, Family("%02d-%%03d" % i, count=2))
    with pytest.raises(AssertionError, match="16"):
        add(origin, Family("more%03d", count=2))
