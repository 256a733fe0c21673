"""awsfs check under IAM policies: what is missing is named, what is proposed grants it, and its status is that of a mount."""
import json
import os
import urllib.request

import boto3
import pytest
from botocore.config import Config

from support import mounts, servers
from support.buckets import Bucket, Parameters
from support.check import Checked, mount_works

OBJECT_ACTIONS = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts",
                  "s3:GetObjectTagging", "s3:PutObjectTagging"]
S3_ACTIONS = ["s3:ListBucket"] + OBJECT_ACTIONS
SSM_BESIDE = ["ssm:GetParameters", "ssm:GetParameterHistory", "ssm:LabelParameterVersion", "ssm:UnlabelParameterVersion",
              "ssm:ListTagsForResource", "ssm:AddTagsToResource", "ssm:RemoveTagsFromResource"]
SSM_ACTIONS = ["ssm:GetParametersByPath", "ssm:GetParameter", "ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters",
               "ssm:DescribeParameters"] + SSM_BESIDE


@pytest.fixture(autouse=True)
def state_directory(tmp_path, monkeypatch):
    monkeypatch.setattr(Checked, "state", str(tmp_path / "state-of-check"))


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
    "no-history-labels-tags": (but(SSM_ACTIONS, *SSM_BESIDE), set(SSM_BESIDE), True, True),
    "no-label": (but(SSM_ACTIONS, "ssm:LabelParameterVersion"), {"ssm:LabelParameterVersion"}, True, True),
    "read-only": ([allow(["ssm:GetParametersByPath", "ssm:GetParameter"])],
                  {"ssm:PutParameter", "ssm:DeleteParameter", "ssm:DeleteParameters", "ssm:DescribeParameters", *SSM_BESIDE}, False, True),
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
    history = witness.ssm.get_parameter_history(Name=witness.root + "/a")["Parameters"]
    assert [p["Labels"] for p in history] == [[]]
    # A listing brings the values: who may list needs no GetParameter until something is written.
    assert parameters_work(mount, witness, env) == works
    if missing:
        # moto knows no resources of parameters.
        grant({**checked.all["policy"], "Statement": [{**s, "Resource": "*"} for s in checked.all["policy"]["Statement"]]})
        assert Checked(witness.source, env, endpoint=guarded.endpoint).status == 0


@pytest.mark.parametrize("allowed", [True, False])
def test_the_queue_with_changes_is_tried_and_keeps_its_messages(guarded, allowed):
    witness = Parameters(guarded)
    witness.put("a", "value")
    sqs = guarded.client("sqs")
    url = sqs.create_queue(QueueName="changes-%s" % allowed)["QueueUrl"]
    url = guarded.endpoint + url[url.index("/", 9):]
    sqs.send_message(QueueUrl=url, MessageBody="an event")
    # moto takes the name of the request for that of the action: AWS asks for sqs:DeleteMessage.
    env, grant = guarded.user("watcher", [allow(SSM_ACTIONS + (["sqs:ReceiveMessage", "sqs:DeleteMessageBatch"] if allowed else []))])
    checked = Checked(witness.source, env, endpoint=guarded.endpoint, ssm_watch=url)
    assert checked.status == 0
    assert checked.missing() == checked.granted() == (set() if allowed else {"sqs:ReceiveMessage", "sqs:DeleteMessage"})
    if not allowed:
        resources = [s["Resource"] for s in checked.all["policy"]["Statement"]]
        assert resources == ["arn:aws:sqs:*:123456789012:changes-False"]
        grant(checked.all["policy"])
        assert Checked(witness.source, env, endpoint=guarded.endpoint, ssm_watch=url).missing() == {"sqs:DeleteMessage"}
    assert sqs.receive_message(QueueUrl=url)["Messages"][0]["Body"] == "an event"


@pytest.mark.parametrize("actions, missing", [(["s3:ListAllMyBuckets"], set()), ([], {"s3:ListAllMyBuckets"})])
def test_all_buckets_can_be_listed_or_used_by_name(guarded, guarded_bucket, actions, missing):
    env, _ = guarded.user("lister", [allow(actions)] if actions else [])
    checked = Checked("s3://", env, endpoint=guarded.endpoint)
    assert checked.missing() == missing == checked.granted()
    # A mount serves either way: buckets that are known by name can be used.
    assert checked.status == 0
    assert checked.verdict("clock") == "ok"
