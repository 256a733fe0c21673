"""The tools: how each is mounted, and which process is its daemon. A tool that is not on the machine is left out."""
import json
import os
import re
import shutil
import signal
import subprocess
import time

from measure import JobFailed
from support import servers
from support.mounts import mounted

START_SECONDS = 30
END_SECONDS = 60
POLL_SECONDS = 0.2  # each asks by a program of its own, which takes processor time that is being measured


class Tool:
    """One file system under test. A mount is a process in the foreground, with a cache directory that a remount keeps."""

    name = "?"
    # Rows that it is known not to finish, each with what is shown instead.
    gives_up = {}

    def __init__(self, server, directory, program=None):
        self.server = server
        self.program = program or self.find()
        self.directory = os.path.join(directory, self.name)
        self.mountpoint = os.path.join(self.directory, "mnt")
        self.cache = os.path.join(self.directory, "cache")
        self.state = os.path.join(self.directory, "state")
        self.process = None

    @classmethod
    def find(cls):
        return shutil.which(cls.name, path=os.environ.get("PATH", "") + ":" + peers_directory())

    def version(self):
        result = subprocess.run([self.program, "--version"], capture_output=True, text=True, check=False)
        number = re.search(r"\d+(\.\d+)+", result.stdout + result.stderr)
        return "%s %s" % (self.name, number.group(0) if number else "?")

    def command(self, bucket):
        raise NotImplementedError

    def environment(self):
        env = {k: v for k, v in os.environ.items() if not k.startswith("AWS_")}
        return {**env, "AWS_ACCESS_KEY_ID": servers.ACCESS, "AWS_SECRET_ACCESS_KEY": servers.SECRET, "AWS_REGION": servers.REGION,
                "AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}

    def background(self, bucket):
        """The command of a mount in the background, which returns when the mount serves."""
        raise JobFailed("no such cache")

    def wait_idle(self, timeout):
        """Until nothing is left to do in the background, where the tool tells."""

    def syncs(self):
        """How often the journal was synced so far, where the tool tells."""
        return 0

    def finish(self):
        """Until what was written is in S3, where the tool has a word for that."""

    def left_out(self):
        """Bytes that were read and are not in the cache, where the tool tells."""
        return 0

    @property
    def pid(self):
        return self.process.pid if self.process else None

    def mount(self, bucket, fresh=True):
        """Mounts; with `fresh`, nothing of an earlier mount is left."""
        self.make_directories(fresh)
        with open(os.path.join(self.directory, "output"), "ab") as output:
            self.process = subprocess.Popen(self.command(bucket), stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                            env=self.environment())
        deadline = time.monotonic() + START_SECONDS
        while not mounted(self.mountpoint):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.unmount()
                raise JobFailed("no mount: " + self._last_words())
            time.sleep(0.02)

    def make_directories(self, fresh):
        if fresh:
            shutil.rmtree(self.directory, ignore_errors=True)
        for path in (self.mountpoint, self.cache, self.state):
            os.makedirs(path, exist_ok=True)

    def _last_words(self):
        with open(os.path.join(self.directory, "output"), encoding="utf-8", errors="replace") as output:
            return (output.read().strip().splitlines() or ["?"])[-1][-100:]

    def unmount(self):
        """Unmounts and waits for the daemon; by force where it does not end."""
        deadline = time.monotonic() + END_SECONDS
        while mounted(self.mountpoint) and time.monotonic() < deadline:
            if subprocess.run(["fusermount3", "-u", self.mountpoint], capture_output=True, check=False).returncode:
                time.sleep(0.1)
        if mounted(self.mountpoint):
            subprocess.run(["fusermount3", "-u", "-z", self.mountpoint], capture_output=True, check=False)
        if self.process:
            try:
                self.process.wait(max(1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGKILL)
                self.process.wait()
        self.process = None

    def close(self):
        self.unmount()
        shutil.rmtree(self.directory, ignore_errors=True)


class Awsfs(Tool):
    name = "awsfs"

    def background(self, bucket):
        return [self.program, "s3://" + bucket, self.mountpoint, "-o", "endpoint=%s,region=%s,state=%s,cache=%s,log=%s" % (
            self.server.endpoint, servers.REGION, self.state, self.cache, os.path.join(self.directory, "log"))]

    def command(self, bucket):
        return self.background(bucket) + ["-f"]

    def wait_idle(self, timeout):
        deadline = time.monotonic() + timeout
        while self._cache().get("pending", 0):
            if time.monotonic() > deadline:
                raise JobFailed("not idle after %d s" % timeout)
            time.sleep(POLL_SECONDS)

    def _status(self, member):
        said = subprocess.run([self.program, "status", "--json", self.mountpoint], capture_output=True, text=True, check=True).stdout
        return json.loads(said).get(member, {})

    def _cache(self):
        return self._status("cache")

    def syncs(self):
        return self._status("write_back").get("journal_syncs", 0)

    def finish(self):
        done = subprocess.run([self.program, "flush", self.mountpoint], capture_output=True, text=True, check=False)
        if done.returncode:
            raise JobFailed("flush: " + done.stderr.strip())

    def left_out(self):
        return self._cache().get("bytes_dropped", 0)

    def variant(self, option):
        """The same with another option, in directories of its own."""
        other = Awsfs(self.server, self.directory + " " + option, self.program)
        plain = other.background
        other.background = lambda bucket: plain(bucket) + ["-o", option]
        return other


class S3fs(Tool):
    name = "s3fs"
    gives_up = {"million": "hours, a HEAD each", "million-again": "hours"}

    def command(self, bucket):
        return [self.program, bucket, self.mountpoint, "-f", "-o", "url=%s,endpoint=%s,use_path_request_style,use_cache=%s" % (
            self.server.endpoint, servers.REGION, self.cache)]


class Rclone(Tool):
    name = "rclone"
    gives_up = {"million": "hours, a HEAD each", "million-again": "hours, a HEAD each"}

    def command(self, bucket):
        return [self.program, "mount", ":s3:" + bucket, self.mountpoint, "--config", os.devnull, "--vfs-cache-mode", "full",
                "--cache-dir", self.cache, "--s3-provider", "Other", "--s3-endpoint", self.server.endpoint, "--s3-region",
                servers.REGION, "--s3-env-auth", "--s3-force-path-style"]


class Goofys(Tool):
    name = "goofys"

    def command(self, bucket):
        return [self.program, "-f", "--endpoint", self.server.endpoint, "--region", servers.REGION, bucket, self.mountpoint]


class Geesefs(Tool):
    name = "geesefs"

    def command(self, bucket):
        return [self.program, "-f", "--endpoint", self.server.endpoint, "--region", servers.REGION, "--cache", self.cache, bucket,
                self.mountpoint]


class MountS3(Tool):
    name = "mount-s3"

    def command(self, bucket):
        return [self.program, bucket, self.mountpoint, "-f", "--endpoint-url", self.server.endpoint, "--region", servers.REGION,
                "--force-path-style", "--cache", self.cache, "--allow-delete", "--allow-overwrite"]


PEERS = [S3fs, Goofys, Geesefs, MountS3, Rclone]


def peers_directory():
    """Where tests/bench/peers puts what it has built."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(os.environ.get("AWSFS_DEV_CACHE") or os.path.join(home, "awsfs-dev"), "peers")
