"""A simulator of its own for a test, on a port that the kernel chose."""

import json
import os
import re
import signal
import subprocess
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def program():
    build = os.environ.get("TSA_BUILD") or os.path.join(ROOT, "build")
    return os.environ.get("OLLAMA_SIM", os.path.join(build, "ollama-sim"))


class Server:
    def __init__(self, *args, env=None):
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OLLAMA_")}
        clean.update(env or {})
        self.proc = subprocess.Popen(
            [program(), "--listen", "127.0.0.1:0", *args], env=clean, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, text=True
        )
        self.port = 0
        for line in self.proc.stderr:
            found = re.search(r"listening on [^ ]*:(\d+)", line)
            if found:
                self.port = int(found.group(1))
                break
        if not self.port:
            raise RuntimeError("ollama-sim did not start; its status is %s" % self.proc.wait())

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        """As an operator would, so that the server takes its runners with it; by force when that does not help."""
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGCONT)
            self.proc.terminate()
            try:
                self.proc.wait(5)
            except subprocess.TimeoutExpired:
                self.proc.kill()
        self.proc.wait()
        self.proc.stderr.close()

    def call(self, method, path, body=None, timeout=30):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request("http://127.0.0.1:%d%s" % (self.port, path), method=method, data=data)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
        return json.loads(text) if text.strip().startswith(b"{") and b"\n{" not in text.strip() else text.decode()

    def stats(self):
        return self.call("GET", "/sim/stats")

    def fault(self, **spec):
        self.call("POST", "/sim/fault", spec)

    def load(self, model, **more):
        self.call("POST", "/api/generate", {"model": model, **more})

    def wait(self, test, what, timeout=10):
        """Poll the counters until test(stats) holds."""
        until = time.monotonic() + timeout
        while True:
            stats = self.stats()
            if test(stats):
                return stats
            if time.monotonic() > until:
                raise AssertionError("%s did not happen: %s" % (what, stats["runners"]))
            time.sleep(0.005)
