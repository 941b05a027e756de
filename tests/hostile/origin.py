"""A strict recording origin: a small Ollama that takes nothing but perfect HTTP/1.1 and writes down every byte it was given.

    o = Origin().start()          # a thread; o.port
    o.requests                    # [Request(method, target, headers, body, connection)], in order
    o.open                        # numbers of the connections that are open now
    o.played                      # numbers of the connections on which a script was played
    o.unclean                     # [(connection, what was wrong)]: must stay empty whatever hostile clients do to the router
    o.answer_next(raw=[b'...'], then='close')   # the next inference request gets these bytes instead (upstream_cases.py)
    o.stop()

Unclean is what no honest HTTP/1.1 client sends: a bad line, a doubtful length, bytes after a request before its answer.  A connection
closed in the middle of a request is `cut`, not unclean: clients go away.

By hand: `origin.py PORT` prints a JSON line per request.
"""
import asyncio
import json
import re
import sys
import threading
import time
from typing import NamedTuple

MODEL = 'origin:latest'
TOKENS = ['one', ' two', ' three']
HEAD_MAX = 64 * 1024

REQUEST_LINE = re.compile(rb'(GET|HEAD|POST|PUT|DELETE) (/[!-"$-~]*) HTTP/1\.1\Z')
HEADER_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+): ([!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?\Z")
CHUNK_LINE = re.compile(rb'(0|[1-9a-f][0-9a-f]{0,7})\Z')
LENGTH = re.compile(rb'(0|[1-9][0-9]{0,11})\Z')
HOST = re.compile(rb'[A-Za-z0-9._-]+(:[0-9]{1,5})?\Z')


class Request(NamedTuple):
    method: str
    target: str
    headers: list  # of (lower-case name, value)
    body: bytes
    connection: int

    def header(self, name):
        return next((v for n, v in self.headers if n == name), None)

    def json(self):
        return json.loads(self.body, parse_int=float)  # Python refuses integers of many digits; Go does not


class Unclean(Exception):
    pass


class Cut(Exception):
    pass


class Wire:
    """One connection, read strictly."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer
        self.buffer = bytearray()

    async def more(self):
        data = await self.reader.read(65536)
        if not data:
            raise Cut
        self.buffer += data

    async def until(self, mark, limit):
        while True:
            at = self.buffer.find(mark)
            if at >= 0:
                break
            if len(self.buffer) > limit:
                raise Unclean(f'no end within {limit} bytes')
            await self.more()
        out = bytes(self.buffer[:at])
        del self.buffer[:at + len(mark)]
        return out

    async def exactly(self, n):
        while len(self.buffer) < n:
            await self.more()
        out = bytes(self.buffer[:n])
        del self.buffer[:n]
        return out


def parse_head(head):
    lines = head.split(b'\r\n')
    line = REQUEST_LINE.match(lines[0])
    if not line:
        raise Unclean(f'request line {lines[0]!r}')
    headers = []
    for text in lines[1:]:
        m = HEADER_LINE.match(text)
        if not m:
            raise Unclean(f'header line {text!r}')
        headers.append((m[1].decode().lower(), (m[2] or b'').decode('latin-1')))
    return line[1].decode(), line[2].decode(), headers


def framing(method, headers):
    """('length', n) or ('chunked', 0); refuses whatever could be read in two ways."""
    def all_of(name):
        return [v for n, v in headers if n == name]
    hosts, lengths, codings = all_of('host'), all_of('content-length'), all_of('transfer-encoding')
    if len(hosts) != 1 or not HOST.match(hosts[0].encode('latin-1')):
        raise Unclean(f'Host {hosts!r}')
    for name in ('content-type', 'connection', 'authorization'):
        if len(all_of(name)) > 1:
            raise Unclean(f'{name} twice')
    for name in ('upgrade', 'te', 'trailer', 'keep-alive', 'proxy-connection', 'expect', 'origin', 'http2-settings', 'authorization',
                 'x-api-key', 'cookie'):
        if all_of(name):
            raise Unclean(f'{name} does not belong in a request to an instance')
    if codings:
        if codings != ['chunked'] or lengths:
            raise Unclean(f'Transfer-Encoding {codings!r}, Content-Length {lengths!r}')
        return 'chunked', 0
    if not lengths:
        if method in ('POST', 'PUT'):
            raise Unclean(f'{method} without a length')
        return 'length', 0
    if len(lengths) > 1 or not LENGTH.match(lengths[0].encode('latin-1')):
        raise Unclean(f'Content-Length {lengths!r}')
    return 'length', int(lengths[0])


async def read_body(wire, kind, n):
    if kind == 'length':
        return await wire.exactly(n)
    body = b''
    while True:
        line = await wire.until(b'\r\n', 32)
        if not CHUNK_LINE.match(line):
            raise Unclean(f'chunk size {line!r}')
        size = int(line, 16)
        body += await wire.exactly(size)
        if await wire.exactly(2) != b'\r\n':
            raise Unclean('a chunk does not end in CR LF')
        if not size:
            return body


# --- answers ----------------------------------------------------------------------------------------------------------

def now():
    return time.strftime('%Y-%m-%dT%H:%M:%S.123456Z', time.gmtime())


DETAILS = {'parent_model': '', 'format': 'gguf', 'family': 'llama', 'families': ['llama'], 'parameter_size': '1B',
           'quantization_level': 'Q4_K_M'}


def entry(model, **more):
    return {'models': [dict({'name': model, 'model': model, 'size': 1000000, 'digest': '0' * 64, 'details': DETAILS}, **more)]}


def tags(model):
    return entry(model, modified_at=now())


def ps(model):
    return entry(model, expires_at='2318-01-01T00:00:00Z', size_vram=0, context_length=4096)


def show():
    return {'license': '', 'modelfile': '', 'parameters': '', 'template': '', 'details': DETAILS,
            'model_info': {'general.architecture': 'llama', 'llama.context_length': 4096}, 'capabilities': ['completion', 'embedding'],
            'modified_at': now()}


def parts(kind, request):
    """The objects of an inference answer, the final one last."""
    def piece(text, done, **more):
        o = {'model': request.get('model', ''), 'created_at': now()}
        o.update({'response': text} if kind == 'generate' else {'message': {'role': 'assistant', 'content': text}})
        return dict(o, done=done, **more)
    asked = request.get('prompt') if kind == 'generate' else request.get('messages')
    if not asked:
        return [piece('', True, done_reason='unload' if request.get('keep_alive') == 0 else 'load')], True
    figures = {'done_reason': 'stop', 'total_duration': 5000000, 'load_duration': 1000000, 'prompt_eval_count': 3,
               'prompt_eval_duration': 1000000, 'eval_count': len(TOKENS), 'eval_duration': 3000000}
    if request.get('stream', True):
        return [piece(t, False) for t in TOKENS] + [piece('', True, **figures)], False
    return [piece(''.join(TOKENS), True, **figures)], True


def embed(request):
    texts = request.get('input') or []
    texts = [texts] if isinstance(texts, str) else texts
    return {'model': request.get('model', ''), 'embeddings': [[0.6, 0.8] for _ in texts], 'total_duration': 1000000,
            'load_duration': 1000, 'prompt_eval_count': len(texts)}


def plain(status, reason, body, kind='application/json; charset=utf-8'):
    body = body if isinstance(body, bytes) else json.dumps(body, separators=(',', ':')).encode()
    return b'HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n' % (status, reason, kind.encode(), len(body)) + body


def chunk(data):
    return b'%x\r\n%s\r\n' % (len(data), data)


def answer(request, model):
    """The pieces to send, each flushed on its own."""
    path = request.target.split('?')[0]
    fixed = {'/api/version': lambda _: {'version': '0.24.0'}, '/api/tags': tags, '/api/ps': ps}
    if request.method in ('GET', 'HEAD') and path in fixed:
        return [plain(200, b'OK', fixed[path](model))]
    if path == '/' and request.method in ('GET', 'HEAD'):
        return [plain(200, b'OK', b'Ollama is running', 'text/plain; charset=utf-8')]
    if request.method != 'POST' or path not in ('/api/show', '/api/generate', '/api/chat', '/api/embed'):
        return [plain(404, b'Not Found', b'404 page not found', 'text/plain')]
    try:
        body = request.json()
    except ValueError:
        return [plain(400, b'Bad Request', {'error': 'invalid JSON'})]
    if path == '/api/show':
        return [plain(200, b'OK', show())]
    if path == '/api/embed':
        return [plain(200, b'OK', embed(body))]
    objects, single = parts(path.rsplit('/', 1)[1], body)
    if single:
        return [plain(200, b'OK', objects[0])]
    head = b'HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n'
    return [head] + [chunk(json.dumps(o, separators=(',', ':')).encode() + b'\n') for o in objects] + [b'0\r\n\r\n']


class Script(NamedTuple):
    raw: list
    then: str
    path: tuple
    early: bool


# --- the server -------------------------------------------------------------------------------------------------------

class Origin:
    def __init__(self, port=0, on_request=None, model=MODEL):
        self.port, self.on_request, self.model = port, on_request, model
        self.requests, self.unclean, self.cut = [], [], 0
        self.script, self.standing = [], {}
        self.connections, self.open, self.played = 0, set(), []
        self.ready, self.loop, self.done = threading.Event(), None, None
        self.tasks = set()

    def start(self):
        self.thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        self.thread.start()
        if not self.ready.wait(10):
            raise RuntimeError('the origin did not start')
        return self

    def stop(self):
        self.loop.call_soon_threadsafe(self.done.set)
        self.thread.join(10)

    def close_all(self):
        """End every connection, whatever is being played on it."""
        self.loop.call_soon_threadsafe(lambda: [t.cancel() for t in self.tasks])

    def answer_next(self, raw, then='close', path=('/api/generate', '/api/chat'), early=False):
        """The next request to one of `path` that asks for output gets `raw`, piece by piece; then 'close', 'reset', 'hold' or 'keep'.
        `early` sends after the head, to whatever the router asks next on `path`: what it asks for is not known then."""
        self.script.append(Script(raw, then, path, early))

    def answer_always(self, path, raw, drip=b''):
        """Whatever the router asks of this path gets `raw`, then `drip` five times a second; a worker, who sends Accept, gets good answers."""
        self.standing[path] = raw, drip

    def inferences(self):
        return [r for r in self.requests if r.method == 'POST' and r.target.split('?')[0] in ('/api/generate', '/api/chat')
                and (r.json().get('prompt') or r.json().get('messages'))]

    async def serve(self):
        self.loop, self.done = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self.connection, '127.0.0.1', self.port)
        self.port = server.sockets[0].getsockname()[1]
        self.ready.set()
        await self.done.wait()
        server.close()
        for t in list(self.tasks):
            t.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    async def connection(self, reader, writer):
        self.connections += 1
        self.tasks.add(asyncio.current_task())
        number, wire = self.connections, Wire(reader, writer)
        self.open.add(number)
        try:
            while await self.exchange(number, wire):
                pass
        except Unclean as e:
            self.unclean.append((number, str(e)))
        except (Cut, ConnectionError):
            self.cut += 1
        except asyncio.CancelledError:
            pass
        finally:
            self.tasks.discard(asyncio.current_task())
            self.open.discard(number)
            writer.close()

    async def exchange(self, number, wire):
        """One request and its answer.  False when the connection ends here."""
        if not wire.buffer:
            try:
                await wire.more()
            except (Cut, ConnectionError):
                return False  # between two requests anybody may leave
        method, target, headers = parse_head(await wire.until(b'\r\n\r\n', HEAD_MAX))
        played = 'accept' not in dict(headers)  # a worker, who says Accept, gets good answers
        if played and self.scripted(target, None):
            self.played.append(number)
            return await self.play(wire, self.script.pop(0))
        body = await read_body(wire, *framing(method, headers))
        request = Request(method, target, headers, body, number)
        self.requests.append(request)
        if self.on_request:
            self.on_request(request)
        if wire.buffer:
            raise Unclean(f'bytes after the request: {bytes(wire.buffer[:80])!r}')
        if played and self.scripted(target, body):
            self.played.append(number)
            return await self.play(wire, self.script.pop(0))
        if target.split('?')[0] in self.standing and played:
            raw, drip = self.standing[target.split('?')[0]]
            wire.writer.write(raw)
            while drip and not wire.reader.at_eof():
                await asyncio.sleep(0.2)
                wire.writer.write(drip)
                await wire.writer.drain()
            return True
        for piece in answer(request, self.model):
            if method == 'HEAD':
                piece = piece[:piece.index(b'\r\n\r\n') + 4]
            wire.writer.write(piece)
            await wire.writer.drain()
            await asyncio.sleep(0)
        return 'close' not in (request.header('connection') or '').lower()

    def scripted(self, target, body):
        """Whether the first of the script is for this request; `body` is None while only its head was read."""
        if not self.script or target.split('?')[0] not in self.script[0].path or self.script[0].early != (body is None):
            return False
        if body is None:
            return True
        try:
            asked = json.loads(body, parse_int=float)
        except ValueError:
            return False
        return bool(asked.get('prompt') or asked.get('messages') or asked.get('input'))  # not a probe, not a warm-up

    async def play(self, wire, script):
        raw, then = script.raw, script.then
        for piece in raw:
            wire.writer.write(piece)
            await wire.writer.drain()
            await asyncio.sleep(0.01)  # so that the pieces leave as segments of their own
        if then == 'reset':
            wire.writer.transport.abort()
            return False
        if then == 'hold':
            await asyncio.sleep(2.5 if script.early else 0)  # takes nothing of the body until the answer has surely been read
            while await wire.reader.read(65536):
                pass
            return False
        return then == 'keep'


def main():
    def say(r):
        print(json.dumps({'connection': r.connection, 'method': r.method, 'target': r.target, 'headers': r.headers,
                          'body': r.body.decode('latin-1')}), flush=True)
    o = Origin(int(sys.argv[1]) if len(sys.argv) > 1 else 0, say).start()
    print(json.dumps({'port': o.port}), flush=True)
    seen = 0
    while o.thread.is_alive():
        o.thread.join(0.2)
        for number, what in o.unclean[seen:]:
            print(json.dumps({'connection': number, 'unclean': what}), flush=True)
        seen = len(o.unclean)


if __name__ == '__main__':
    main()
