"""A home directory and an environment of its own for each test, and what awsfs and botocore choose in them."""
import pytest

import cloud as clouds
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


@pytest.fixture(scope="session")
def clouds_of_session(tmp_path_factory):
    ca, chain = clouds.make_certificates(tmp_path_factory.mktemp("certificates"))
    both = clouds.Cloud(), clouds.Cloud(chain)
    yield (*both, ca)
    for one in both:
        one.close()


@pytest.fixture
def cloud(clouds_of_session, sandbox):
    """STS, SSO and the like over plain HTTP; the sandbox's environment leads there."""
    one = clouds_of_session[0]
    one.reset()
    sandbox.env.update(one.environment(), AWS_DEFAULT_REGION="eu-west-1")
    return one


@pytest.fixture
def tls_cloud(clouds_of_session, sandbox):
    """The same over TLS, with a certificate authority of its own that the environment names."""
    _, one, ca = clouds_of_session
    one.reset()
    sandbox.env.update(one.environment(), AWS_DEFAULT_REGION="eu-west-1", AWS_CA_BUNDLE=ca)
    return one
