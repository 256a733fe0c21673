"""A proxy before one of the servers that changes requests and replies on their way, for what no server does by itself."""
import email.utils
import http.client
import http.server
import ssl
import subprocess
import threading


class Proxy:
    """Drops the request headers in `without`, moves the Date of replies by `shift_s` seconds; speaks TLS with the certificate
    chain and key of the file `chain`."""

    def __init__(self, server, without=(), shift_s=0, chain=None):
        self.upstream = server
        self.requests = []
        dropped = {name.lower() for name in without} | {"connection"}
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def forward(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                proxy.requests.append((self.command, self.path))
                connection = http.client.HTTPConnection("127.0.0.1", proxy.upstream.port, timeout=30)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in dropped}
                connection.request(self.command, self.path, body or None, headers)
                reply = connection.getresponse()
                data = reply.read()
                self.send_response_only(reply.status)
                for name, value in reply.getheaders():
                    if name.lower() not in ("connection", "transfer-encoding", "content-length", "date"):
                        self.send_header(name, value)
                at = email.utils.parsedate_to_datetime(reply.getheader("Date")).timestamp() + shift_s
                self.send_header("Date", email.utils.formatdate(at, usegmt=True))
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                connection.close()

            do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = forward

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.tls = chain is not None
        if chain:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain)
            self.http.socket = context.wrap_socket(self.http.socket, server_side=True)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return "%s:%d" % ("https://localhost" if self.tls else "http://127.0.0.1", self.http.server_address[1])

    def stop(self):
        self.http.shutdown()
        self.http.server_close()


def certificate(directory):
    """A certificate for localhost, signed by itself: (what to trust, chain with key)."""
    key, cert, chain = directory / "key.pem", directory / "cert.pem", directory / "chain.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,DNS:*.localhost"], check=True, capture_output=True)
    chain.write_bytes(cert.read_bytes() + key.read_bytes())
    return cert, chain
