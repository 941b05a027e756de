"""For pytest: everything replay.py knows, as one test."""

import os
import subprocess
import sys


def test_replay():
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "replay.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
