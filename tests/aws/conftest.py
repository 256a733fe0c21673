"""A home directory and an environment of its own for each test, and what awsfs and botocore choose in them."""
import pytest

from sandbox import Sandbox
from support import servers


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    return Sandbox(tmp_path / "home", monkeypatch)


@pytest.fixture(scope="session")
def moto(tmp_path_factory):
    server = servers.Moto(tmp_path_factory.mktemp("moto")).start()
    yield server
    server.stop()
