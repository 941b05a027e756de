"""A client that keeps to its own clock: requests leave when the plan says, whatever became of those before them.

A latency counts from the planned moment, so that a service that stands still cannot hide it by slowing its client down.  The other
kind of client (closed) keeps a number of requests under way and sends the next when one has ended."""
import asyncio
import dataclasses
import json
import random
import re
import time

CONNECT_TRIES = 3


@dataclasses.dataclass
class Shot:
    """One request of a plan."""
    at: float  # seconds after the start
    tokens: int  # of the answer
    prompt: int = 20  # tokens
    tenant: str = ''
    priority: str = ''
    most: int = 0  # num_predict; 0: not said


@dataclasses.dataclass
class Result:
    shot: Shot
    due: float  # time.monotonic() of the planned moment
    sent: float = 0
    first: float = 0  # byte of the answer's body
    end: float = 0
    status: int = 0  # 0: no answer
    done: bool = False  # whole, by its last object
    in_vain: bool = False  # it was let in, and refused when its time was over
    said: tuple = (0, 0)  # tokens of prompt and answer, by the instance's own count
    headers: dict = dataclasses.field(default_factory=dict)

    @property
    def took(self):
        return self.end - self.due

    @property
    def waited(self):
        """Milliseconds in tsa's queue, by its own words."""
        return int(self.headers.get('x-tsa-queue-ms', 0))


def plan(seed, seconds, rate, length, **kw):
    """Poisson arrivals; length(random) says (prompt, answer) tokens."""
    r = random.Random(seed)
    at, out = 0.0, []
    while (at := at + r.expovariate(rate)) < seconds:
        prompt, tokens = length(r)
        out.append(Shot(at, tokens, prompt, **kw))
    return out


def body_of(shot):
    text = f'sim:tokens={shot.tokens} '
    text += 'lorem ipsum ' * max(0, (shot.prompt * 4 - len(text)) // 12)
    body = {'model': 'sim-chat:latest', 'messages': [{'role': 'user', 'content': text}], 'stream': True}
    if shot.most:
        body['options'] = {'num_predict': shot.most}
    return json.dumps(body).encode()


def bytes_of(shot):
    body = body_of(shot)
    head = f'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n'
    if shot.tenant:
        head += f'Authorization: Bearer {shot.tenant}\r\n'
    if shot.priority:
        head += f'X-TSA-Priority: {shot.priority}\r\n'
    return head.encode() + b'\r\n' + body


def take_head(result, head):
    lines = head.decode('latin-1').split('\r\n')
    result.status = int(lines[0].split()[1])
    result.headers = {k.lower(): v.strip() for k, _, v in (x.partition(':') for x in lines[1:])}


async def ask(port, shot, due):
    result = Result(shot, due)
    data = bytes_of(shot)
    result.sent = time.monotonic()
    try:
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
    except OSError:
        result.end = time.monotonic()
        return result
    try:
        writer.write(data)
        take_head(result, (await reader.readuntil(b'\r\n\r\n'))[:-4])
        tail = b''
        while chunk := await reader.read(65536):
            result.first = result.first or time.monotonic()
            tail = (tail + chunk)[-1000:]
        result.done = result.status == 200 and b'"done":true' in tail
        result.in_vain = result.status == 429 and b'no place became free' in tail
        result.said = tuple(int((re.search(key + rb'":(\d+)', tail) or [0, 0])[1]) for key in (b'prompt_eval_count', b'"eval_count'))
    except (OSError, asyncio.IncompleteReadError):
        pass
    finally:
        result.end = time.monotonic()
        writer.close()
    return result


async def _open(shots):
    start = time.monotonic() + 0.05
    tasks = []
    for port, shot in shots:
        wait = start + shot.at - time.monotonic()
        if wait > 0:
            await asyncio.sleep(wait)
        tasks.append(asyncio.create_task(ask(port, shot, start + shot.at)))
    return start, await asyncio.gather(*tasks)


def run_open_at(shots):
    """(port, shot) each, in order of time: the start, and a Result for every one of them."""
    return asyncio.run(_open(shots))


def run_open(port, shots):
    return run_open_at([(port, s) for s in shots])


async def _closed(clients, seconds):
    end = time.monotonic() + seconds
    results = []

    async def client(port, shots):
        for shot in shots:
            now = time.monotonic()
            if now >= end:
                return
            results.append(await ask(port, shot, now))
    start = time.monotonic()
    await asyncio.gather(*(client(port, shots) for port, shots in clients))
    return start, results


def run_closed(clients, seconds):
    """clients: (port, endless iterator of shots) each, one request after the other; those under way at the end are finished."""
    return asyncio.run(_closed(clients, seconds))


def share(values, q):
    """The q-quantile, by nearest rank."""
    v = sorted(values)
    return v[min(len(v) - 1, int(q * len(v)))] if v else float('nan')


def served(results, begin, end, weigh=lambda r: r.shot.tokens):
    """Work done within [begin, end): an answer that stands partly outside counts for the part within."""
    work = 0.0
    for r in results:
        if not r.done:
            continue
        overlap = min(r.end, end) - max(r.first, begin)
        span = r.end - r.first
        if overlap > 0:
            work += weigh(r) * (overlap / span if span > 0 else 1)
        elif span <= 0 and begin <= r.end < end:
            work += weigh(r)
    return work
