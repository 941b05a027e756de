"""cpus, mems and memory of an instance: nothing applies them yet, and nobody is led to believe otherwise, whatever cgroups there are."""
import os
import pathlib
import subprocess

import pytest
from fabric import BUILD, chat, free_port


def placement(pid):
    """Where the kernel lets a process run, and in which cgroups it is."""
    status = pathlib.Path(f'/proc/{pid}/status').read_text()
    return ([x for x in status.split('\n') if x.startswith(('Cpus_allowed_list', 'Mems_allowed_list'))],
            pathlib.Path(f'/proc/{pid}/cgroup').read_text())


@pytest.mark.promise(26)
@pytest.mark.parametrize('cgroups', ['as they are', 'read-only', 'missing'])
def test_an_instance_starts_unpinned_with_one_warning(fabrics, cgroups):
    if cgroups != 'as they are' and (os.geteuid() or subprocess.run(['unshare', '--mount', 'true'], capture_output=True).returncode):
        pytest.skip('no mount namespace can be made here')
    mount = {'as they are': '', 'read-only': 'mount -o bind,ro /sys/fs/cgroup /sys/fs/cgroup &&', 'missing': 'mount -t tmpfs none /sys/fs/cgroup &&'}[cgroups]
    prefix = ['unshare', '--mount', 'sh', '-c', f'{mount} exec "$@"', 'sh'] if mount else []
    port = free_port()
    f = fabrics(prefix=prefix, conf=f'instance "own" {{\n\tcommand = {{"{BUILD}/ollama-sim", "serve"}}\n\tlisten = "127.0.0.1:{port}"\n'
                f'\tmodels = {{"sim-chat"}}\n\tcpus = "0"\n\tmems = "0"\n\tmemory {{ max = 1GiB }}\n}}\n')
    assert f.tsad.text().count('warning: instance own runs unpinned') == 1
    own = f.instance('own')
    mine = placement(os.getpid())
    assert placement(own['ollama_pid']) == placement(own['worker_pid']) == mine, 'never half pinned'
    assert chat(f.port, 'sim:tokens=1')[0] == 200
    doctor = subprocess.run([BUILD / 'tsactl', '--state', f.state, '--config', f.conf, 'doctor'], capture_output=True, text=True, timeout=60)
    assert 'checked and not applied' in doctor.stdout, doctor.stdout
