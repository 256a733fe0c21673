"""One set-up of environment and files, seen by awsfs (tests/aws/resolve.c) and by botocore."""
import hashlib
import json
import os
import subprocess

import botocore.credentials
import botocore.session
import botocore.tokens

from support.servers import sanitizer_environment

KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


def sha256(text):
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


def program():
    path = os.environ.get("AWSFS_RESOLVE", "")
    if not os.path.exists(path):
        raise RuntimeError("AWSFS_RESOLVE must name the built awsfs-resolve (tests/run sets it); it is %r" % path)
    return path


class Sandbox:
    """`env` is the environment of both, without a variable of the person who runs the tests. IMDS is switched off."""

    def __init__(self, home, monkeypatch):
        self.home = home
        self.monkeypatch = monkeypatch
        home.mkdir()
        self.program = program()
        self.sanitizer = {k: v for k, v in sanitizer_environment("resolve").items() if k.endswith("SAN_OPTIONS")}
        self.env = {k: os.environ[k] for k in KEPT if k in os.environ}
        self.env.update(HOME=str(home), AWS_EC2_METADATA_DISABLED="true")

    def write(self, path, text):
        """A file below the home directory; returns where it is."""
        file = self.home / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(0o600)
        return str(file)

    def run(self, *arguments):
        """The program's result: exit status, standard output and error. It logs all it can, and what is secret in any test has
        MARKER in it: that is never shown."""
        env = {**self.env, **self.sanitizer, "AWSFS_RESOLVE_DEBUG": "1"}
        result = subprocess.run([self.program, *arguments], env=env, capture_output=True, text=True, timeout=60, check=False)
        assert "MARKER" not in result.stdout + result.stderr
        return result

    def awsfs(self, *arguments):
        """{"credentials": {...}, "client": {...}} as tests/aws/resolve.c says."""
        result = self.run(*arguments)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def session(self, profile=None):
        """A botocore session in this set-up. os.environ is that of the set-up until the test ends."""
        for name in set(os.environ) - set(self.env):
            self.monkeypatch.delenv(name)
        for name, value in self.env.items():
            self.monkeypatch.setenv(name, value)
        # Evaluated when botocore was imported, with another HOME.
        sso = str(self.home / ".aws/sso/cache")
        self.monkeypatch.setattr(botocore.credentials.SSOProvider, "_SSO_TOKEN_CACHE_DIR", sso)
        self.monkeypatch.setattr(botocore.tokens.SSOTokenProvider, "_SSO_TOKEN_CACHE_DIR", sso)
        return botocore.session.Session(profile=profile)

    def botocore(self, profile=None):
        """What botocore chooses: (key, SHA-256 of the secret, SHA-256 of the token), None for nothing, or its error."""
        try:
            found = self.session(profile).get_credentials()
            frozen = found.get_frozen_credentials() if found else None
        except Exception as error:  # whatever it raises is its answer
            return error
        return (frozen.access_key, sha256(frozen.secret_key), sha256(frozen.token or None)) if frozen else None

    def chosen(self, profile=None):
        """What awsfs chooses, in the same form; a string is its error."""
        found = self.awsfs(*(["--profile", profile] if profile else []))["credentials"]
        if found["error"]:
            return found["error"]
        return found["access_key_id"], found["secret_sha256"], found["token_sha256"]
