"""The clients of a soak: each request carries an id, each piece of its answer must be that id, and nothing else may be in it.

A client judges its own answer.  `ok`: complete and its own.  `refused`: one whole answer of 4xx or 5xx.  `broken`: told so by an error
in the stream, or the connection ended without an end of the answer.  `left`: we left.  `WRONG`: what must never be, whatever dies:
another's bytes, a piece too many or too few before a clean end, bytes that are not HTTP, a hostile request that is served.
"""
import asyncio
import contextlib
import json
import random
import socket
import struct
import sys
import time
from typing import NamedTuple

sys.path.insert(0, __file__.rsplit('/', 2)[0] + '/hostile')
import request_cases  # noqa: E402

MIX = (('stream', 60), ('short', 20), ('abort', 10), ('slow', 5), ('hostile', 5))
HOSTILE = [c for f in (request_cases.framing, request_cases.chunks, request_cases.lines, request_cases.request_lines, request_cases.hosts,
                       request_cases.paths, request_cases.bodies, request_cases.desync) for c in f() if c.expect in ('reject', 'refuse')]
DIALECTS = {
    '/api/chat': lambda text, stream: {'messages': [{'role': 'user', 'content': text}], 'stream': stream},
    '/api/generate': lambda text, stream: {'prompt': text, 'stream': stream},
    '/v1/chat/completions': lambda text, stream: {'messages': [{'role': 'user', 'content': text}], 'stream': stream},
    '/v1/messages': lambda text, stream: {'messages': [{'role': 'user', 'content': text}], 'stream': stream, 'max_tokens': 100000},
}
ANSWER_S = 120.0  # longer than any deed takes to be mended


class Done(NamedTuple):
    kind: str
    begun: float
    ended: float
    verdict: str
    detail: str


class Wrong(Exception):
    pass


class Broken(Exception):
    pass


def piece_of(path, item):
    """(text of an item of a stream, is it the end, is it an error)."""
    if 'error' in item:
        return '', False, True
    if path == '/api/chat':
        return item['message']['content'], item['done'], False
    if path == '/api/generate':
        return item['response'], item['done'], False
    if path == '/v1/messages':
        return item.get('delta', {}).get('text', ''), item['type'] == 'message_stop', item['type'] == 'error'
    text = ''.join(c['delta'].get('content') or '' for c in item['choices'])
    return text, False, False


def text_of(path, answer):
    if path == '/api/chat':
        return answer['message']['content']
    if path == '/api/generate':
        return answer['response']
    if path == '/v1/messages':
        return ''.join(c.get('text', '') for c in answer['content'])
    return answer['choices'][0]['message']['content']


class Stream:
    """The items of a streamed answer as they come in; judged one by one."""

    def __init__(self, path, me, tokens):
        self.path, self.me, self.tokens = path, me, tokens
        self.rest, self.count, self.end, self.error = b'', 0, False, False

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b'\n')
        for line in lines:
            if line.startswith(b'data: '):
                line = line[6:]
            elif line.startswith(b'event: ') or not line.strip():
                continue
            if line == b'[DONE]':
                self.end = True
                continue
            if self.end:
                raise Wrong(f'something follows the end: {line[:200]!r}')
            try:
                text, self.end, error = piece_of(self.path, json.loads(line))
            except (ValueError, KeyError, TypeError, IndexError) as e:
                raise Wrong(f'an item that is none ({e!r}): {line[:200]!r}') from None
            self.error |= error
            if text:
                if text != self.me:
                    raise Wrong(f'{self.me} was given {text[:100]!r}')
                self.count += 1

    def finish(self):
        if self.rest.strip():
            raise Wrong(f'half an item before a clean end: {self.rest[:200]!r}')
        if self.error and self.end:
            raise Wrong('an error and an end')
        if self.error:
            raise Broken('told by an error')
        if not self.end:
            raise Wrong(f'the answer ended cleanly after {self.count} of {self.tokens} pieces, without its last object')
        if self.count != self.tokens:
            raise Wrong(f'a complete answer with {self.count} of {self.tokens} pieces')


class Wire:
    """HTTP/1.1 as strict as we need it; every end that is no end of an answer is Broken."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def head(self):
        try:
            raw = await self.reader.readuntil(b'\r\n\r\n')
        except asyncio.IncompleteReadError as e:
            raise Broken(f'closed in the head after {len(e.partial)} bytes') from None
        lines = raw.decode('latin-1').split('\r\n')
        first = lines[0].split(' ', 2)
        if first[0] not in ('HTTP/1.1', 'HTTP/1.0') or not first[1].isdigit():
            raise Wrong(f'no status line: {lines[0][:200]!r}')
        return int(first[1]), dict((k.lower(), v.strip()) for k, v in (x.split(':', 1) for x in lines[1:] if x))

    async def exactly(self, n):
        try:
            return await self.reader.readexactly(n)
        except asyncio.IncompleteReadError as e:
            raise Broken(f'closed after {len(e.partial)} of {n} bytes') from None

    async def body(self, headers):
        """Pieces as they come."""
        if headers.get('transfer-encoding') == 'chunked':
            while True:
                try:
                    size = int((await self.reader.readuntil(b'\r\n')).strip(), 16)
                except asyncio.IncompleteReadError:
                    raise Broken('closed between chunks') from None
                except ValueError as e:
                    raise Wrong(f'no chunk: {e}') from None
                data = await self.exactly(size + 2)
                if data[-2:] != b'\r\n':
                    raise Wrong(f'a chunk without its end: {data[-20:]!r}')
                if not size:
                    return
                yield data[:-2]
        else:
            yield await self.exactly(int(headers['content-length']))

    def close(self, reset=False):
        sock = self.writer.get_extra_info('socket')
        with contextlib.suppress(OSError):
            if reset and sock is not None:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack('ii', 1, 0))
        self.writer.close()


class Actor:
    """One client after another, now and then on the connection of the one before."""
    number = 0

    def __init__(self, port, seed, done):
        self.port, self.random, self.done = port, random.Random(seed), done
        self.wire = None
        self.stop = False

    async def connect(self, fresh=False, window=None):
        if self.wire and not fresh and self.random.random() < 0.5:
            return self.wire
        self.drop()
        if window is None:
            pair = await asyncio.open_connection('127.0.0.1', self.port)
        else:
            sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.setblocking(False)
            await asyncio.get_running_loop().sock_connect(sock, ('127.0.0.1', self.port))
            pair = await asyncio.open_connection(sock=sock, limit=4096)
        self.wire = Wire(*pair)
        return self.wire

    def drop(self, reset=False):
        if self.wire:
            self.wire.close(reset)
        self.wire = None

    def request(self, tokens, delay_ms, stream):
        Actor.number += 1
        me = f'id{Actor.number}x{self.random.getrandbits(32):08x}.'
        path = self.random.choice(list(DIALECTS))
        body = json.dumps({'model': 'sim-chat:latest', **DIALECTS[path](f'sim:tokens={tokens} sim:delay={delay_ms}ms sim:echo={me}', stream)}).encode()
        return me, path, b'POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s' % (path.encode(), len(body), body)

    async def streamed(self, tokens, delay_ms, wire, pause=0.0):
        me, path, raw = self.request(tokens, delay_ms, True)
        wire.writer.write(raw)
        status, headers = await wire.head()
        if status != 200:
            return await self.refusal(wire, status, headers)
        s = Stream(path, me, tokens)
        async for data in wire.body(headers):
            s.feed(data)
            if pause:
                await asyncio.sleep(pause)
        s.finish()
        return 'ok', ''

    async def refusal(self, wire, status, headers):
        text = b''.join([d async for d in wire.body(headers)])
        if headers.get('connection') == 'close':
            self.drop()
        return 'refused', f'{status} {text[:200].decode(errors="replace")}'

    async def stream(self):
        return await self.streamed(self.random.randint(5, 60), self.random.randint(5, 30), await self.connect())

    async def slow(self):
        """Reads a few hundred bytes at a time out of a small window, for several seconds."""
        return await self.streamed(self.random.randint(100, 300), 1, await self.connect(True, 4096), self.random.uniform(0.01, 0.03))

    async def short(self):
        wire = await self.connect()
        tokens = self.random.randint(1, 8)
        me, path, raw = self.request(tokens, self.random.randint(0, 10), False)
        wire.writer.write(raw)
        status, headers = await wire.head()
        if status != 200:
            return await self.refusal(wire, status, headers)
        text = text_of(path, json.loads(b''.join([d async for d in wire.body(headers)])))
        if text != me * tokens:
            raise Wrong(f'{me} was given {text[:200]!r} instead of {tokens} times itself')
        return 'ok', ''

    async def abort(self):
        """Leaves in the request, before the answer, or somewhere in it; politely or by a reset."""
        wire = await self.connect(True)
        _, _, raw = self.request(self.random.randint(5, 60), self.random.randint(1, 30), True)
        if self.random.random() < 0.2:
            raw = raw[:self.random.randrange(1, len(raw))]
        wire.writer.write(raw)
        await asyncio.sleep(self.random.random() ** 2 * 1.5)
        self.drop(reset=self.random.random() < 0.5)
        return 'left', ''

    async def hostile(self):
        wire = await self.connect(True)
        case = self.random.choice(HOSTILE)
        statuses, data = [], b''
        try:
            wire.writer.write(case.raw)
            await wire.writer.drain()
            if wire.writer.can_write_eof():
                wire.writer.write_eof()
            while True:
                got = await asyncio.wait_for(wire.reader.read(65536), 20)
                if not got:
                    break
                data += got
        except (ConnectionError, asyncio.TimeoutError):
            pass
        finally:
            self.drop()
        if data:
            statuses.append(int(data.split(b' ', 2)[1]))
        if any(s < 400 for s in statuses):
            raise Wrong(f'the hostile request {case.id} got {statuses}')
        return ('refused', f'hostile {statuses[0]}') if statuses else ('left', case.id)

    async def one(self, kind):
        begun = time.monotonic()
        try:
            verdict, detail = await asyncio.wait_for(getattr(self, kind)(), ANSWER_S)
        except Wrong as e:
            verdict, detail = 'WRONG', str(e)
        except asyncio.TimeoutError:
            verdict, detail = 'WRONG', f'neither an answer nor an end within {ANSWER_S:.0f}s'
        except (Broken, OSError) as e:
            verdict, detail = 'broken', f'{type(e).__name__}: {e}'
        if verdict in ('WRONG', 'broken'):
            self.drop()
        self.done.append(Done(kind, begun, time.monotonic(), verdict, detail))

    async def run(self):
        kinds, weights = zip(*MIX)
        while not self.stop:
            await self.one(self.random.choices(kinds, weights)[0])
            await asyncio.sleep(self.random.uniform(0, 0.1))
        self.drop()
