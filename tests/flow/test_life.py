"""The life of a child: the table explored to the end, and what that found in the real supervisor."""
import os
import signal
import subprocess

from fabric import BUILD, Fabric, alive, wait_for


def test_the_table_of_a_child_keeps_its_claims_in_every_world():
    p = subprocess.run([BUILD / 'model/life'], capture_output=True, text=True, timeout=60)
    print(p.stdout)
    assert p.returncode == 0, p.stdout
    assert p.stdout.count('all hold') == 2 and 'is needed by a claim' in p.stdout


def test_a_worker_that_left_the_configuration_while_nobody_watched_is_not_started_again(sims, tmp_path):
    """It hangs, so its new supervisor has to kill it; that is no reason to give it a successor."""
    s = sims(2)
    d = tmp_path / 'f'
    d.mkdir()
    stays, leaves = (f'instance "{n}" {{ url = "http://127.0.0.1:{p}" }}\n' for n, p in zip(('stays', 'leaves'), s.ports))
    f = Fabric(d, conf=stays + leaves)
    hung = f.instance('leaves')['worker_pid']
    try:
        f.tsad.kill()
        f.tsad.p.wait()
        os.kill(hung, signal.SIGSTOP)
        f.write_conf(stays)
        f.start()
        wait_for(lambda: [i['name'] for i in f.status()['instances']] == ['stays'], 15, 'the one that left is gone')
        assert not alive(hung)
        assert 'worker leaves started' not in f.tsad.text().split('works on')[-1]
        assert 'cannot happen' not in f.tsad.text()
    finally:
        os.kill(hung, signal.SIGCONT) if alive(hung) else None
        assert f.stop() == 0
