"""What DNS knows while Services and slices come, change and go."""

import msgspec

from knet.api.objects import Meta, Namespace
from knet.dns.directory import Directory
from knet.dns.zone import Zone, name_of
from tests.cluster_objects import endpoint, endpoint_slice, service


def names_at(directory, address):
    return [row.name for row in directory.at(address)]


def test_a_service_that_changes_its_address_is_found_at_the_new_one_only():
    old, new = service("web", "10.96.0.80"), service("web", "10.96.0.81")
    directory = Directory([old])
    directory.service_changed(old, new)
    assert (names_at(directory, "10.96.0.80"), names_at(directory, "10.96.0.81")) == ([], ["web"])


def test_namespaces_come_and_go():
    empty = Namespace(metadata=Meta(name="empty"))
    directory = Directory(namespaces=[empty])
    assert directory.has_namespace("empty")
    directory.namespace_changed(empty, empty)
    assert directory.has_namespace("empty")
    directory.namespace_changed(empty, None)
    assert not directory.has_namespace("empty")


def test_an_address_in_two_slices_stays_known_until_both_are_gone():
    first, second = endpoint_slice("db", "10.244.1.2"), endpoint_slice("db", "10.244.1.2", suffix="b")
    directory = Directory([service("db", "None")], [first, second])
    directory.slice_changed(first, None)
    assert names_at(directory, "10.244.1.2") == ["db"]
    directory.slice_changed(second, None)
    assert names_at(directory, "10.244.1.2") == []


def test_slices_may_come_before_their_service():
    web = service("db", "None")
    directory = Directory([], [endpoint_slice("db", "10.244.1.2")])
    zone = Zone(directory, "cluster.local")
    assert not zone.lookup(name_of("db.default.svc.cluster.local"), "A").exists
    directory.service_changed(None, web)
    assert [row.data for row in zone.lookup(name_of("db.default.svc.cluster.local"), "A").records] == ["10.244.1.2"]


def test_every_change_makes_a_new_version():
    web, slices = service("web"), endpoint_slice("web", "10.244.1.2")
    directory = Directory()
    versions = [directory.version]
    for change in (
        lambda: directory.service_changed(None, web),
        lambda: directory.slice_changed(None, slices),
        lambda: directory.slice_changed(slices, None),
        lambda: directory.service_changed(web, None),
    ):
        change()
        versions.append(directory.version)
    assert len(set(versions)) == len(versions)


def test_what_is_no_matter_of_dns_makes_none():
    web, slices = service("web"), endpoint_slice("web", "10.244.1.2")
    empty = Namespace(metadata=Meta(name="empty"))
    directory = Directory([web], [slices], [empty])
    version = directory.version
    directory.service_changed(web, msgspec.structs.replace(web, metadata=Meta(name="web", namespace="default")))
    directory.slice_changed(slices, endpoint_slice("web", "10.244.1.2"))
    directory.namespace_changed(empty, empty)
    assert directory.version == version
    directory.slice_changed(slices, endpoint_slice("web", endpoint("10.244.1.2", ready=False)))
    assert directory.version == version + 1


def test_nothing_is_left_of_what_has_gone():
    web, slices = service("web"), endpoint_slice("web", "10.244.1.2")
    directory = Directory([web], [slices])
    directory.service_changed(web, None)
    directory.slice_changed(slices, None)
    assert vars(directory) == {**vars(Directory()), "version": directory.version}
