"""A service that uses the original client as a Flask service would.

It serves its health path, registers with ServiceRegistry, and stops when it is told to. What the test
looks at is the registry, not what is printed here. Exit codes: 0 stopped as asked, 3 the registry
refused the token, 4 the registration failed.
"""

import argparse
import http.server
import signal
import sys
import threading

from kengerkit import KengerClient
from kengerkit.exceptions import AuthenticationError
from kengerkit.registry import ServiceRegistry


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/status" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--url", required=True)
    arguments.add_argument("--token", required=True)
    arguments.add_argument("--namespace", required=True)
    arguments.add_argument("--host", required=True)
    arguments = arguments.parse_args()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    client = KengerClient(base_url=arguments.url, token=arguments.token, timeout=2)
    registry = ServiceRegistry(
        client=client,
        namespace=arguments.namespace,
        host=arguments.host,
        port=server.server_address[1],
        weight=70,
        heartbeat_interval=1,
        auto_deregister=True,
    )

    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    try:
        registry.start()
    except RuntimeError:
        # The client hides the reason; its own call tells it.
        try:
            client._http.get("/api/upstream/node/list")
        except AuthenticationError:
            return 3
        return 4
    stop.wait()
    registry.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
