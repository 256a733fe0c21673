"""tests/origin as the benchmark uses it: data without bytes, latency, and what was asked of it."""
import time
import urllib.request

from support import servers

SETTLE_SECONDS = 0.1
SETTLE_MAX_SECONDS = 5


class Origin(servers.Origin):
    def make_bucket(self, name):
        urllib.request.urlopen(urllib.request.Request(self.endpoint + "/" + name, method="PUT"), timeout=10).close()

    def family(self, bucket, name, each, size):
        """Keys that a rule describes: `name` with a number of each range."""
        self.control("POST", "families", {"bucket": bucket, "name": name, "each": each, "size": size})

    def url(self, bucket, key=""):
        return "%s/%s/%s" % (self.endpoint, bucket, key)

    def link(self, delay_ms, connection_bps=0):
        """From now on every request waits that long, a new connection once more, and carries no more than that many bytes a
        second."""
        self.control("POST", "network", {"latency_ms": delay_ms, "connect_ms": delay_ms, "connection_bps": connection_bps})

    def settled(self):
        """The counts, once nothing has been sent for a while: read-ahead under way when a job ends is its cost too."""
        deadline = time.monotonic() + SETTLE_MAX_SECONDS
        before = self.counts()
        while True:
            time.sleep(SETTLE_SECONDS)
            after = self.counts()
            same = all(before[name] == after[name] for name in ("total", "bytes_out", "bytes_in"))
            if same or time.monotonic() > deadline:
                return after
            before = after

    def has(self, bucket, key, size):
        """Whether the object is there with that size: one HEAD, which is counted."""
        request = urllib.request.Request(self.url(bucket, key), method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=10) as reply:
                return int(reply.headers.get("Content-Length", -1)) == size
        except OSError:
            return False

    def empty_bucket(self, bucket):
        """Everything but what warms connections."""
        s3 = self.client()
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
            keys = [{"Key": entry["Key"]} for entry in page.get("Contents", []) if not entry["Key"].startswith("warm/")]
            if keys:
                s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})
