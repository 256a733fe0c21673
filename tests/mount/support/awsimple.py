"""AWSimple from PyPI, in an environment of its own: what its users' programs do beside a mount."""
import functools
import json
import os
import pathlib
import subprocess

import pytest

from . import servers

HERE = pathlib.Path(__file__).parent
VERSIONS = ["8", "7"]

# Run there: calls of S3Access as [name, argument, ...] in argv, their results as JSON.
PROGRAM = """
import json, os, pathlib, sys
from awsimple import S3Access
bucket, cache, calls = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
access = S3Access(bucket, aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key=os.environ["AWS_SECRET_ACCESS_KEY"],
                  region_name=os.environ["AWS_DEFAULT_REGION"], cache_dir=pathlib.Path(cache))
def given(argument):
    return pathlib.Path(argument) if argument.startswith("/") else argument
def plain(result):
    return result if result is None or isinstance(result, (bool, str)) else dict(vars(result))
print(json.dumps([plain(getattr(access, call[0])(*map(given, call[1:]))) for call in calls], default=str))
"""


@functools.lru_cache(maxsize=None)
def python_of(version):
    try:
        environment = servers.setup("venv", HERE / ("awsimple-%s.txt" % version))
    except subprocess.CalledProcessError:
        environment = None
    return environment and os.path.join(environment, "bin", "python")


class AWSimple:
    def __init__(self, version, witness, directory):
        self.version, self.witness = version, witness
        self.python = python_of(version)
        if not self.python:
            pytest.skip("AWSimple %s could not be installed from PyPI: nothing is known of how it gets on with awsfs" % version)
        self.cache = directory / "awsimple-cache"

    def __call__(self, *calls):
        """Makes the calls in one process; their results."""
        env = dict(os.environ, AWS_ENDPOINT_URL=self.witness.server.endpoint, AWS_ACCESS_KEY_ID=servers.ACCESS,
                   AWS_SECRET_ACCESS_KEY=servers.SECRET, AWS_DEFAULT_REGION=servers.REGION, AWS_EC2_METADATA_DISABLED="true",
                   AWS_CONFIG_FILE="/dev/null", AWS_SHARED_CREDENTIALS_FILE="/dev/null")
        arguments = json.dumps([[str(a) for a in call] for call in calls])
        result = subprocess.run([self.python, "-c", PROGRAM, self.witness.name, self.cache, arguments], env=env, capture_output=True,
                                text=True, timeout=150, check=False)
        assert result.returncode == 0, result.stderr[-3000:]
        return json.loads(result.stdout)

    def cached(self):
        return sorted(p.name for p in self.cache.iterdir()) if self.cache.exists() else []
