"""Files that other people's programs read: scapy's reader, and tshark where it is installed (scripts/install --dev)."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from inspect_cluster import NODES, PODS, SERVICES
from scapy.utils import PcapNgReader, RawPcapNgReader
from test_capture_lines import SYN, TUNNEL, ether, site

from knet.inspect.capture.pcapng import Pcapng
from knet.inspect.names import Names
from knet.inspect.places import Place
from knet.kernel.packets import BROADCAST, MULTICAST, OUTGOING, TO_OTHERS, TO_US, Seen

PLACES = [Place(site("n1"), "cni0", 3, "0a:58:0a:f4:01:01"), Place(site("client"), "client-eth0", 2)]
LATER = Place(site("n2"), "n2-eth0", 2, "02:42:ac:12:00:04")
FIRST = 1_795_691_601_663_207_645
FRAMES = [bytes(ether(SYN)), bytes(ether(TUNNEL / ether(SYN))), bytes(12) + b"\x88\xb5odd", bytes(ether(SYN))[:40]]
ROWS = [
    # time, place, kind, length, frame
    (FIRST, 0, TO_US, len(FRAMES[0]), FRAMES[0]),
    (FIRST + 1, 1, OUTGOING, len(FRAMES[1]), FRAMES[1]),
    (FIRST + 2, 0, BROADCAST, len(FRAMES[2]), FRAMES[2]),
    (FIRST + 1_000_000_000, 1, TO_OTHERS, len(FRAMES[0]), FRAMES[3]),
    (FIRST + 1_000_000_001, 2, MULTICAST, len(FRAMES[1]), FRAMES[1]),
]
COMMENTS = [
    "default/client → svc/default/web",
    "n1 → n2: default/client → svc/default/web",
    None,
    "default/client → svc/default/web",
    "n1 → n2: default/client → svc/default/web",
]


@pytest.fixture
def written(tmp_path: Path) -> Path:
    names = Names()
    names.know(PODS, NODES, SERVICES)
    pcapng = Pcapng(names)
    seen = [Seen(*row) for row in ROWS]
    parts = [pcapng.begin(PLACES), pcapng.packets(seen[:3]), pcapng.joined(LATER), pcapng.packets(seen[3:])]
    path = tmp_path / "capture.pcapng"
    path.write_bytes(b"".join(parts) + pcapng.end([(2, 0), (2, 7), (1, 0)], FIRST + 2_000_000_000))
    return path


def test_scapy_reads_the_packets_as_they_were_put_in(written: Path) -> None:
    with RawPcapNgReader(str(written)) as reader:
        found = [(about.tshigh << 32 | about.tslow, about.wirelen, data) for data, about in reader]
    assert found == [(row[0], row[3], row[4]) for row in ROWS]


def test_scapy_reads_where_they_were_and_whose(written: Path) -> None:
    with PcapNgReader(str(written)) as reader:
        found = [(packet.sniffed_on, packet.comment, packet.direction) for packet in reader]
    names = ["n1/cni0", "client/client-eth0", "n1/cni0", "client/client-eth0", "n2/n2-eth0"]
    directions = [2 if row[2] == OUTGOING else 1 for row in ROWS]
    comments = [comment and comment.encode() for comment in COMMENTS]
    assert found == list(zip(names, comments, directions, strict=True))


@pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark: scripts/install --dev")
def test_tshark_reads_it_without_complaint(written: Path) -> None:
    fields = ["frame.time_epoch", "frame.interface_name", "frame.comment", "frame.packet_flags", "vxlan.vni"]
    options = [word for field in fields for word in ("-e", field)]
    done = subprocess.run(
        ["tshark", "-r", written, "-n", "-d", "udp.port==8472,vxlan", "-T", "json", *options],
        capture_output=True,
        text=True,
        env={"HOME": str(written.parent), "PATH": "/usr/bin:/bin"},
    )
    assert done.returncode == 0
    assert [row for row in done.stderr.splitlines() if "Running as user" not in row] == []
    layers = [row["_source"]["layers"] for row in json.loads(done.stdout)]
    found = [tuple(row.get(field, [None])[0] for field in fields) for row in layers]
    assert found == [
        ("1795691601.663207645", "n1/cni0", COMMENTS[0], "0x00000005", None),
        ("1795691601.663207646", "client/client-eth0", COMMENTS[1], "0x00000002", "1"),
        ("1795691601.663207647", "n1/cni0", None, "0x0000000d", None),
        ("1795691602.663207645", "client/client-eth0", COMMENTS[3], "0x00000011", None),
        ("1795691602.663207646", "n2/n2-eth0", COMMENTS[4], "0x00000009", "1"),
    ]


def test_new_names_are_told_from_then_on() -> None:
    names = Names()
    pcapng = Pcapng(names)
    seen = [Seen(0, 0, TO_US, len(FRAMES[0]), FRAMES[0])]
    assert "10.244.1.3 → 10.96.0.80".encode() in pcapng.packets(seen)
    names.know(PODS, NODES, SERVICES)
    pcapng.forget()
    assert "default/client → svc/default/web".encode() in pcapng.packets(seen)
