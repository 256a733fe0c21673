"""awsfs as a person runs it, from a shell."""
import os
import signal
import subprocess

from support import mounts, servers
from support.work import has_ended, wait_until


class Cli:
    """awsfs as a person runs it: in the background unless told otherwise."""

    def __init__(self, directory, endpoint, who):
        self.who = who
        self.mnt = directory / "mnt"
        self.mnt.mkdir()
        self.directory = directory
        self.base = ["region=" + servers.REGION, "state=%s" % (directory / "state"), "cache=%s" % (directory / "cache"),
                     "log=%s" % (directory / "log")]
        self.endpoint = endpoint

    def environment(self, extra=None):
        return mounts.environment(self.who, extra)

    def run(self, *arguments, env=None, timeout=60, **how):
        return subprocess.run([mounts.program(), *map(str, arguments)], capture_output=True, text=True, timeout=timeout,
                              env=self.environment(env), check=False, **how)

    def mount(self, source, *options, env=None, endpoint=True, timeout=60, **how):
        chosen = self.base + (["endpoint=" + self.endpoint] if endpoint else []) + list(options)
        return self.run(source, self.mnt, "-o", ",".join(chosen), env=env, timeout=timeout, **how)

    def daemon(self):
        """The pid of the background daemon of this mount point."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open("/proc/%s/cmdline" % pid, "rb") as f:
                    words = f.read().split(b"\0")
            except OSError:
                continue
            if str(self.mnt).encode() in words and b"awsfs" in words[0]:
                return int(pid)
        return None

    def kill(self):
        """SIGKILL to the daemon; returns when nobody answers at its sockets any more."""
        pid = self.daemon()
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: has_ended(pid), what="the end of the daemon")

    def close(self):
        if mounts.mounted(self.mnt):
            subprocess.run(["fusermount3", "-u", "-z", self.mnt], check=False)
        try:
            wait_until(lambda: self.daemon() is None, 30, "the end of the daemon")
        finally:
            if self.daemon():
                os.kill(self.daemon(), signal.SIGKILL)
        assert not mounts.sanitizer_reports(self.who)


def one_line(result):
    assert result.returncode != 0, result
    lines = [line for line in result.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, result.stderr
    return lines[0]
