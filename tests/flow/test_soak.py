"""The soak in small: 40 seconds with a deed every 4.  It judges by deadlines that want a machine to itself; `make soak` is the real one."""
import os
import subprocess
import sys

import pytest
from fabric import BUILD, LONG, PATIENCE, ROOT, SANITIZED


@pytest.mark.skipif(not LONG, reason='TSA_LONG=1 adds it')
@pytest.mark.timeout(600)
def test_everything_at_once(tmp_path):
    env = {**os.environ, 'TSA_BUILD': str(BUILD), 'SOAK_S': '40', 'SOAK_CLIENTS': '8' if SANITIZED else '16', 'TMPDIR': str(tmp_path)}
    r = subprocess.run([sys.executable, ROOT / 'tests/soak/run'], capture_output=True, text=True, env=env, timeout=180 * PATIENCE)
    assert r.returncode == 0, r.stdout[-6000:] + r.stderr[-3000:]
