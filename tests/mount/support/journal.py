"""awsfs journal, as a person uses it."""
import json
import subprocess

from . import mounts, servers


class Journal:
    """awsfs journal for the state directory of one mount."""

    def __init__(self, disk):
        self.disk = disk

    def __call__(self, *arguments, status=0, options=""):
        result = subprocess.run([mounts.program(), "journal", *arguments, "-o", "state=%s%s" % (self.disk.state, options)],
                                capture_output=True, text=True, timeout=60, env=mounts.environment("journal"), check=False)
        assert result.returncode == status, (result.returncode, result.stdout, result.stderr)
        assert servers.SECRET not in result.stdout + result.stderr
        assert not mounts.sanitizer_reports("journal")
        return result.stdout if status == 0 else result.stderr

    def entries(self, kind=None, where=None):
        found = json.loads(self("list", *([where] if where else []), "--json"))
        return [entry for entry in found if kind in (None, entry["kind"])]

    def one(self, kind):
        entry, = self.entries(kind)
        return entry
