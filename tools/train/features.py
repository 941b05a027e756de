"""What route/ sees in a prompt, asked of route/ itself."""
import os
import subprocess

import numpy as np

UNKNOWN = 0xffff


class Features:
    """`program` is build/tsa-features; `vocabulary` a file with a piece per line."""

    def __init__(self, program, vocabulary, most=96):
        self.command = [program, vocabulary, str(most)]
        if not os.access(program, os.X_OK):
            raise SystemExit(f'{program} is missing: run make')

    def __call__(self, texts):
        """-> lists of piece ids (uint16 arrays, in order), cue bits (n, 128) as 0 and 1."""
        data = bytearray()
        for t in texts:
            b = t.encode('utf-8', 'surrogatepass')
            data += len(b).to_bytes(4, 'little') + b
        out = subprocess.run(self.command, input=bytes(data), stdout=subprocess.PIPE, check=True).stdout
        pieces, cues, at = [], np.zeros((len(texts), 128), np.float32), 0
        for i in range(len(texts)):
            n = int.from_bytes(out[at:at + 2], 'little')
            pieces.append(np.frombuffer(out, '<u2', n, at + 2))
            at += 2 + 2 * n
            cues[i] = np.unpackbits(np.frombuffer(out, np.uint8, 16, at), bitorder='little')
            at += 16
        return pieces, cues


def cue_list(program):
    """-> checksum, names."""
    lines = subprocess.run([program, '--cues'], stdout=subprocess.PIPE, check=True, text=True).stdout.splitlines()
    return int(lines[0], 16), lines[1:]
