"""host-local's rules: round robin, one address per sandbox, records that outlive the process."""

from pathlib import Path

import pytest

from knet.cni.ipam import AddressesExhausted, Allocation, Ipam

SUBNET = "10.244.1.0/24"
SMALL = "10.244.1.0/29"  # .2 to .6


def allocate(ipam: Ipam, *numbers: int, subnet: str = SUBNET) -> list[str]:
    return [ipam.allocate(subnet, f"sandbox{number}", f"default/web-{number}").address for number in numbers]


def test_the_first_addresses_follow_the_gateway(tmp_path: Path):
    assert allocate(Ipam(tmp_path), 1, 2, 3) == ["10.244.1.2", "10.244.1.3", "10.244.1.4"]


def test_an_address_that_was_given_back_waits_for_the_round_to_end(tmp_path: Path):
    ipam = Ipam(tmp_path)
    allocate(ipam, 1, 2, subnet=SMALL)
    ipam.release("sandbox1")
    assert allocate(ipam, 3, 4, 5, 6, subnet=SMALL) == ["10.244.1.4", "10.244.1.5", "10.244.1.6", "10.244.1.2"]


def test_the_same_sandbox_keeps_its_address(tmp_path: Path):
    ipam = Ipam(tmp_path)
    assert allocate(ipam, 1, 1) == ["10.244.1.2", "10.244.1.2"]


def test_an_exhausted_range_says_so_in_upstreams_words(tmp_path: Path):
    ipam = Ipam(tmp_path)
    allocate(ipam, 1, 2, 3, 4, 5, subnet=SMALL)
    with pytest.raises(AddressesExhausted, match=r"no IP addresses available in range set: 10.244.1.1-10.244.1.6"):
        allocate(ipam, 6, subnet=SMALL)
    ipam.release("sandbox3")
    assert allocate(ipam, 6, subnet=SMALL) == ["10.244.1.4"]


def test_allocations_and_the_round_survive_a_restart(tmp_path: Path):
    before = Ipam(tmp_path)
    allocate(before, 1, 2)
    before.release("sandbox2")
    after = Ipam(tmp_path)
    assert after.held() == [Allocation("10.244.1.2", "sandbox1", "default/web-1")]
    assert allocate(after, 1, 3) == ["10.244.1.2", "10.244.1.4"]


def test_releasing_twice_is_nothing(tmp_path: Path):
    ipam = Ipam(tmp_path)
    allocate(ipam, 1)
    assert ipam.release("sandbox1") == Allocation("10.244.1.2", "sandbox1", "default/web-1")
    assert ipam.release("sandbox1") is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last_reserved_ip.0"]


def test_the_files_are_upstreams(tmp_path: Path):
    allocate(Ipam(tmp_path), 1)
    assert (tmp_path / "10.244.1.2").read_bytes() == b"sandbox1\r\neth0\r\ndefault/web-1"
    assert (tmp_path / "last_reserved_ip.0").read_text() == "10.244.1.2"


def test_a_shorter_last_address_replaces_a_longer_one_completely(tmp_path: Path):
    (tmp_path / "last_reserved_ip.0").write_text("10.244.1.254")
    ipam = Ipam(tmp_path)
    allocate(ipam, 1)
    assert (tmp_path / "last_reserved_ip.0").read_text() == "10.244.1.2"


def test_another_subnet_starts_its_own_round(tmp_path: Path):
    ipam = Ipam(tmp_path)
    allocate(ipam, 1, 2)
    assert allocate(ipam, 3, subnet="10.244.7.0/24") == ["10.244.7.2"]


def test_a_record_somebody_else_made_is_respected(tmp_path: Path):
    (tmp_path / "10.244.1.2").write_text("other\r\neth0")
    assert allocate(Ipam(tmp_path), 1) == ["10.244.1.3"]


DUAL = "10.244.1.0/29,fd00:10:244:1::/125"


def test_a_sandbox_gets_an_address_of_each_family(tmp_path: Path):
    ipam = Ipam(tmp_path)
    assert ipam.allocate(DUAL, "one", "default/web").addresses == ("10.244.1.2", "fd00:10:244:1::2")
    ipam.allocate(DUAL, "two", "default/db")
    assert ipam.release("one") == Allocation("10.244.1.2", "one", "default/web", ("fd00:10:244:1::2",))
    again = Ipam(tmp_path)
    assert again.held() == [Allocation("10.244.1.3", "two", "default/db", ("fd00:10:244:1::3",))]
    assert again.allocate(DUAL, "three", "default/web").addresses == ("10.244.1.4", "fd00:10:244:1::4")
    assert {path.name for path in tmp_path.iterdir()} >= {"last_reserved_ip.0", "last_reserved_ip.1"}


def test_it_gets_both_or_none(tmp_path: Path):
    ipam = Ipam(tmp_path)
    for number in range(5):
        ipam.allocate("10.244.1.0/24,fd00::/125", f"s{number}", "default/web")
    ipam.allocate("10.244.1.0/24,fd00::/125", "s5", "default/web")  # ::7, which no broadcast takes in IPv6
    with pytest.raises(
        AddressesExhausted, match=r"for range 1: no IP addresses available in range set: fd00::1-fd00::7"
    ):
        ipam.allocate("10.244.1.0/24,fd00::/125", "late", "default/web")
    assert not (tmp_path / "10.244.1.8").exists()
    assert ipam.find("late") is None
