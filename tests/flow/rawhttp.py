"""Clients made of bytes: what a client sends is given as pieces, what comes back is read strictly."""
import asyncio
import contextlib
import json
from typing import NamedTuple

from fabric import PATIENCE


class Answer(NamedTuple):
    status: int
    headers: dict  # lower-case name -> value, the last one of several
    body: bytes

    def error(self):
        """The text of an error body in any dialect, or the body."""
        try:
            e = json.loads(self.body)['error']
            return e if isinstance(e, str) else e['message']
        except (ValueError, KeyError, TypeError):
            return self.body.decode(errors='replace')


class Broken(Exception):
    """An answer that no client may be shown: `str` says what is wrong."""


def parse(data, at=0):
    """One whole answer from data[at:]: (Answer, where it ends), or None when more must come.  Interim answers are skipped."""
    end = data.find(b'\r\n\r\n', at)
    if end < 0:
        return None
    lines = bytes(data[at:end]).split(b'\r\n')
    version, _, rest = lines[0].partition(b' ')
    if version != b'HTTP/1.1' or not rest[:3].isdigit():
        raise Broken(f'status line {lines[0]!r}')
    status, at = int(rest[:3]), end + 4
    if status == 100:
        return parse(data, at)
    headers = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b':')
        if not colon or not name or name != name.strip():
            raise Broken(f'header line {line!r}')
        headers[name.decode('latin-1').lower()] = value.strip().decode('latin-1')
    if status in (204, 304):
        return Answer(status, headers, b''), at
    if headers.get('transfer-encoding') == 'chunked':
        return parse_chunks(data, at, status, headers)
    if 'content-length' not in headers:
        return None  # until the connection ends
    n = int(headers['content-length'])
    return None if len(data) < at + n else (Answer(status, headers, bytes(data[at:at + n])), at + n)


def parse_chunks(data, at, status, headers):
    body = b''
    while True:
        eol = data.find(b'\r\n', at)
        if eol < 0:
            return None
        size = int(bytes(data[at:eol]), 16)
        at = eol + 2
        if len(data) < at + size + 2:
            return None
        if bytes(data[at + size:at + size + 2]) != b'\r\n':
            raise Broken(f'a chunk of {size} bytes without its end')
        body += data[at:at + size]
        at += size + 2
        if not size:
            return Answer(status, headers, body), at


class Talk(NamedTuple):
    answers: list
    rest: bytes   # what came and is no whole answer
    end: str      # 'closed', 'reset' or 'open'
    synced: bool  # a further request on the open connection got its answer


async def talk(port, pieces, want=None, quiet=5.0, probe=None, pause=None):
    """Send the pieces while reading; until `want` answers came, the connection ends, or nothing comes for `quiet` seconds after the
    last piece.  With `probe` (bytes of a request) that is sent then on a connection still open."""
    reader, writer = await asyncio.open_connection('127.0.0.1', port, limit=1 << 26)
    data, answers, at, end = bytearray(), [], 0, 'open'

    async def send():
        with contextlib.suppress(ConnectionError):
            for p in pieces:
                writer.write(p)
                await writer.drain()
                await asyncio.sleep(pause or 0)

    async def more(seconds):
        nonlocal at, end
        try:
            got = await asyncio.wait_for(reader.read(1 << 16), seconds * PATIENCE)
        except asyncio.TimeoutError:
            if sender.done():
                raise
            return True  # not all has been sent yet
        except ConnectionError:
            end = 'reset'
            return False
        if not got:
            end = 'closed'
            return False
        data.extend(got)
        while (one := parse(data, at)):
            answers.append(one[0])
            at = one[1]
        return True

    sender = asyncio.ensure_future(send())
    try:
        with contextlib.suppress(asyncio.TimeoutError):
            while (want is None or len(answers) < want) and await more(quiet):
                pass
        synced = False
        if probe and end == 'open' and len(data) == at:
            n = len(answers)
            await sender
            with contextlib.suppress(asyncio.TimeoutError, ConnectionError):
                writer.write(probe)
                while len(answers) == n and await more(quiet):
                    pass
            synced = len(answers) == n + 1 and answers.pop().status == 200
        return Talk(answers, bytes(data[at:]), end, synced)
    finally:
        sender.cancel()
        writer.transport.abort() if end == 'open' else writer.close()


def run_all(jobs, parallel=32):
    """The results of coroutine functions, `parallel` at a time, in their order."""
    async def go():
        gate = asyncio.Semaphore(parallel)

        async def one(job):
            async with gate:
                return await job()
        return await asyncio.gather(*[one(j) for j in jobs])
    return asyncio.run(go())
