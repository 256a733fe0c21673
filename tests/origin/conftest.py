import http.client
import json
import os
import subprocess
import sys
import urllib.parse

import boto3
import botocore.config
import pytest

# What the mount tests know of this server: support.families.
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "mount"))


def pytest_addoption(parser):
    parser.addoption("--build-dir", help="where awsfs was built, when AWSFS_ORIGIN does not name the program")


class Reply:
    def __init__(self, response, body):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = body

    def json(self):
        return json.loads(self.body)

    def code(self):
        text = self.body.decode()
        return text.split("<Code>")[1].split("</Code>")[0] if "<Code>" in text else None


class Origin:
    """The server under test: boto3 as the client, plain HTTP where boto3 would hide something."""

    def __init__(self, program):
        self.process = subprocess.Popen([program], stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.s3 = self.client()

    def client(self, **config):
        return boto3.client("s3", endpoint_url="http://127.0.0.1:%d" % self.port, region_name="us-east-1",
                            aws_access_key_id="id", aws_secret_access_key="secret",
                            config=botocore.config.Config(retries={"max_attempts": 0}, read_timeout=20, **config))

    def connect(self, timeout=20):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def http(self, method, path, body=None, connection=None, **headers):
        connection = connection or self.connect()
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body=body, headers=names)
        response = connection.getresponse()
        return Reply(response, response.read())

    def control(self, method, path, **body):
        reply = self.http(method, "/-/" + path, json.dumps(body) if body else None)
        assert reply.status == 200, reply.body
        return reply.json()

    def fault(self, action, kind="*", key="*", **rule):
        self.control("POST", "faults", action=action, kind=kind, key=key, **rule)

    def put(self, key, body=b"", **arguments):
        return self.s3.put_object(Bucket="bkt", Key=key, Body=body, **arguments)["ETag"]

    def get(self, key, **arguments):
        return self.s3.get_object(Bucket="bkt", Key=key, **arguments)["Body"].read()

    def path(self, key):
        return "/bkt/" + urllib.parse.quote(key)


@pytest.fixture(scope="session")
def server(request):
    build = request.config.getoption("--build-dir") or "build"
    program = os.environ.get("AWSFS_ORIGIN") or os.path.join(build, "tests", "origin", "awsfs-origin")
    origin = Origin(program)
    yield origin
    origin.process.terminate()
    assert origin.process.wait(timeout=30) == 0


@pytest.fixture
def origin(server):
    """The server with one empty bucket `bkt`, no faults and default settings."""
    server.control("POST", "release")
    server.control("POST", "reset")
    server.control("POST", "settings", ownership="BucketOwnerEnforced", region="us-east-1")
    server.s3.create_bucket(Bucket="bkt")
    server.control("POST", "counts/reset")
    return server


@pytest.fixture
def s3(origin):
    return origin.s3
