"""What a container sees, and that nothing it does reaches the host."""

import os
from pathlib import Path

import pytest
from kubelet_harness import isolated, runtime

from knet.kernel import privileges
from knet.kubelet.runtime.containers import Mount
from knet.kubelet.runtime.shim_client import StartError

pytestmark = pytest.mark.root


@isolated
async def test_writes_of_a_container_do_not_reach_the_host() -> None:
    there = await runtime()
    before = Path("/etc/passwd").read_bytes()
    await there.shell(
        "echo evil > /etc/passwd; echo x > /usr/bin/evil; rm -rf /usr/share/doc; touch /here", image="debian"
    )
    assert Path("/etc/passwd").read_bytes() == before
    assert not Path("/usr/bin/evil").exists() and not Path("/here").exists() and Path("/usr/share/doc").is_dir()


@isolated
async def test_private_parts_of_the_host_are_hidden() -> None:
    there = await runtime()
    Path("/run/secret").write_text("host's")
    text = await there.shell("ls -A /root /home /run /srv /mnt; cat /etc/shadow /etc/passwd", image="debian")
    assert "secret" not in text and "root:*:" in text
    own = Path("/etc/shadow").read_text()
    assert own not in text


@isolated
async def test_busybox_has_nothing_of_the_host() -> None:
    there = await runtime()
    text = await there.shell("ls /; which nginx python3 || true; cat /etc/passwd | head -1; nslookup 2>&1 | head -1")
    assert "usr" in text.split() and "nginx" not in text and "boot" not in text.split()


@isolated
async def test_the_default_capabilities_are_dockers() -> None:
    there = await runtime()
    text = await there.shell("grep -E 'Cap(Bnd|Eff)' /proc/self/status")
    mask = sum(1 << privileges.NUMBERS[name] for name in privileges.CONTAINER_DEFAULT)
    assert [int(line.split()[1], 16) for line in text.splitlines()] == [mask, mask]
    code, text = await there.run("debian", "sh", "-c", "mount -t tmpfs x /mnt", number=1)
    assert code != 0 and "permission denied" in text.lower()


@isolated
async def test_kernel_settings_are_read_only_and_kernel_memory_is_masked() -> None:
    there = await runtime()
    code, text = await there.run("busybox", "sh", "-c", "echo 1 > /proc/sys/vm/drop_caches")
    assert code != 0 and "Read-only" in text
    text = await there.shell(
        "cat /proc/kcore /proc/timer_list 2>/dev/null | wc -c; touch /sys/x 2>&1 || echo refused", number=1
    )
    assert text.split()[0] == "0" and "refused" in text


@isolated
async def test_a_container_is_process_one_of_its_own_and_shares_the_pods_network() -> None:
    there = await runtime()
    text = await there.shell(
        "echo $$; ls /proc | grep -c '^[0-9]'; readlink /proc/self/ns/net; readlink /proc/self/ns/uts"
    )
    pid, _, net, uts = text.split()
    assert pid == "1"
    for kind, found in (("net", net), ("uts", uts)):
        assert found == f"{kind}:[{os.stat(there.sandbox.namespaces.fds[kind]).st_ino}]"
        assert found != os.readlink(f"/proc/self/ns/{kind}")


@isolated
async def test_etc_files_are_the_pods_and_volumes_are_mounted_where_they_belong() -> None:
    there = await runtime()
    volume = there.root / "volume"
    volume.mkdir()
    (volume / "file").write_text("content\n")
    mounts = (
        Mount(volume, "/data"),
        Mount(volume, "/var/run/secrets/token", read_only=True),
        Mount(volume / "file", "/etc/single"),
    )
    text = await there.shell(
        "cat /etc/hosts /data/file /var/run/secrets/token/file /etc/single; echo new > /data/new;"
        "touch /var/run/secrets/token/x 2>&1 || echo refused",
        image="debian",
        mounts=mounts,
    )
    assert text.startswith("# of the pod\ncontent\ncontent\ncontent\n") and "refused" in text
    assert (volume / "new").read_text() == "new\n"
    assert not Path("/run/secrets").exists(), "a link of the image must not lead out of it"


@isolated
async def test_a_read_only_root_leaves_volumes_writable() -> None:
    there = await runtime()
    volume = there.root / "volume"
    volume.mkdir()
    text = await there.shell(
        "touch /x 2>&1 || echo refused; touch /data/x", read_only=True, mounts=(Mount(volume, "/data"),)
    )
    assert "refused" in text and (volume / "x").exists()


@isolated
async def test_users_by_name_and_number() -> None:
    there = await runtime()
    assert (await there.shell("id -u; id -g; echo $HOME", user="nginx")).split() == ["101", "101", "/var/cache/nginx"]
    assert (await there.shell("id -u; id -g", user="1234", group=7, number=1)).split() == ["1234", "7"]
    assert (await there.shell("echo to-stdout > /dev/stdout", user="1234", number=2)) == "to-stdout\n"
    with pytest.raises(StartError, match="unable to find user nobody-here"):
        await there.start("busybox", "true", user="nobody-here", number=3)


@isolated
async def test_devices_work_and_terminals_can_be_opened() -> None:
    there = await runtime()
    text = await there.shell(
        "head -c 4 /dev/zero | wc -c; head -c 4 /dev/urandom | wc -c; echo x > /dev/null; echo y > /dev/shm/y;"
        "cat < /dev/shm/y; test -c /dev/pts/ptmx; echo err > /dev/stderr"
    )
    assert sorted(text.split()) == ["4", "4", "err", "y"]


@isolated
async def test_a_privileged_container_keeps_all_capabilities() -> None:
    there = await runtime()
    every = frozenset(privileges.NUMBERS)
    await there.shell("mount -t tmpfs x /mnt && touch /mnt/x", image="debian", privileged=True, capabilities=every)


@isolated
async def test_a_program_that_cannot_be_executed_is_told_in_runcs_words() -> None:
    there = await runtime()
    for number, (program, message) in enumerate(
        [
            ("nosuch", 'exec: "nosuch": executable file not found in $PATH'),
            ("/no/such", 'exec: "/no/such": stat /no/such: no such file or directory'),
            ("/etc/passwd", 'exec: "/etc/passwd": permission denied'),
        ]
    ):
        with pytest.raises(StartError) as caught:
            await there.start("busybox", program, number=number)
        assert message in str(caught.value)
        attempts, running = there.containers.attempts(there.paths, "c")
        assert running is None and attempts[-1].exit is not None
        assert (attempts[-1].exit.code, attempts[-1].exit.reason) == (128, "StartError")
