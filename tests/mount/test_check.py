"""awsfs check: what it says is so, it leaves nothing behind on any server, and what goes wrong is one line each."""
import json
import re
import subprocess
import time

import pytest

from support import mounts, servers
from support.buckets import Bucket, Parameters
from support.check import Checked, mount_works
from support.proxy import Proxy, certificate


@pytest.fixture(autouse=True)
def state_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(Checked, "state", str(tmp_path / "state-of-check"))


def test_an_empty_tree_leaves_unknown_what_needs_a_parameter(moto):
    checked = Checked(Parameters(moto).source, endpoint=moto.endpoint)
    assert checked.named("unknown") == {"write", "decryption", "set labels", "remove labels"}
    assert checked.status == 0


# ---- Servers

def test_nothing_is_left_on_any_server_and_a_mount_works(server, bucket, mount):
    witness = bucket(server)
    witness.put("old", b"old")
    checked = Checked(witness.source, endpoint=server.endpoint)
    assert checked.status == 0, checked.result.stdout
    assert checked.verdict("conditional requests") == "yes"
    assert witness.keys() == ["old"] and witness.uploads() == []
    assert mount_works(mount, witness, None, False)


@pytest.fixture
def lacking(origin):
    """lacking(ignore=[...], refuse=[...], addressing=...): the origin without these."""
    yield lambda **what: origin.settings(**what)
    origin.settings(ignore=[], refuse=[], addressing="any")


def test_what_a_server_lacks_is_shown(origin, bucket, lacking):
    witness = bucket(origin)
    lacking(ignore=["put-if-match"], refuse=["tags"])
    checked = Checked(witness.source, endpoint=origin.endpoint)
    assert checked.verdict("server") == "no" and "lacks 2 of" in checked.rows["server"]["detail"]
    assert checked.verdict("put-if-match") == checked.verdict("tags") == "no"
    assert checked.verdict("put-if-absent") == "yes"
    assert checked.verdict("conditional requests") == "no"
    assert witness.keys() == [] and witness.uploads() == []
    assert checked.status == 0


def test_what_a_server_lacks_is_found_out_once(origin, bucket):
    witness = bucket(origin)
    assert Checked(witness.source, endpoint=origin.endpoint).verdict("server") == "yes"
    first = sum(origin.requests().values())
    origin.reset_counts()
    assert Checked(witness.source, endpoint=origin.endpoint).verdict("server") == "yes"
    assert sum(origin.requests().values()) < first - 10
    assert Checked(witness.source, endpoint=origin.endpoint, ro=True).verdict("server") == "yes"


def test_a_read_only_check_makes_no_object_to_find_out(origin, bucket):
    checked = Checked(bucket(origin).source, endpoint=origin.endpoint, ro=True)
    assert checked.verdict("server") == "unknown" and checked.status == 0
    assert not [entry for entry in origin.log() if entry["kind"] == "PutObject" and entry["status"] == 200]


def test_the_place_of_the_bucket_is_found_out_as_by_a_mount(origin, bucket, lacking):
    witness = bucket(origin)
    lacking(addressing="virtual")
    endpoint = origin.endpoint.replace("127.0.0.1", "localhost")
    assert Checked(witness.source, endpoint=endpoint).status == 0


def test_who_one_is_may_stay_unknown(origin, bucket):
    checked = Checked(bucket(origin).source, endpoint=origin.endpoint)
    assert checked.verdict("identity") == "unknown" and checked.status == 0


def test_what_a_server_makes_that_ignores_conditions_is_removed(origin, bucket):
    witness = bucket(origin)
    proxy = Proxy(origin, without=["If-Match"])
    checked = Checked(witness.source, endpoint=proxy.endpoint)
    proxy.stop()
    assert checked.verdict("conditional requests") == "no"
    assert "removed" in checked.rows["conditional requests"]["detail"]
    assert checked.verdict("write") == "allowed"
    assert any(entry["kind"] == "PutObject" and entry["status"] == 200 for entry in origin.log())
    assert witness.keys() == [] and witness.uploads() == []


def test_versions_are_removed_as_well(moto, bucket):
    witness = bucket(moto)
    witness.s3.put_bucket_versioning(Bucket=witness.name, VersioningConfiguration={"Status": "Enabled"})
    proxy = Proxy(moto, without=["If-Match"])
    checked = Checked(witness.source, endpoint=proxy.endpoint)
    proxy.stop()
    assert checked.verdict("conditional requests") == "no"
    left = witness.s3.list_object_versions(Bucket=witness.name)
    assert left.get("Versions", []) == [] and left.get("DeleteMarkers", []) == []


def test_what_may_be_left_is_told(origin, bucket):
    witness = bucket(origin)
    proxy = Proxy(origin, without=["If-Match"])
    # The first DeleteObject is the trial, the second removes what was made.
    origin.fault({"status": 403, "code": "AccessDenied"}, kind="DeleteObject", skip=1)
    checked = Checked(witness.source, endpoint=proxy.endpoint)
    proxy.stop()
    assert len(witness.keys()) == 1
    assert witness.keys()[0] in checked.rows["conditional requests"]["detail"]


# ---- Bad input: one line each

def test_a_server_that_hangs_leaves_unknowns_within_its_time(origin, bucket):
    witness = bucket(origin)
    origin.fault({"hang": True}, count=-1)
    start = time.monotonic()
    checked = Checked(witness.source, endpoint=origin.endpoint)
    # The promise is 15 seconds; a machine that is busy gets some more.
    assert time.monotonic() - start < 45
    assert checked.status == 1
    assert {"identity", "bucket", "list", "read", "write", "delete", "multipart"} <= checked.named("unknown")
    assert checked.missing() == set()
    origin.heal()
    assert witness.keys() == []


def test_requests_that_hang_one_by_one_leave_the_others_their_verdicts(origin, bucket):
    witness = bucket(origin)
    origin.fault({"hang": True}, kind="CreateMultipartUpload", count=-1)
    checked = Checked(witness.source, endpoint=origin.endpoint)
    assert checked.verdict("multipart") == "unknown"
    assert {checked.verdict(what) for what in ("list", "read", "write", "delete")} == {"allowed"}
    origin.heal()
    assert witness.uploads() == []


def test_an_upload_whose_beginning_was_not_answered_is_found_and_aborted(origin, bucket):
    witness = bucket(origin)
    origin.fault({"execute_then_reset": True}, kind="CreateMultipartUpload", count=-1)
    checked = Checked(witness.source, endpoint=origin.endpoint)
    assert checked.verdict("multipart") == "unknown"
    assert witness.uploads() == []


def test_bytes_that_trickle_in_end_in_time_too(origin, bucket):
    witness = bucket(origin)
    origin.fault({"trickle_bps": 1}, kind="ListObjectsV2", count=-1)
    start = time.monotonic()
    checked = Checked(witness.source, endpoint=origin.endpoint)
    assert time.monotonic() - start < 45
    assert checked.verdict("list") == "unknown" and checked.status == 1


def test_credentials_that_take_too_long_end_it_too(tmp_path, origin, bucket):
    config = tmp_path / "config"
    config.write_text("[profile slow]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = keys\n"
                      "[profile keys]\naws_access_key_id = AKIAKEYS\naws_secret_access_key = keys\n")
    origin.fault({"hang": True}, count=-1)
    checked = Checked("s3://bucket-name", endpoint=origin.endpoint, profile="slow",
                      env={"AWS_CONFIG_FILE": str(config), "AWS_ENDPOINT_URL_STS": origin.endpoint})
    assert checked.status == 1
    assert checked.verdict("credentials") == "unknown"
    assert checked.verdict("FUSE") == "ok"


def test_a_clock_that_is_wrong_is_told_and_stops_nothing(origin, bucket):
    proxy = Proxy(origin, shift_s=-7200)
    checked = Checked(bucket(origin).source, endpoint=proxy.endpoint)
    proxy.stop()
    assert checked.verdict("clock") == "failed" and checked.status == 0
    assert "7200 s ahead" in checked.rows["clock"]["detail"] or "7201 s ahead" in checked.rows["clock"]["detail"]


def test_a_bucket_in_another_region_tells_its_region(origin, bucket):
    witness = bucket(origin)
    origin.fault({"redirect": "eu-central-1"}, key=witness.name + "/*", count=-1)
    checked = Checked(witness.source, endpoint=origin.endpoint)
    assert checked.status == 0
    assert checked.rows["region"]["detail"].startswith("eu-central-1 (the bucket's own")
    assert checked.all["region"] == "eu-central-1"


def test_no_such_bucket_is_one_line(server):
    checked = Checked("s3://no-such-bucket-anywhere", endpoint=server.endpoint)
    assert checked.status == 1 and checked.verdict("bucket") == "failed"
    assert "NoSuchBucket" in checked.rows["bucket"]["detail"]
    assert sum("NoSuchBucket" in row["detail"] for row in checked.rows.values()) == 1


def test_an_endpoint_that_is_not_there_is_one_line():
    port = servers.free_port()
    checked = Checked("s3://bucket-name", endpoint="http://127.0.0.1:%d" % port)
    assert checked.status == 1
    told = [row["what"] for row in checked.rows.values() if "connect" in row["detail"]]
    assert sorted(told) == ["bucket", "identity"]


def test_no_credentials_says_where_was_looked(moto, bucket):
    checked = Checked(bucket(moto).source, env={"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, endpoint=moto.endpoint)
    assert checked.status == 1 and checked.verdict("credentials") == "failed"
    text = json.dumps(checked.all["rows"])
    assert "AWS_ACCESS_KEY_ID" in text and "/dev/null" in text
    assert all(row["detail"].count("; ") < 3 for row in checked.all["rows"])
    assert len([row for row in checked.all["rows"] if row["what"] == "credential source"]) >= 5


def test_dots_over_tls_go_by_path_or_are_one_line(tmp_path, origin):
    trusted, chain = certificate(tmp_path)
    witness = Bucket(origin, "my.dotted.bucket")
    proxy = Proxy(origin, chain=chain)
    env = {"AWS_CA_BUNDLE": str(trusted)}
    works = Checked(witness.source, env, endpoint=proxy.endpoint)
    virtual = Checked(witness.source, env, endpoint=proxy.endpoint, addressing="virtual")
    proxy.stop()
    assert works.status == 0, works.result.stdout
    assert virtual.status == 1 and virtual.verdict("endpoint") == "failed"
    assert "certificate" in virtual.rows["endpoint"]["detail"]


def test_a_state_directory_that_cannot_be_used_is_one_line(tmp_path, moto, bucket, mount):
    (tmp_path / "file").write_text("")
    witness = bucket(moto)
    checked = Checked(witness.source, endpoint=moto.endpoint, state=tmp_path / "file")
    assert checked.status == 1 and checked.verdict("state directory") == "failed"
    with pytest.raises(mounts.MountFailed):
        mount(witness, state=tmp_path / "file")


def test_anonymous_signs_nothing(origin, bucket):
    checked = Checked(bucket(origin).source, endpoint=origin.endpoint, anonymous=True)
    assert checked.rows["credentials"]["detail"].startswith("anonymous")
    assert checked.rows["identity"]["detail"] == "anonymous"


@pytest.mark.parametrize("words", [[], ["s3://b", "s3://c"], ["s3://b", "-x"], ["ftp://b"], ["s3://b", "-o", "nonsense"]])
def test_a_malformed_command_has_status_2(words):
    result = subprocess.run([mounts.program(), "check", *words], capture_output=True, text=True, timeout=60, check=False,
                            env=mounts.environment("check"))
    assert result.returncode == 2 and result.stdout == ""
    assert len(result.stderr.splitlines()) == 1


def test_the_table_is_for_people(moto, bucket):
    result = subprocess.run([mounts.program(), "check", bucket(moto).source, "-o", "endpoint=" + moto.endpoint], text=True,
                            capture_output=True, timeout=60, check=False, env=mounts.environment("check"))
    assert result.returncode == 0 and result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[-1] == "A mount would work."
    assert any(line.split() == ["list", "allowed"] for line in lines)
    assert not any(line.endswith(" ") for line in lines)
    verdicts = ("ok", "failed", "unknown", "allowed", "denied", "yes", "no")
    rows = [re.match(r"  (.*?\S) +(%s)( |$)" % "|".join(verdicts), line) for line in lines if line.startswith("  ")]
    assert all(rows) and len({row.start(2) for row in rows}) == 1, lines
