"""awsfs check: what it says is so, it leaves nothing behind, and its status is that of a mount."""
import json
import os
import subprocess
import time
import urllib.request

import boto3
import pytest
from botocore.config import Config

from support import mounts, servers
from support.buckets import Bucket, Parameters
from support.proxy import Proxy, certificate

OBJECT_ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
                  "s3:GetObjectTagging", "s3:PutObjectTagging"]
S3_ACTIONS = ["s3:ListBucket"] + OBJECT_ACTIONS
SSM_ACTIONS = ["ssm:GetParametersByPath", "ssm:GetParameter", "ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters",
               "ssm:DescribeParameters"]


class Checked:
    """One run of awsfs check --json."""

    state = None

    def __init__(self, source, env=None, timeout=60, **options):
        told = {"region": servers.REGION, "state": self.state, **options}
        text = ",".join(k if v is True else "%s=%s" % (k, v) for k, v in told.items() if v is not None)
        self.result = subprocess.run([mounts.program(), "check", source, "--json", "-o", text], capture_output=True, text=True,
                                     timeout=timeout, env=mounts.environment("check", env), check=False)
        assert self.result.stderr == "", self.result.stderr
        assert servers.SECRET not in self.result.stdout
        self.status = self.result.returncode
        self.all = json.loads(self.result.stdout)
        self.rows = {row["what"]: row for row in self.all["rows"]}
        assert self.all["works"] == (self.status == 0)
        assert not mounts.sanitizer_reports("check")

    def verdict(self, what):
        return self.rows[what]["verdict"]

    def named(self, verdict):
        return {row["what"] for row in self.rows.values() if row["verdict"] == verdict}

    def missing(self):
        """The actions that are denied."""
        return {row["action"] for row in self.rows.values() if row["verdict"] == "denied"}

    def granted(self):
        """What the proposed policy would grant."""
        policy = self.all["policy"] or {"Statement": []}
        return {action for statement in policy["Statement"] for action in statement["Action"]}


@pytest.fixture(autouse=True)
def state_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(Checked, "state", str(tmp_path / "state-of-check"))


# ---- Permissions, by moto with IAM enforced

class Guarded:
    """moto that checks signatures and policies. `admin` may do everything; user() makes one that may do what is told."""

    name = "moto that enforces IAM"

    def __init__(self, server):
        self.server = server
        self.iam = server.client("iam")
        self.names = 0
        keys, _ = self.user("admin", [{"Effect": "Allow", "Action": "*", "Resource": "*"}])
        request = urllib.request.Request(server.endpoint + "/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
        urllib.request.urlopen(request, timeout=30).close()
        self.admin = keys
        self.iam = self.client("iam")

    @property
    def endpoint(self):
        return self.server.endpoint

    def client(self, service="s3"):
        return boto3.client(service, endpoint_url=self.endpoint, region_name=servers.REGION,
                            aws_access_key_id=self.admin["AWS_ACCESS_KEY_ID"],
                            aws_secret_access_key=self.admin["AWS_SECRET_ACCESS_KEY"],
                            config=Config(s3={"addressing_style": "path"}))

    def user(self, name, statements):
        """The environment with a new user's keys, and grant(policy), which adds one to what the user may do."""
        self.names += 1
        unique = "%s-%d" % (name, self.names)
        self.iam.create_user(UserName=unique)
        key = self.iam.create_access_key(UserName=unique)["AccessKey"]

        def grant(policy, which="more"):
            self.iam.put_user_policy(UserName=unique, PolicyName=which, PolicyDocument=json.dumps(policy))

        grant({"Version": "2012-10-17", "Statement": statements or [{"Effect": "Deny", "Action": "x:y", "Resource": "*"}]}, "first")
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}, grant


@pytest.fixture(scope="module")
def guarded(work):
    server = servers.Moto(work / "guarded").start()
    yield Guarded(server)
    server.stop()


def allow(actions, resource="*"):
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource}


def but(actions, *left_out):
    return [allow([a for a in actions if a not in left_out])]


# name: statements, actions that must be named as missing, rows that cannot be told, whether a mount works, whether ro works
S3_POLICIES = {
    "everything": (but(S3_ACTIONS), set(), set(), True, True),
    "no-list": (but(S3_ACTIONS, "s3:ListBucket"), {"s3:ListBucket"}, {"bucket"}, False, False),
    "no-read": (but(S3_ACTIONS, "s3:GetObject"), {"s3:GetObject"}, set(), False, False),
    "no-write": (but(S3_ACTIONS, "s3:PutObject"), {"s3:PutObject"}, {"conditional requests", "checksums"}, False, True),
    "no-delete": (but(S3_ACTIONS, "s3:DeleteObject"), {"s3:DeleteObject"}, set(), False, True),
    "no-abort": (but(S3_ACTIONS, "s3:AbortMultipartUpload"), {"s3:AbortMultipartUpload"}, {"checksums"}, True, True),
    "no-parts": (but(S3_ACTIONS, "s3:ListMultipartUploadParts"), {"s3:ListMultipartUploadParts"}, set(), True, True),
    "no-tags": (but(S3_ACTIONS, "s3:GetObjectTagging", "s3:PutObjectTagging"),
                {"s3:GetObjectTagging", "s3:PutObjectTagging"}, set(), True, True),
    "read-only": ([allow(["s3:ListBucket", "s3:GetObject"])], set(OBJECT_ACTIONS) - {"s3:GetObject"},
                  {"conditional requests", "checksums"}, False, True),
    "nothing": ([], {"s3:ListBucket", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload",
                     "s3:ListMultipartUploadParts"},
                {"bucket", "read", "read tags", "write tags", "conditional requests", "checksums"}, False, False),
    "denied-delete": (but(S3_ACTIONS) + [{"Effect": "Deny", "Action": "s3:Delete*", "Resource": "*"}], {"s3:DeleteObject"}, set(),
                      False, True),
    "another-prefix": ([allow(["s3:ListBucket"]), allow(OBJECT_ACTIONS, "arn:aws:s3:::*/other/*")], set(OBJECT_ACTIONS),
                       {"conditional requests", "checksums"}, False, False),
}


@pytest.fixture
def guarded_bucket(guarded):
    class Witness(Bucket):
        def __init__(self):
            super().__init__(guarded)
            self.put("dir/old", b"old")
            self.put("old", b"old")
    return Witness()


def mount_works(mount, witness, env, read_only):
    """Whether a mount with these keys serves, and everything works that people do with it."""
    try:
        disk = mount(witness, env=env, ro=read_only, attrs="list", fresh=True)
    except mounts.MountFailed:
        return False
    try:
        assert "old" in os.listdir(disk.path)
        (disk / "old").read_bytes()
        if not read_only:
            (disk / "new").write_bytes(b"new")
            (disk / "old").write_bytes(b"newer")
            (disk / "new").unlink()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(S3_POLICIES))
def test_what_a_policy_lacks_is_named_and_what_is_proposed_grants_it(guarded, guarded_bucket, mount, name):
    statements, missing, unknown, works, works_ro = S3_POLICIES[name]
    env, grant = guarded.user(name, statements)
    checked = Checked(guarded_bucket.source, env, endpoint=guarded.endpoint)
    assert checked.missing() == missing
    assert checked.granted() == missing
    # Its features are found out only where all that this needs is allowed.
    may_write = {checked.verdict("write"), checked.verdict("delete"), checked.verdict("multipart")} == {"allowed"}
    assert checked.named("unknown") == unknown | (set() if may_write else {"server"})
    assert checked.named("failed") == set()
    assert (checked.status == 0) == works
    assert (Checked(guarded_bucket.source, env, endpoint=guarded.endpoint, ro=True).status == 0) == works_ro
    assert checked.all["account"] == "123456789012" and ":user/" + name in checked.all["arn"]
    assert guarded_bucket.uploads() == []
    assert guarded_bucket.keys() == ["dir/old", "old"]
    assert mount_works(mount, guarded_bucket, env, False) == works
    if missing:
        grant(checked.all["policy"])
        again = Checked(guarded_bucket.source, env, endpoint=guarded.endpoint).missing()
        # What is denied expressly no policy grants; what could not be told before is told now.
        assert again == ({"s3:DeleteObject"} if name == "denied-delete" else
                         {"s3:GetObject", "s3:GetObjectTagging", "s3:PutObjectTagging"} if name == "nothing" else set())


def test_a_read_only_mount_works_where_the_check_says_so(guarded, guarded_bucket, mount):
    env, _ = guarded.user("reader", S3_POLICIES["read-only"][0])
    assert Checked(guarded_bucket.source, env, endpoint=guarded.endpoint, ro=True).status == 0
    assert mount_works(mount, guarded_bucket, env, True)


def test_a_prefix_is_tried_below_it(guarded, guarded_bucket):
    statements = [allow(["s3:ListBucket"]), allow(OBJECT_ACTIONS, "arn:aws:s3:::%s/dir/*" % guarded_bucket.name)]
    env, _ = guarded.user("prefix", statements)
    assert Checked(guarded_bucket.source + "/dir", env, endpoint=guarded.endpoint).missing() == set()
    elsewhere = Checked(guarded_bucket.source + "/els ewhere", env, endpoint=guarded.endpoint)
    assert elsewhere.missing() == set(OBJECT_ACTIONS)
    objects = [s["Resource"] for s in elsewhere.all["policy"]["Statement"]]
    assert objects == ["arn:aws:s3:::%s/els ewhere/*" % guarded_bucket.name]


SSM_POLICIES = {
    "everything": (but(SSM_ACTIONS), set(), True, True),
    "no-list": (but(SSM_ACTIONS, "ssm:GetParametersByPath"), {"ssm:GetParametersByPath"}, False, False),
    "no-read": (but(SSM_ACTIONS, "ssm:GetParameter"), {"ssm:GetParameter"}, False, False),
    "no-write": (but(SSM_ACTIONS, "ssm:PutParameter"), {"ssm:PutParameter"}, False, True),
    "no-delete": (but(SSM_ACTIONS, "ssm:DeleteParameter", "ssm:DeleteParameters"), {"ssm:DeleteParameter", "ssm:DeleteParameters"},
                  False, True),
    "no-describe": (but(SSM_ACTIONS, "ssm:DescribeParameters"), {"ssm:DescribeParameters"}, False, True),
    "read-only": ([allow(["ssm:GetParametersByPath", "ssm:GetParameter"])],
                  {"ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters", "ssm:DescribeParameters"}, False, True),
}


def parameters_work(mount, witness, env):
    """Whether a mount with these keys serves, and everything works that people do with it."""
    try:
        disk = mount(witness, env=env, ssm_rate=1000, fresh=True)
    except mounts.MountFailed:
        return False
    try:
        assert sorted(os.listdir(disk.path)) == ["a", "d"]
        (disk / "d" / "secret").read_bytes()
        (disk / "d" / "secret").write_text("newer")
        (disk / "new").write_text("new")
        (disk / "new").unlink()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("name", sorted(SSM_POLICIES))
def test_what_a_policy_lacks_for_parameters_is_named(guarded, mount, name):
    statements, missing, works, works_ro = SSM_POLICIES[name]
    witness = Parameters(guarded)
    witness.put("a", "value")
    witness.put("d/secret", "value", "SecureString")
    env, grant = guarded.user(name, statements)
    checked = Checked(witness.source, env, endpoint=guarded.endpoint)
    assert checked.missing() == missing == checked.granted()
    assert (checked.status == 0) == works
    assert (Checked(witness.source, env, endpoint=guarded.endpoint, ro=True).status == 0) == works_ro
    assert witness.names() == ["a", "d/secret"]
    assert [witness.parameter(n)["Version"] for n in witness.names()] == [1, 1]
    # A listing brings the values: who may list needs no GetParameter until something is written.
    assert parameters_work(mount, witness, env) == works
    if missing:
        # moto knows no resources of parameters.
        grant({**checked.all["policy"], "Statement": [{**s, "Resource": "*"} for s in checked.all["policy"]["Statement"]]})
        assert Checked(witness.source, env, endpoint=guarded.endpoint).status == 0


@pytest.mark.parametrize("actions, missing", [(["s3:ListAllMyBuckets"], set()), ([], {"s3:ListAllMyBuckets"})])
def test_all_buckets_can_be_listed_or_used_by_name(guarded, guarded_bucket, actions, missing):
    env, _ = guarded.user("lister", [allow(actions)] if actions else [])
    checked = Checked("s3://", env, endpoint=guarded.endpoint)
    assert checked.missing() == missing == checked.granted()
    # A mount serves either way: buckets that are known by name can be used.
    assert checked.status == 0
    assert checked.verdict("clock") == "ok"


def test_an_empty_tree_leaves_writing_and_decryption_unknown(moto):
    checked = Checked(Parameters(moto).source, endpoint=moto.endpoint)
    assert checked.named("unknown") == {"write", "decryption"}
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
    assert time.monotonic() - start < 25
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
    assert time.monotonic() - start < 25
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
