"""A server of the modern era that answers each call with the bytes it got, in base64, and never parses them.

Prints its URL; serves until it is ended.
"""

import base64
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVER = '{"name":"recorder","version":"1"}'
META = '"_meta":{"io.modelcontextprotocol/serverInfo":%s}' % SERVER
FRESH = '"ttlMs":0,"cacheScope":"private"'
DISCOVERED = '{"resultType":"complete","supportedVersions":["2026-07-28"],"capabilities":{"tools":{}},%s,%s}' % (FRESH, META)
LISTED = '{"resultType":"complete","tools":[{"name":"record","inputSchema":{"type":"object"}}],%s,%s}' % (FRESH, META)
RECORDED = '{"resultType":"complete","content":[{"type":"text","text":"%s"}],%s}'


class Recorder(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Head and body leave in one piece; in two, the second would wait 40 ms for the first to be acknowledged.
    wbufsize = 1 << 16

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        # Its sender mints ids that are numbers, and writes them before anything of the caller's.
        asked_as = re.search(rb'"id":\s*(\d+)', body)
        match self.headers.get("Mcp-Method"):
            case "server/discover":
                result = DISCOVERED
            case "tools/list":
                result = LISTED
            case "tools/call":
                result = RECORDED % (base64.b64encode(body).decode(), META)
            case _:
                asked_as = None
        if asked_as is None:
            self.send_error(404)
            return
        answer = f'{{"jsonrpc":"2.0","id":{asked_as[1].decode()},"result":{result}}}'.encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    print(f"http://127.0.0.1:{server.server_port}/mcp", flush=True)
    server.serve_forever()
