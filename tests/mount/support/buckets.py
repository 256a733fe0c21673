"""A bucket or a parameter tree seen from outside with boto3: the witness beside the mount."""
import http.client
import itertools
import os
import time
import urllib.parse

import botocore.auth
import botocore.awsrequest
import botocore.credentials
import botocore.exceptions

from . import servers

_numbers = itertools.count(1)


class Bucket:
    def __init__(self, server, name=None):
        self.server = server
        self.s3 = server.client()
        self.changed = 0  # when it was last, from outside
        self.s3.meta.events.register("before-call.s3", self._note)
        self.name = name or "mount-%d-%d" % (os.getpid(), next(_numbers))
        self.s3.create_bucket(Bucket=self.name)

    @property
    def source(self):
        return "s3://" + self.name

    def _note(self, model, **_):
        if not model.name.startswith(("Get", "Head", "List")):
            self.changed = time.monotonic()

    def put(self, key, body=b"", **extra):
        """Puts an object and returns its ETag without quotes."""
        return self.s3.put_object(Bucket=self.name, Key=key, Body=body, **extra)["ETag"].strip('"')

    def put_many(self, objects):
        """Puts {key: body} over one connection, a tenth of the work of as many put()."""
        signer = botocore.auth.S3SigV4Auth(botocore.credentials.Credentials(servers.ACCESS, servers.SECRET), "s3", servers.REGION)
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        for key, body in objects.items():
            path = "/%s/%s" % (self.name, urllib.parse.quote(key))
            request = botocore.awsrequest.AWSRequest("PUT", self.server.endpoint + path, data=body)
            signer.add_auth(request)
            connection.request("PUT", path, body, dict(request.headers.items()))
            with connection.getresponse() as reply:
                assert reply.status == 200, reply.read()
                reply.read()
        connection.close()
        self.changed = time.monotonic()

    def get(self, key):
        return self.s3.get_object(Bucket=self.name, Key=key)["Body"].read()

    def head(self, key):
        return self.s3.head_object(Bucket=self.name, Key=key)

    def exists(self, key):
        try:
            self.head(key)
        except botocore.exceptions.ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] == 404:
                return False
            raise
        return True

    def delete(self, key):
        self.s3.delete_object(Bucket=self.name, Key=key)

    def keys(self, prefix=""):
        pages = self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def uploads(self):
        return self.s3.list_multipart_uploads(Bucket=self.name).get("Uploads", [])

    def tags(self, key):
        return {t["Key"]: t["Value"] for t in self.s3.get_object_tagging(Bucket=self.name, Key=key)["TagSet"]}


class Parameters:
    """A subtree of the Parameter Store that no other test uses."""

    def __init__(self, server):
        self.server = server
        self.ssm = server.client("ssm")
        self.root = "/t%d-%d" % (os.getpid(), next(_numbers))

    @property
    def source(self):
        return "ssm:" + self.root

    def put(self, name, value, kind="String", **extra):
        return self.ssm.put_parameter(Name=self.root + "/" + name, Value=value, Type=kind, Overwrite=True, **extra)["Version"]

    def plant(self, values):
        """Puts {name: value}, where a list is a value for each version. Returns itself."""
        for name, versions in dict(values).items():
            for value in [versions] if isinstance(versions, str) else versions:
                self.put(name, value)
        return self

    def get(self, name):
        return self.parameter(name)["Value"]

    def parameter(self, name):
        return self.ssm.get_parameter(Name=self.root + "/" + name, WithDecryption=True)["Parameter"]

    def describe(self, name):
        found = self.ssm.describe_parameters(
            ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": [self.root + "/" + name]}])["Parameters"]
        return found[0]

    def names(self):
        pages = self.ssm.get_paginator("get_parameters_by_path").paginate(Path=self.root, Recursive=True)
        return sorted(p["Name"][len(self.root) + 1:] for page in pages for p in page["Parameters"])

    def delete(self, name):
        self.ssm.delete_parameter(Name=self.root + "/" + name)
