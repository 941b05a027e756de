"""A raw HTTP client that keeps what came, and the comparison of an answer with a recorded one."""

import json
import re
import socket
import time

READ_S = 30.0


class Answer(dict):
    """The fields of a recorded response: status, reason, headers, framing, body or chunks, end, interim, connection_after."""


class Client:
    """One connection to the simulator."""

    def __init__(self, port):
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.buf = b""
        self.eof = None

    def send(self, data):
        self.sock.sendall(data)

    def half_close(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def more(self, until):
        """Read once. False at the end of the stream, None when nothing came in time."""
        left = until - time.monotonic()
        if left <= 0:
            return None
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(262144)
        except socket.timeout:
            return None
        except OSError:
            self.eof = "reset"
            return False
        if not data:
            self.eof = "cut"
            return False
        self.buf += data
        return True

    def need(self, test, until):
        """Read until test(buf) is not None."""
        while True:
            got = test(self.buf)
            if got is not None:
                return got
            state = self.more(until)
            if state is not True:
                raise Ended("timeout" if state is None else self.eof)

    def line(self, until):
        at = self.need(lambda b: b.index(b"\n") if b"\n" in b else None, until)
        line, self.buf = self.buf[:at], self.buf[at + 1 :]
        return line.rstrip(b"\r")

    def take(self, n, until):
        self.need(lambda b: True if len(b) >= n else None, until)
        data, self.buf = self.buf[:n], self.buf[n:]
        return data


class Ended(Exception):
    """The stream ended before the message did."""


def read_head(client, until):
    parts = client.line(until).decode("latin-1").split(" ", 2)
    headers = []
    while True:
        line = client.line(until).decode("latin-1")
        if not line:
            break
        name, _, value = line.partition(":")
        headers.append([name, value.strip()])
    return int(parts[1]), parts[2] if len(parts) > 2 else "", headers


def read_body(client, answer, method, until, on_chunk):
    headers = {n.lower(): v for n, v in answer["headers"]}
    if method == "HEAD" or answer["status"] in (204, 304):
        answer["framing"] = "none"
    elif headers.get("transfer-encoding") == "chunked":
        answer["framing"] = "chunked"
        answer["chunks"] = []
        while True:
            size = int(client.line(until).split(b";")[0], 16)
            if not size:
                client.line(until)
                break
            text = client.take(size, until).decode("utf-8", "replace")
            client.take(2, until)
            answer["chunks"].append({"text": text, "at": time.monotonic()})
            if on_chunk and on_chunk(client, len(answer["chunks"])) == "stop":
                raise Ended("client")
    elif "content-length" in headers:
        answer["framing"] = "length"
        answer["body"] = client.take(int(headers["content-length"]), until).decode("utf-8", "replace")
    else:
        answer["framing"] = "close"
        while client.more(until):
            pass
        answer["body"] = client.buf.decode("utf-8", "replace")
        client.buf = b""


def exchange(client, data, method="GET", timeout=READ_S, on_chunk=None, after_send=None):
    """Send one request, read one answer."""
    answer = Answer(status=None, end="clean", interim=[])
    began = time.monotonic()
    until = began + timeout
    try:
        client.send(data)
        if after_send:
            after_send(client)
        while True:
            status, reason, headers = read_head(client, until)
            if status >= 200:
                break
            answer["interim"].append([status, reason])
            if status == 100 and getattr(client, "held_back", None):
                client.send(client.held_back)
        answer.update(status=status, reason=reason, headers=headers, t_head=time.monotonic() - began)
        read_body(client, answer, method, until, on_chunk)
    except Ended as ended:
        answer["end"] = str(ended)
    answer["t"] = time.monotonic() - began
    return answer


def connection_after(client, wait):
    """What the server does with the connection now: open, closed, or data."""
    if client.buf:
        return "data"
    state = client.more(time.monotonic() + wait)
    return "open" if state is None else "data" if state else "closed"


def request_bytes(request, port):
    """The recorded request, to be sent as it was."""
    if "raw" in request:
        return raw_whole(request).encode("latin-1")
    lines = ["%s %s HTTP/1.1" % (request["method"], request["path"])]
    body = (request.get("body") or "").encode()
    for name, value in request["headers"]:
        if name.lower() == "content-length":
            value = str(len(body))
        lines.append("%s: %s" % (name, value))
    if not any(n.lower() == "host" for n, _ in request["headers"]):
        lines.append("Host: 127.0.0.1:%d" % port)
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def raw_whole(request):
    """A request whose recording was cut short goes on as it began."""
    raw = request["raw"]
    if not request.get("raw_truncated"):
        return raw
    head, sep, body = raw.partition("\r\n\r\n")
    if not sep:
        size = 900 * 1024 if "ok" in request.get("id", "") else 1126400
        return raw + raw[-1] * (size - len(raw)) + "\r\n\r\n"
    length = int(re.search(r"Content-Length: (\d+)", head).group(1))
    if body.startswith("{"):
        nested = (length - 33) // 2
        body = body[: body.index("[")] + "[" * nested + "]" * nested + "}}"
    else:
        body = body[:1] * length
    return head + sep + body


# --- comparison ---------------------------------------------------------------------------------------------------------

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$")
IDS = re.compile(r"(chatcmpl-\d{1,3}|cmpl-\d{1,3}|resp_\d{1,6}|msg_\d{1,6}|rs_\d{1,6}|fc_\d{1,6}_0|fc_resp_\d{1,6}_0|call_[a-z0-9]{8}"
                 r"|msg_[0-9a-f]{24}|req_[0-9a-f]{24})$")

# Facts about the weights and the tokenizers of the recorded models, not about the server.
DATA_KEYS = {"digest", "size", "parameter_size", "embedding", "embeddings"}
# Exact where the text is.
ID_KEYS = {"context", "logprobs"}
TEXT_KEYS = {"response", "content", "text", "delta", "thinking", "reasoning"}
EXACT_MODELS = {"script", "think", "tool"}
PORT = re.compile(r"127\.0\.0\.1:\d+|sha256:[0-9a-f]{64}")


class Differ(Exception):
    """Where two answers differ."""


def shape_of(value):
    """Two values of a model's data are alike when this is equal."""
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, (int, float)):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return [len(value), shape_of(value[0]) if value else None]
    return sorted(value)


def masked(path, key, want, got):
    """A volatile value: not compared, but its form is."""
    if isinstance(want, str) and TIME.match(want):
        if not (isinstance(got, str) and TIME.match(got)):
            raise Differ("%s: %r is no time" % (path, got))
        if key == "created_at" and not got.endswith("Z"):
            raise Differ("%s: %r is not UTC" % (path, got))
    elif isinstance(want, str) and IDS.match(want):
        kind = re.match(r"[a-z]+", want).group(0)
        if not (isinstance(got, str) and IDS.match(got) and got.startswith(kind) and len(got) <= len(want) + 6):
            raise Differ("%s: %r has not the form of %r" % (path, got, want))
    elif isinstance(want, int) and not isinstance(want, bool):
        if not isinstance(got, int) or got <= 0:
            raise Differ("%s: %r is not a positive number" % (path, got))
    elif type(want) is not type(got):
        raise Differ("%s: %r instead of something like %r" % (path, got, want))


class Comparer:
    """Compares values of JSON; `exact` when the model's text is known word for word, `store_order` when the order of a list is
    that of files on the recorder's disk."""

    def __init__(self, volatile, exact, store_order):
        self.volatile = {re.sub(r"\[\*\]", "", v) for v in volatile or []}
        self.exact = exact
        self.store_order = store_order

    def value(self, path, key, want, got):
        if path in self.volatile:
            masked(path, key, want, got)
        elif isinstance(want, dict) and isinstance(got, dict) and key not in DATA_KEYS:
            if list(want) != list(got):
                raise Differ("%s: keys %s instead of %s" % (path, list(got), list(want)))
            for k in want:
                self.value("%s.%s" % (path, k), k, want[k], got[k])
        elif isinstance(want, list) and isinstance(got, list) and key not in DATA_KEYS:
            if key in ("models", "data") and self.store_order:
                want, got = sorted(want, key=str), sorted(got, key=str)
            if len(want) != len(got):
                raise Differ("%s: %d elements instead of %d: %s" % (path, len(got), len(want), got[:20]))
            if key in ID_KEYS and not self.exact:
                want, got = [shape_of(w) for w in want], [shape_of(g) for g in got]
            for w, g in zip(want, got):
                self.value(path, key, w, g)
        elif key in DATA_KEYS or (key in TEXT_KEYS and not self.exact and isinstance(want, str)):
            if shape_of(want) != shape_of(got):
                raise Differ("%s: %r has not the shape of %r" % (path, got, want))
        elif isinstance(want, str) and isinstance(got, str):
            if PORT.sub("HOST", want) != PORT.sub("HOST", got):
                raise Differ("%s: %r instead of %r" % (path, got, want))
        elif want != got or type(want) is not type(got):
            raise Differ("%s: %r instead of %r" % (path, got, want))

    def text(self, want, got):
        """Texts that may hold JSON, NDJSON or events."""
        want_parts, got_parts = split(want), split(got)
        if [p[0] for p in want_parts] != [p[0] for p in got_parts]:
            raise Differ("%r instead of %r" % (got[:300], want[:300]))
        for (_, w), (_, g) in zip(want_parts, got_parts):
            if isinstance(w, str) or isinstance(g, str):
                if w != g and PORT.sub("HOST", str(w)) != PORT.sub("HOST", str(g)):
                    raise Differ("%r instead of %r" % (g, w))
            else:
                self.value("$", "", w, g)


def split(text):
    """[(frame, value)]: lines and events with their JSON decoded."""
    parts = []
    for piece in re.split(r"(\n)", text):
        if not piece:
            continue
        prefix = "data: " if piece.startswith("data: ") else ""
        try:
            parts.append((prefix, json.loads(piece[len(prefix) :])))
        except ValueError:
            parts.append(("text", piece))
    return parts


def exact_for(record):
    """Is the generated text of this exchange known word for word?"""
    body = record["request"].get("body") or record["request"].get("raw") or ""
    found = re.search(r'"model": ?"(\w+)"', body) or re.search(r'name="model"\r?\n\r?\n(\w+)', body)
    return bool(found) and found.group(1) in EXACT_MODELS


def compare_headers(want, got, mask_length):
    def plain(headers):
        out = []
        for name, value in headers:
            if name == "Date" or (name == "Content-Length" and mask_length):
                value = "*"
            out.append((name, value))
        return out

    if plain(want) != plain(got):
        raise Differ("headers %s instead of %s" % (plain(got), plain(want)))


def body_of(answer):
    return answer["body"] if "body" in answer else "".join(c["text"] for c in answer.get("chunks", []))


def compare_chunks(record, want, got, comparer):
    """A stream, chunk by chunk.  What an action on the server cut off is compared up to the action, and by its last words."""
    w = [c["text"] for c in want]
    g = [c["text"] for c in got]
    acted = next((a["after_chunk"] for a in record.get("actions") or [] if "after_chunk" in a), None)
    if acted:
        last = [w[-1], g[-1]] if '"error"' in w[-1] or '"model":""' in w[-1] else None
        if len(g) < acted:
            raise Differ("only %d chunks came" % len(g))
        w, g = w[:acted], g[:acted]
        if last:
            w, g = w + last[:1], g + last[1:]
    elif record["response"]["end"] != "clean":
        n = min(len(w), len(g))
        if w and not n:
            raise Differ("no chunk came")
        w, g = w[:n], g[:n]
    if len(w) != len(g):
        raise Differ("%d chunks instead of %d; the last is %r instead of %r" % (len(g), len(w), g[-1:], w[-1:]))
    for a, b in zip(w, g):
        comparer.text(a, b)


def compare(record, got):
    """Raise Differ when `got` does not agree with the recording."""
    want = record["response"]
    ends = {"client": {"client"}, "timeout": {"timeout", "client"}, "cut": {"cut", "reset"}}.get(want["end"], {want["end"]})
    if want["status"] != got["status"]:
        raise Differ("status %s instead of %s: %s" % (got["status"], want["status"], body_of(got)[:200]))
    if got["end"] not in ends:
        raise Differ("the answer ended %r instead of %r" % (got["end"], want["end"]))
    if want["status"] is None:
        return
    if want["reason"] != got["reason"]:
        raise Differ("reason %r instead of %r" % (got["reason"], want["reason"]))
    text = want.get("body") or ""
    lengths = [int(v) for n, v in want["headers"] if n == "Content-Length"]
    edited = "body" in want and lengths and lengths[0] != len(want["body"].encode())
    generated = edited or bool(record.get("volatile")) or any('"%s"' % k in text for k in DATA_KEYS)
    compare_headers(want["headers"], got["headers"], generated)
    if want["framing"] != got["framing"]:
        raise Differ("framing %s instead of %s" % (got["framing"], want["framing"]))
    if [i[:2] for i in want.get("interim") or []] != got["interim"]:
        raise Differ("interim answers %s" % got["interim"])
    asked = record["request"].get("path") or (record["request"]["raw"].split(" ") + [""])[1]
    comparer = Comparer(record.get("volatile"), exact_for(record), asked in ("/api/tags", "/v1/models"))
    if "chunks" in want:
        compare_chunks(record, want["chunks"], got["chunks"], comparer)
    elif want.get("body") is not None:
        comparer.text(want["body"], got.get("body", ""))
    after = want.get("connection_after")
    if after and "connection_after" in got and after.split(":")[0] != got["connection_after"]:
        raise Differ("the connection is %s afterwards instead of %s" % (got["connection_after"], after))
