"""A proxy before moto that records what was asked of the Parameter Store, so that tests can count it."""
import http.client
import http.server
import json
import threading


class Recorder:
    """`calls` holds (operation, request) in order; `fail_with(operation, code)` answers instead of moto."""

    def __init__(self, server):
        self.upstream = server
        self.calls = []
        self.failures = {}
        recorder = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                operation = self.headers.get("X-Amz-Target", "").rsplit(".", 1)[-1]
                recorder.calls.append((operation, json.loads(body or b"{}")))
                code = recorder.failures.get(operation)
                if code:
                    self.answer(400, json.dumps({"__type": code, "message": "told to"}).encode())
                else:
                    self.forward(body)

            def forward(self, body):
                connection = http.client.HTTPConnection("127.0.0.1", recorder.upstream.port, timeout=30)
                headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "content-length")}
                connection.request("POST", self.path, body, headers)
                reply = connection.getresponse()
                self.answer(reply.status, reply.read())
                connection.close()

            def answer(self, status, body):
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    @property
    def endpoint(self):
        return "http://127.0.0.1:%d" % self.http.server_address[1]

    def operations(self):
        return [operation for operation, _ in self.calls]

    def fail_with(self, operation, code):
        self.failures[operation] = code

    def stop(self):
        self.http.shutdown()
        self.http.server_close()
