"""The S3 and SSM servers of the tests. All listen on the loopback only and are ended by their pid."""
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
import json

import boto3
from botocore.config import Config

ACCESS = "AKIAMOUNTTESTS000000"
SECRET = "mount-tests-secret-do-not-log-0123456789"
REGION = "us-east-1"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Server:
    """One server process. `lacks` names what it cannot do, so that a test that needs it skips with the server's reason."""

    name = "?"
    lacks = {}

    def __init__(self, directory):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        self.port = None
        self.process = None

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d" % self.port

    def command(self):
        raise NotImplementedError

    def environment(self):
        return dict(os.environ)

    def start(self, port=None):
        self.port = port or free_port()
        log = open(os.path.join(self.directory, self.name + ".log"), "ab")
        with log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                                            env=self.environment())
        deadline = time.monotonic() + 60
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("%s did not start, see %s" % (self.name, log.name))
            time.sleep(0.05)
        return self

    def _answers(self):
        try:
            urllib.request.urlopen(self.endpoint + "/", timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError:
            return False
        return True

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)

    def restart(self):
        """The same server on the same port again; what it keeps on disk stays, what it keeps in memory is lost."""
        port = self.port
        self.stop()
        return self.start(port)

    def pause(self):
        """A server that accepts and never answers."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def client(self, service="s3", **config):
        return boto3.client(service, endpoint_url=self.endpoint, region_name=REGION, aws_access_key_id=ACCESS,
                            aws_secret_access_key=SECRET,
                            config=Config(retries={"max_attempts": 2}, s3={"addressing_style": "path"}, **config))


class Moto(Server):
    name = "moto"
    lacks = {
        "keep-alive": "moto closes every connection",
        "large files": "moto keeps objects in memory and is slow above some 100 MiB",
        "multipart conditions": "moto ignores If-Match of CompleteMultipartUpload",
        "copy conditions": "moto ignores the conditions of CopyObject",
        "delete conditions": "moto ignores ETags inside DeleteObjects",
        "control characters": "moto answers 404 for a key with a newline",
        "faults": "moto injects no faults",
    }

    def command(self):
        return [os.path.join(venv(), "bin", "moto_server"), "-H", "127.0.0.1", "-p", str(self.port)]

    def environment(self):
        # moto must not reach for real credentials or a real endpoint, whatever it emulates.
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        env.update(AWS_ACCESS_KEY_ID="x", AWS_SECRET_ACCESS_KEY="x", AWS_EC2_METADATA_DISABLED="true")
        return env


class Versitygw(Server):
    name = "versitygw"
    lacks = {
        "a beside a/b": "versitygw answers 409 for a key `a` beside `a/b`",
        "body of a marker": "versitygw answers 400 for a directory marker with a body",
        "component over 255 bytes": "versitygw keeps objects as files: a component over 255 bytes is a 400",
        "odd components": "versitygw normalises empty components, `.` and `..`",
        "control characters": "versitygw lists control characters as U+FFFD",
        "copy of a marker": "versitygw answers 400 for CopyObject of a directory marker",
        "metadata replaced by a copy": "versitygw keeps Cache-Control and the like on a copy with REPLACE",
        "acl": "versitygw answers 501 for PutObjectAcl",
        "copy conditions": "versitygw ignores the destination conditions of CopyObject",
        "delete conditions": "versitygw ignores ETags inside DeleteObjects",
        "metadata over 2 KB": "versitygw refuses it, as S3 does",
        "ssm": "versitygw has no Parameter Store",
        "faults": "versitygw injects no faults",
    }

    @property
    def data(self):
        return os.path.join(self.directory, "data")

    @property
    def access_log(self):
        return os.path.join(self.directory, "access.log")

    def command(self):
        os.makedirs(self.data, exist_ok=True)
        return [versitygw_program(), "--port", "127.0.0.1:%d" % self.port, "--access", ACCESS, "--secret", SECRET, "--keep-alive",
                "--quiet", "--access-log", self.access_log, "posix", self.data]

    def _answers(self):
        return super()._answers() and self.process.poll() is None


class Origin(Server):
    """tests/origin, told by its control endpoint to count, to be late, to lie and to fail."""

    name = "origin"

    def __init__(self, directory, program):
        super().__init__(directory)
        self.program = program

    def command(self):
        return [self.program, "--port", str(self.port)]

    def environment(self):
        return sanitizer_environment(self.name)

    def _answers(self):
        try:
            self.control("GET", "counts")
        except OSError:
            return False
        return True

    def control(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.endpoint + "/-/" + path, data=data, method=method)
        with urllib.request.urlopen(request, timeout=30) as reply:
            text = reply.read()
        return json.loads(text) if text.strip() else None

    def counts(self):
        return self.control("GET", "counts")

    def requests(self):
        """Requests by kind since the last reset, without those that were not sent at all."""
        return {kind: n for kind, n in self.counts()["by_kind"].items() if n}

    def log(self):
        return self.control("GET", "log")

    def reset_counts(self):
        self.control("POST", "counts/reset", {})

    def fault(self, action, kind="*", key="*", count=-1, skip=0):
        self.control("POST", "faults", {"kind": kind, "key": key, "count": count, "skip": skip, "action": action})

    def clear_faults(self):
        self.control("DELETE", "faults")

    def release(self):
        """Ends what hangs; faults stay for later requests unless cleared."""
        self.control("POST", "release", {})

    def heal(self):
        self.clear_faults()
        self.clear_network()
        self.parameters(gets_per_s=40, others_per_s=0, burst=0, update_ms=0, empty_every=0, max_standard=10000, deny=[], keys={})
        self.release()

    def synthetic(self, **what):
        self.control("POST", "synthetic", what)

    def family(self, bucket, family):
        """Keys that the server computes (support.families)."""
        self.control("POST", "families", {"bucket": bucket, **family.rule()})

    def network(self, **values):
        """Latency, bandwidth and rates from now on, beside those set before."""
        self.control("POST", "network", values)

    def clear_network(self):
        self.control("DELETE", "network")

    def parameters(self, **settings):
        """Rates, permissions and keys of the Parameter Store."""
        self.control("POST", "parameters/settings", settings)

    def fill_parameters(self, prefix, count, **more):
        """prefix000000 and so on, with values "value 0" and so on."""
        self.control("POST", "parameters", {"prefix": prefix, "count": count, **more})

    def ranges(self):
        """By bucket/key, which bytes were asked for since the last reset of the counts."""
        return self.control("GET", "ranges")

    def create_directory(self, bucket):
        """A directory bucket, which boto3 would ask a control endpoint for."""
        urllib.request.urlopen(urllib.request.Request(self.endpoint + "/" + bucket, method="PUT"), timeout=10).close()

    def expire_sessions(self):
        self.control("POST", "sessions/expire", {})

    def settings(self, **values):
        self.control("POST", "settings", values)


def venv():
    if "AWSFS_VENV" not in os.environ:
        os.environ["AWSFS_VENV"] = setup("venv")
    return os.environ["AWSFS_VENV"]


def versitygw_program():
    if "AWSFS_VERSITYGW" not in os.environ:
        os.environ["AWSFS_VERSITYGW"] = setup("versitygw")
    return os.environ["AWSFS_VERSITYGW"]


def setup(*what):
    """The path that packaging/setup tells of what it has made."""
    here = os.path.dirname(os.path.abspath(__file__))
    return subprocess.check_output([os.path.join(here, "..", "..", "..", "packaging", "setup"), *what], text=True).strip()


def sanitizer_environment(who):
    """An environment in which sanitizers write their reports to a file named after `who`."""
    env = dict(os.environ)
    directory = env.get("AWSFS_SANITIZER_DIR")
    if directory:
        path = os.path.join(directory, who)
        for variable in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS"):
            env[variable] = ":".join(filter(None, [env.get(variable), "log_path=" + path]))
    return env


def have(program):
    return shutil.which(program) is not None
