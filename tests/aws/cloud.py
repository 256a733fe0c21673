"""What hands out credentials, on the loopback: STS, IAM Identity Center (portal and OIDC), sign-in, a container's endpoint, the
instance metadata.

What it gives is made from what it was asked, so that whoever asks for the same gets the same."""
import base64
import datetime
import hashlib
import http.server
import json
import re
import ssl
import subprocess
import threading
import urllib.parse

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

SSO_TOKEN = "sso-access-token-MARKER"


def digest(*parts):
    return hashlib.sha1("|".join(map(str, parts)).encode()).hexdigest()[:16].upper()


def later(seconds):
    when = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")


def keys(*parts):
    """(access key, secret, token)"""
    name = digest(*parts)
    return "ASIA" + name, "secret-MARKER-" + name, "token-MARKER-" + name


def decode64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def encode64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def check_proof(proof, url):
    """Raises where the DPoP proof is not one for a POST of that URL; returns its key."""
    head, payload, signature = proof.split(".")
    header, claims = json.loads(decode64(head)), json.loads(decode64(payload))
    assert header["typ"] == "dpop+jwt" and header["alg"] == "ES256" and header["jwk"]["crv"] == "P-256"
    assert claims["htm"] == "POST" and claims["htu"] == url and len(claims["jti"]) == 36, claims
    assert abs(claims["iat"] - datetime.datetime.now().timestamp()) < 60
    x, y, raw = decode64(header["jwk"]["x"]), decode64(header["jwk"]["y"]), decode64(signature)
    assert len(x) == len(y) == 32 and len(raw) == 64
    key = ec.EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), ec.SECP256R1()).public_key()
    der = utils.encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    key.verify(der, ("%s.%s" % (head, payload)).encode(), ec.ECDSA(hashes.SHA256()))
    return header["jwk"]


def make_certificates(directory):
    """A certificate authority and what it signed for the loopback: (CA's file, chain with key)."""
    directory.mkdir(parents=True, exist_ok=True)
    ca, key, request, chain = (str(directory / n) for n in ("ca.pem", "key.pem", "request.pem", "chain.pem"))
    extensions = directory / "extensions"
    extensions.write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")

    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *new, "-keyout", ca + ".key", "-out", ca, "-days", "2", "-subj", "/CN=awsfs test CA")
    openssl("req", *new, "-keyout", key, "-out", request, "-subj", "/CN=localhost")
    openssl("x509", "-req", "-in", request, "-CA", ca, "-CAkey", ca + ".key", "-CAcreateserial", "-days", "2",
            "-extfile", str(extensions), "-out", chain)
    with open(chain, "a", encoding="ascii") as out, open(key, encoding="ascii") as text:
        out.write(text.read())
    return ca, chain


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        path, _, query = self.path.partition("?")
        self.server.cloud.seen.append((self.command, path, query, dict(self.headers), body))
        status, reply = self.server.cloud.reply(self, path, urllib.parse.parse_qs(query), body)
        self.answer(status, reply)

    do_GET = do_POST = do_PUT = handle_one


class Cloud:
    """`failing` maps a path to (status, body) instead of its answer; `lasts` is how long what is handed out holds, in seconds."""

    def __init__(self, chain=None):
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.cloud = self
        if chain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        self.url = "%s://127.0.0.1:%d" % ("https" if chain else "http", self.http.server_port)
        self.reset()
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def reset(self):
        self.seen = []
        self.failing = {}
        self.lasts = 3600
        self.authorization = None  # what the container's endpoint demands
        self.login_key = None      # the public point that sign-in demands

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def count(self, path):
        return sum(1 for request in self.seen if request[1] == path)

    def environment(self):
        return {"AWS_ENDPOINT_URL_" + name: self.url for name in ("STS", "SSO", "SSO_OIDC", "SIGNIN")}

    def reply(self, request, path, query, body):
        if path in self.failing:
            return self.failing[path]
        if path == "/":
            return self.sts(request.headers, dict(urllib.parse.parse_qsl(body)))
        if path == "/federation/credentials":
            return self.portal(request.headers, query)
        if path == "/token":
            return self.oidc(json.loads(body))
        if path == "/v1/token":
            return self.sign_in(request.headers, json.loads(body))
        if path.startswith("/imds/"):
            return self.imds(request.headers, path)
        if path.startswith("/container"):
            return self.container(request.headers, path)
        return 404, ""

    def sts(self, headers, form):
        action = form["Action"]
        signer = re.search("Credential=([^/]+)/", headers.get("Authorization", ""))
        assert bool(signer) == (action == "AssumeRole")
        name = form["RoleSessionName"]
        access, secret, token = keys(
            action, form["RoleArn"], "-" if re.search(r"-session-\d+$", name) else name, form.get("ExternalId"),
            form.get("DurationSeconds"), form.get("WebIdentityToken"), signer and signer.group(1),
            headers.get("X-Amz-Security-Token"))
        return 200, (
            '<%sResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><%sResult><Credentials><AccessKeyId>%s'
            "</AccessKeyId><SecretAccessKey>%s</SecretAccessKey><SessionToken>%s</SessionToken><Expiration>%s</Expiration>"
            "</Credentials><AssumedRoleUser><AssumedRoleId>x:y</AssumedRoleId><Arn>arn:aws:sts::123456789012:assumed-role/"
            "r/s</Arn></AssumedRoleUser></%sResult></%sResponse>" %
            (action, action, access, secret, token, later(self.lasts), action, action))

    def portal(self, headers, query):
        if not headers.get("x-amz-sso_bearer_token", "").startswith(SSO_TOKEN):
            return 401, {"message": "Session token not found or invalid"}
        access, secret, token = keys("sso", query["role_name"], query["account_id"], headers["x-amz-sso_bearer_token"])
        return 200, {"roleCredentials": {
            "accessKeyId": access, "secretAccessKey": secret, "sessionToken": token,
            "expiration": int((datetime.datetime.now().timestamp() + self.lasts) * 1000)}}

    def oidc(self, request):
        assert request["grantType"] == "refresh_token" and request["clientId"] and request["clientSecret"]
        if request["refreshToken"] != "refresh-MARKER":
            return 400, {"error": "invalid_grant"}
        return 200, {"accessToken": SSO_TOKEN + "-refreshed", "expiresIn": 28800, "refreshToken": "refresh-MARKER-2",
                     "tokenType": "Bearer"}

    def sign_in(self, headers, request):
        jwk = check_proof(headers["DPoP"], self.url + "/v1/token")
        assert request["grantType"] == "refresh_token" and request["clientId"] == "arn:aws:signin:::devtools/same-device"
        if request["refreshToken"] != "refresh-MARKER" or (jwk["x"], jwk["y"]) != self.login_key:
            return 400, {"error": "TOKEN_EXPIRED"}
        access, secret, token = keys("login")
        return 200, {"accessToken": {"accessKeyId": access, "secretAccessKey": secret, "sessionToken": token},
                     "tokenType": "aws_sigv4", "expiresIn": 900, "refreshToken": "refresh-MARKER-2"}

    def imds(self, headers, path):
        role = "/imds/latest/meta-data/iam/security-credentials/"
        if path == "/imds/latest/api/token":
            return 200, "imds-token"
        if headers.get("X-aws-ec2-metadata-token") != "imds-token":
            return 401, ""
        access, secret, token = keys("imds")
        return {role: (200, "my-role"),
                role + "my-role": (200, {"Code": "Success", "AccessKeyId": access, "SecretAccessKey": secret, "Token": token,
                                         "Expiration": later(self.lasts)})}.get(path, (404, ""))

    def container(self, headers, path):
        if headers.get("Authorization") != self.authorization:
            return 403, {"code": "AccessDenied"}
        access, secret, token = keys("container", path)
        return 200, {"AccessKeyId": access, "SecretAccessKey": secret, "Token": token, "Expiration": later(self.lasts)}
