"""Short-lived keys: an endpoint that hands them out, and a gate before an S3 server that lets only those through that hold."""
import datetime
import http.client
import http.server
import json
import re
import threading
import time

MARKER = "MARKER-of-a-secret"


ASSUMED = """<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>
<AccessKeyId>%(AccessKeyId)s</AccessKeyId><SecretAccessKey>%(SecretAccessKey)s</SecretAccessKey>
<SessionToken>%(Token)s</SessionToken><Expiration>%(Expiration)s</Expiration>
</Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        keys = self.server.keys
        if self.path == "/keys":
            self.answer(200, [], json.dumps(keys.give()).encode())
            return
        if body.startswith(b"Action=AssumeRoleWithWebIdentity&") and MARKER.encode() in body:
            self.answer(200, [], (ASSUMED % keys.give()).encode())
            return
        refusal = keys.check(self.headers)
        if refusal:
            self.answer(403, [], ("<Error><Code>%s</Code><Message>refused</Message></Error>" % refusal).encode())
            return
        upstream = http.client.HTTPConnection("127.0.0.1", keys.port, timeout=60)
        upstream.request(self.command, self.path, body, dict(self.headers))
        reply = upstream.getresponse()
        data = reply.read()
        dropped = {"connection", "transfer-encoding", "server", "date"}
        self.answer(reply.status, [h for h in reply.getheaders() if h[0].lower() not in dropped], data)
        upstream.close()

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_one


class Keys:
    """`given` are the keys that were handed out, `used` those that came with a request that was let through."""

    def __init__(self, server, lasts):
        self.port = server.port
        self.lasts = lasts
        self.lock = threading.Lock()
        self.given, self.used, self.revoked, self.refused = {}, set(), set(), 0
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.http.keys = self
        self.endpoint = "http://127.0.0.1:%d" % self.http.server_port
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()

    def environment(self):
        """Of a mount that has its keys from here."""
        return {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": self.endpoint + "/keys"}

    def give(self):
        with self.lock:
            name = "ASIAKEY%d" % len(self.given)
            ends = time.time() + self.lasts
            self.given[name] = ends
        when = datetime.datetime.fromtimestamp(ends, datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"AccessKeyId": name, "SecretAccessKey": MARKER + name, "Token": MARKER + "-token-" + name, "Expiration": when}

    def check(self, headers):
        """S3's error code for a request that must not pass."""
        found = re.search("Credential=([^/]+)/", headers.get("Authorization", ""))
        name = found.group(1) if found else None
        with self.lock:
            if name not in self.given or headers.get("X-Amz-Security-Token") != MARKER + "-token-" + name:
                return "InvalidAccessKeyId"
            if self.given[name] < time.time() or name in self.revoked:
                self.refused += 1
                return "ExpiredToken"
            self.used.add(name)
        return None

    def revoke_all(self):
        with self.lock:
            self.revoked.update(self.given)
