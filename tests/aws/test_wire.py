"""What is sent to AWS's own hosts, seen by a proxy that stands in for all of them with a certificate of its own.

The proxy and the certificate come from HTTPS_PROXY and AWS_CA_BUNDLE, which are so tested as well."""
import hashlib
import hmac
import os
import re
import socket
import ssl
import subprocess
import threading

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

KEY, SECRET = "AKIDWIRE", "wire-secret"
EMPTY = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code><Message>told to</Message></Error>"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


class Aws:
    """Answers CONNECT, then as the host that was asked for; `requests` are (host, request line, headers)."""

    def __init__(self, directory):
        self.certificate = str(directory / "certificate.pem")
        key = str(directory / "key.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", key, "-out", self.certificate, "-days", "2", "-subj", "/CN=test", "-addext",
                        "subjectAltName=DNS:*.amazonaws.com,DNS:*.s3.eu-west-1.amazonaws.com,"
                        "DNS:*.accesspoint.s3-global.amazonaws.com,DNS:*.mrap.accesspoint.s3-global.amazonaws.com,"
                        "DNS:*.s3-accesspoint.eu-west-1.amazonaws.com,DNS:*.s3express-euw1-az1.eu-west-1.amazonaws.com"],
                       check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(self.certificate, key)
        self.requests = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = "http://127.0.0.1:%d" % self.listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    @staticmethod
    def _head(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(4096)
            if not piece:
                return None, {}
            data += piece
        lines = data.decode().split("\r\n\r\n")[0].split("\r\n")
        return lines[0], {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}

    def _serve(self, connection):
        try:
            line, _ = self._head(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            with self.tls.wrap_socket(connection, server_side=True) as inner:
                request, headers = self._head(inner)
                while request:
                    self.requests.append((line.split()[1], request, headers))
                    inner.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: %d\r\n\r\n%s" % (len(EMPTY), EMPTY))
                    request, headers = self._head(inner)
        except OSError:
            pass

    def close(self):
        self.listener.close()


@pytest.fixture
def aws(tmp_path):
    server = Aws(tmp_path)
    yield server
    server.close()


@pytest.fixture
def first_request(aws, sandbox, tmp_path):
    """first_request(source): what a mount asks first. It is refused, so nothing is mounted."""
    def ask(source, *options):
        (tmp_path / "mnt").mkdir(exist_ok=True)
        sandbox.env.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="eu-west-1", HTTPS_PROXY=aws.url,
                           AWS_CA_BUNDLE=aws.certificate)
        result = subprocess.run([os.environ["AWSFS_BIN"], source, str(tmp_path / "mnt"), "-f", "-o",
                                 ",".join(("log=stderr", "cache=none", "timeout=5", "state=%s" % (tmp_path / "state")) + options)],
                                env={**sandbox.env, **sandbox.sanitizer}, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode != 0 and "AccessDenied" in result.stderr, result.stderr
        assert SECRET not in result.stderr
        return aws.requests[0]
    return ask


def canonical(request, headers):
    """The canonical request of one without body whose query needs no further encoding."""
    method, target, _ = request.split(" ")
    path, _, query = target.partition("?")
    names = re.search("SignedHeaders=([^,]+)", headers["authorization"]).group(1)
    pairs = "&".join(sorted(p if "=" in p else p + "=" for p in query.split("&") if p))
    lines = "".join("%s:%s\n" % (name, headers[name]) for name in names.split(";"))
    return "\n".join((method, path, pairs, lines, names, headers["x-amz-content-sha256"]))


def text_to_sign(algorithm, scope, request, headers):
    digest = hashlib.sha256(canonical(request, headers).encode()).hexdigest()
    return "\n".join((algorithm, headers["x-amz-date"], scope, digest)).encode()


def signature_v4(date, region, service, text):
    key = ("AWS4" + SECRET).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.new(key, part.encode(), hashlib.sha256).digest()
    return hmac.new(key, text, hashlib.sha256).hexdigest()


def key_v4a():
    """By the integers' own arithmetic, for one access key whose first candidate will do."""
    text = b"\0\0\0\1AWS4-ECDSA-P256-SHA256\0" + KEY.encode() + b"\1" + b"\0\0\1\0"
    number = int.from_bytes(hmac.new(("AWS4A" + SECRET).encode(), text, hashlib.sha256).digest(), "big")
    assert number <= ORDER - 2
    return ec.derive_private_key(number + 1, ec.SECP256R1()).public_key()


PLACES = [
    ("s3://my-bucket", "my-bucket.s3.eu-west-1.amazonaws.com", "s3"),
    ("s3://arn:aws:s3:eu-west-1:123456789012:accesspoint/my-ap/p", "my-ap-123456789012.s3-accesspoint.eu-west-1.amazonaws.com", "s3"),
    ("s3://bkt--euw1-az1--x-s3", "bkt--euw1-az1--x-s3.s3express-euw1-az1.eu-west-1.amazonaws.com", "s3express"),
]


@pytest.mark.parametrize("source, host, service", PLACES)
def test_the_host_is_asked_with_a_signature_that_verifies(first_request, source, host, service):
    place, request, headers = first_request(source)
    assert (place, headers["host"]) == (host + ":443", host)
    date = headers["x-amz-date"][:8]
    scope = "%s/eu-west-1/%s/aws4_request" % (date, service)
    assert "AWS4-HMAC-SHA256 Credential=%s/%s," % (KEY, scope) in headers["authorization"]
    text = text_to_sign("AWS4-HMAC-SHA256", scope, request, headers)
    assert headers["authorization"].endswith("Signature=" + signature_v4(date, "eu-west-1", service, text))
    assert ("?session" in request) == (service == "s3express")


def test_a_multi_region_access_point_is_asked_with_a_signature_for_all_regions(first_request):
    place, request, headers = first_request("s3://arn:aws:s3::123456789012:accesspoint/mfzwi23gnjvgw.mrap/prefix")
    assert place == "mfzwi23gnjvgw.mrap.accesspoint.s3-global.amazonaws.com:443"
    assert headers["x-amz-region-set"] == "*"
    scope = headers["x-amz-date"][:8] + "/s3/aws4_request"
    begins = "AWS4-ECDSA-P256-SHA256 Credential=%s/%s, SignedHeaders=" % (KEY, scope)
    assert headers["authorization"].startswith(begins)
    assert "x-amz-region-set" in headers["authorization"]
    signature = bytes.fromhex(headers["authorization"].rsplit("Signature=", 1)[1])
    # Raises where it does not verify.
    key_v4a().verify(signature, text_to_sign("AWS4-ECDSA-P256-SHA256", scope, request, headers), ec.ECDSA(hashes.SHA256()))


def test_a_certificate_that_is_not_trusted_is_an_error(aws, sandbox, tmp_path):
    (tmp_path / "mnt").mkdir()
    sandbox.env.update(AWS_ACCESS_KEY_ID=KEY, AWS_SECRET_ACCESS_KEY=SECRET, AWS_REGION="eu-west-1", HTTPS_PROXY=aws.url)
    result = subprocess.run([os.environ["AWSFS_BIN"], "s3://my-bucket", str(tmp_path / "mnt"), "-f", "-o", "log=stderr,timeout=20"],
                            env={**sandbox.env, **sandbox.sanitizer}, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode != 0 and "certificate" in result.stderr.lower()
    assert not aws.requests
