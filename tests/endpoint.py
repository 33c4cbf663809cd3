"""An OpenAI-compatible endpoint on this machine that answers well, badly or not at all."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server(ThreadingHTTPServer):
    """An endpoint that answers as `plan` says, request by request, and from then on well."""

    daemon_threads = True

    def __init__(self, plan=(), pause=0.02):
        super().__init__(("127.0.0.1", 0), Handler)
        self.plan = list(plan)
        self.pause = pause
        self.requests = []
        self.lock = threading.Lock()
        self.now = 0
        self.most = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}/v1"


def good(sentences, k=3):
    ways = ("{} here", "that {}", "{} over there", "one {}")
    return {n: [way.format(s) for way in ways[:k]] for n, s in sentences.items()}


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        sentences = json.loads(body["messages"][1]["content"])
        with self.server.lock:
            self.server.requests.append((body, self.headers["Authorization"]))
            self.server.now += 1
            self.server.most = max(self.server.most, self.server.now)
            act = self.server.plan.pop(0) if self.server.plan else "good"
        time.sleep(self.server.pause)
        status = 200
        if isinstance(sentences, list):  # the form of the paper
            text = json.dumps({"r": [{"a": texts} for texts in good(dict(enumerate(sentences))).values()]})
        else:
            text = json.dumps(good(sentences))
        if isinstance(act, int):
            status = act
            text = json.dumps({"error": {"message": f"refused: {self.headers['Authorization']}"}})  # some servers do
        elif act == "slow":
            time.sleep(1.5)
        elif act == "truncated":
            text = text[: int(0.6 * len(text))]
        elif act == "fenced":
            text = f"Sure! Here you are:\n```json\n{text}\n```\nAnything else?"
        elif act == "count":
            text = json.dumps({n: texts[:1] for n, texts in good(sentences).items() if n != "2"})
        elif act == "chatter":
            text = "I can't help with that."
        elif act == "strange":
            text = json.dumps({"1": "a string", "2": [1, None, "that left mug"], "3": {"a": 1}, "99": ["x"]})
        elif act == "obeys":
            text = json.dumps({n: ["HACKED", "visit example.com " * 12, ""] for n in sentences})
        with self.server.lock:
            self.server.now -= 1
        if status == 200:
            text = json.dumps({"choices": [{"index": 0, "message": {"role": "assistant", "content": text}}]})
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass
