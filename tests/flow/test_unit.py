"""The unit that is shipped, as the service manager's own tool judges it; what it does under a real one is shown by tests/vm."""
import re
import shutil
import subprocess

import pytest
from fabric import BUILD, ROOT

# Of 10; a supervisor that starts other programs and delegates cgroups cannot do much better (the unit says why).
EXPOSURE_MAX = 2.0

pytestmark = pytest.mark.skipif(shutil.which('systemd-analyze') is None, reason='systemd-analyze is not installed')


@pytest.fixture
def unit(tmp_path):
    """As `make install` makes it, with the programs where they are."""
    to = tmp_path / 'tsa.service'
    to.write_text(re.sub('@S?BINDIR@', str(BUILD), (ROOT / 'etc/tsa.service').read_text()))
    return to


def analyze(*argv):
    return subprocess.run(['systemd-analyze', *argv], capture_output=True, text=True, timeout=60)


def test_the_unit_has_no_mistake(unit):
    r = analyze('verify', '--man=no', str(unit))
    # Units of the machine that lean on others that it lacks are not our mistake.
    ours = [line for line in (r.stdout + r.stderr).splitlines() if 'tsa' in line]
    if r.returncode and not ours:
        pytest.skip(f'systemd-analyze cannot look at units here: {r.stderr.strip()[:200]}')
    assert r.returncode == 0 and not ours, ours


def test_a_mistake_in_the_unit_is_seen(unit):
    """Else the test above would say nothing."""
    unit.write_text(unit.read_text().replace('WatchdogSec=', 'WatchdogSecs=').replace('KillMode=process', 'KillMode=some'))
    said = analyze('verify', '--man=no', str(unit)).stderr
    assert 'WatchdogSecs' in said and 'some' in said, said


def test_the_unit_is_confined(unit):
    """Its exposure is within the bound, and one line less is noticed."""
    security = ('security', '--offline=yes', '--no-pager', f'--threshold={int(EXPOSURE_MAX * 10)}')
    r = analyze(*security, str(unit))
    assert r.returncode == 0, r.stdout[-200:] + r.stderr
    assert float(re.search(r'exposure level for tsa.service: ([0-9.]+)', r.stdout)[1]) <= EXPOSURE_MAX
    unit.write_text(unit.read_text().replace('NoNewPrivileges=yes', 'NoNewPrivileges=no').replace('CapabilityBoundingSet=\n', ''))
    assert analyze(*security, str(unit)).returncode != 0
