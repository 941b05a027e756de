"""The live board of a fabric from outside: its files, where everything stands in them (shm/fields.def), and hands to damage it with.

Run as a program it is the vandal: boardfiles.py PID HOW SECONDS SEED damages the board of supervisor PID and prints what it did."""
import contextlib
import json
import mmap
import os
import pathlib
import random
import re
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OWNER, VITAL, HOST, ROUTER = 1, 2, 3, 4  # enum shm_kind
FILE_OF = {OWNER: 'shm_owner_file', VITAL: 'shm_vital_file', HOST: 'shm_host_file', ROUTER: 'shm_router_file'}
STAMP_BYTES = 128
M64 = (1 << 64) - 1
PATIENCE = float(os.environ.get('TSA_PATIENCE', '1'))


def layout():
    """{struct: ({member: offset}, bytes)} as fields.def says."""
    out, name, members = {}, None, {}
    for word, args in re.findall(r'^(BEGIN|FIELD|END|END_PACKED)\((.*)\)', (ROOT / 'shm/fields.def').read_text(), flags=re.M):
        args = [a.strip() for a in args.split(',')]
        if word == 'BEGIN':
            name, members = args[0], {}
        elif word == 'FIELD':
            members[args[1]] = int(args[2])
        else:
            out[name] = (members, int(args[1]))
    return out


LAYOUT = layout()


def at(struct, member):
    return LAYOUT[struct][0][member]


def size(struct):
    return LAYOUT[struct][1]


def line_sum(words):
    """shm/sum.h, for a vandal who knows it."""
    h = [0, 0, 0, 0]
    for i, w in enumerate(words):
        x = h[i % 4] ^ w
        h[i % 4] = ((x ^ x >> 32) * 0x9e3779b97f4a7c15) & M64
    r = h[0]
    for i in (1, 2, 3):
        r ^= (h[i] << 16 * i | h[i] >> (64 - 16 * i)) & M64
    return r


class Board:
    """Every file of the board that supervisor `pid` holds now, mapped for writing.  While it makes a new one some may be missing: they come."""

    def __init__(self, pid, slots=2, routers=1):
        self.maps, until = {}, time.monotonic() + 10 * PATIENCE
        wanted = {OWNER: 1, VITAL: slots, HOST: 1, ROUTER: routers}
        while True:
            self.look(pid, wanted)
            if len(self.maps) == sum(wanted.values()):
                return
            assert time.monotonic() < until, f'the board of {pid} stays incomplete: {sorted(self.maps)}'
            time.sleep(0.005)

    def look(self, pid, wanted):
        for fd in os.listdir(f'/proc/{pid}/fd'):
            path = f'/proc/{pid}/fd/{fd}'
            m = None
            with contextlib.suppress(OSError):
                m = re.match(r'/memfd:tsa-board-(\d+)-(\d+)', os.readlink(path))
            key = m and (int(m[1]), int(m[2]))
            if not key or key in self.maps or key[1] >= wanted[key[0]]:
                continue
            with contextlib.suppress(FileNotFoundError, ValueError):  # it has gone, or has no size yet
                self.maps[key] = self.map(path)

    @staticmethod
    def map(path):
        with contextlib.suppress(PermissionError):
            os.chmod(path, 0o600)  # it is 0400: the owner may change that, and root need not
        fd = os.open(path, os.O_RDWR)
        try:
            return mmap.mmap(fd, 0)
        finally:
            os.close(fd)

    def __getitem__(self, key):
        return self.maps[key]

    def close(self):
        for m in self.maps.values():
            m.close()

    def word(self, key, offset):
        return int.from_bytes(self[key][offset:offset + 8], 'little')

    def word_set(self, key, offset, value):
        self[key][offset:offset + 8] = (value & M64).to_bytes(8, 'little')

    def line_forge(self, key, offset, payload_bytes, change):
        """Publish a line as its writer would, sum and all, with `change` made to its payload."""
        m, start = self[key], offset + 8
        payload = bytearray(m[start:start + payload_bytes])
        change(payload)
        words = [int.from_bytes(payload[i:i + 8], 'little') for i in range(0, payload_bytes, 8)]
        seq = self.word(key, offset) | 1
        self.word_set(key, offset, seq)
        m[start:start + payload_bytes] = bytes(payload)
        self.word_set(key, start + payload_bytes, line_sum(words))
        self.word_set(key, offset, seq + 1)


# --- the vandal ----------------------------------------------------------------------------------------------------------------------

def bytes_used(key):
    return size(FILE_OF[key[0]])


def run_of(rnd, n):
    kind = rnd.randrange(4)
    return bytes(n) if kind == 0 else b'\xff' * n if kind == 1 else rnd.randbytes(n)


def damage_run(board, rnd):
    key = rnd.choice(list(board.maps))
    n = min(rnd.choice((1, 1, 1, 2, 8, 64, 256)), bytes_used(key))
    # Half of the blows go where the facts are; counters and histograms are most of a router's file.
    end = bytes_used(key) if rnd.randrange(2) else min(bytes_used(key), 5120)
    offset = rnd.randrange(end - n + 1)
    if n == 1:
        board[key][offset] ^= 1 << rnd.randrange(8)
    else:
        board[key][offset:offset + n] = run_of(rnd, n)


def vandal_runs(pid, until, rnd, pause_s):
    done, board, fresh = 0, None, 0
    while time.monotonic() < until:
        if time.monotonic() >= fresh:
            if board:
                board.close()
            board, fresh = Board(pid), time.monotonic() + 0.5
        for _ in range(1 if pause_s > 0.001 else 20):
            damage_run(board, rnd)
            done += 1
        time.sleep(pause_s)
    return done


def vandal_sweep(pid, until, rnd, pause_s):
    """Every byte of every file in turn, inverted; chunk by chunk, so that it takes the time there is."""
    begun, done, todo = time.monotonic(), 0, sorted(Board(pid).maps)
    total = sum(bytes_used(k) for k in todo)
    for key in todo:
        for start in range(0, bytes_used(key), 128):
            board = Board(pid) if start % 8192 == 0 else board
            m = board[key]
            for i in range(start, min(start + 128, bytes_used(key))):
                m[i] ^= 0xff
                done += 1
            due = begun + (until - begun) * done / total
            time.sleep(max(0, due - time.monotonic()))
    return done


HOWS = {'gentle': (vandal_runs, 0.02), 'storm': (vandal_runs, 0.0005), 'sweep': (vandal_sweep, 0)}


def main():
    pid, how, seconds, seed = int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
    run, pause = HOWS[how]
    print(json.dumps({'how': how, 'blows': run(pid, time.monotonic() + seconds, random.Random(seed), pause)}))


if __name__ == '__main__':
    main()
