"""Instances with cpus, mems and memory under each kind of cgroup: nothing applies them yet, and nobody is led to believe otherwise."""
import time

from world import (CGROUP, CONF_D, STARTED, chat, check, drop_in, in_cgroup, instance, messages, must, pids, proc_status, run, settled, show,
                   write_instance)

CONTROLLERS = 'cpuset cpu memory pids'


def placement(pid):
    st = proc_status(pid)
    with open(f'/proc/{pid}/cgroup') as f:
        return st['Cpus_allowed_list'], st['Mems_allowed_list'], f.read().strip()


def unpinned_under(text, controllers):
    """A start with this drop-in: the instance runs where everybody does, one warning, and tsactl doctor says so."""
    run('systemctl', 'stop', 'tsa')
    drop_in(text)
    write_instance('pinned', STARTED + 2, '\tcpus = "0"\n\tmems = "0"\n\tmemory { max = 1GiB }\n')
    try:
        since = time.time()
        must('systemctl', 'start', 'tsa')
        p = pids(settled(3))
        have = (CGROUP / 'cgroup.controllers').read_text().split()
        assert have == controllers.split(), have
        mine = placement(p['router 0'])
        assert placement(p['ollama pinned']) == placement(p['worker pinned']) == mine, 'half pinned'
        assert mine[0] == proc_status(1)['Cpus_allowed_list'] and set(p.values()) - {p['ollama ollama']} <= set(in_cgroup())
        said = [m for m in messages(since) if 'runs unpinned' in m]
        assert len(said) == 1 and 'instance pinned' in said[0], said
        doctor = run('tsactl', 'doctor').stdout
        assert 'checked and not applied' in doctor, doctor
        assert instance('pinned')['state'] == 'ready' and chat('sim:tokens=1')[0] == 200
        must('systemctl', 'stop', 'tsa')
        assert show('Result') == 'success'
    finally:
        run('systemctl', 'stop', 'tsa')
        (CONF_D / 'pinned.conf').unlink()
        drop_in('')
    return f'{mine[2]}; controllers: {" ".join(have) or "none"}; "{said[0]}"'


# promise 26
@check
def cgroups_delegated():
    """pure cgroup v2, delegated to the user of the unit as shipped"""
    return unpinned_under('', CONTROLLERS)


# promise 26
@check
def cgroups_read_only():
    """ProtectControlGroups=yes: /sys/fs/cgroup is read-only for tsa"""
    return unpinned_under('[Service]\nProtectControlGroups=yes\n', CONTROLLERS)


# promise 26
@check
def cgroups_without_cpuset():
    """the controllers cpuset and cpu are not there"""
    return unpinned_under('[Service]\nDelegate=\nDelegate=memory pids\n', 'memory pids')
