"""One run of awsfs check, and a mount that is used as people use it, to compare."""
import json
import os
import subprocess

from . import mounts, servers


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
