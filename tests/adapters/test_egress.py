"""Which addresses may be reached: every trick in the table, refused unless an administrator lets it through."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenkeep.adapters.egress import Egress, is_public, unwrap

REFUSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.255.0.1", "168.63.129.16",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
    "198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::10.0.0.1", "64:ff9b::a9fe:a9fe",
    "64:ff9b::7f00:1", "64:ff9b:1::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::", "100::1",
    "2001::1", "2001:db8::1", "2001:10::1", "3ffe::1", "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fec0::1",
    "ff02::1", "4000::1", "5f00::1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255", "140.82.121.5",
    "2606:4700::1111", "2a00:1450:4001::200e", "2001:4860:4860::8888", "::ffff:8.8.8.8", "64:ff9b::808:808",
    "2002:808:808::1",
]  # fmt: skip


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_not_global_unicast_is_refused(address):
    assert not is_public(ip_address(address))
    assert not Egress().permits("host.example", address)


@pytest.mark.parametrize("address", PUBLIC)
def test_global_unicast_is_permitted(address):
    assert Egress().permits("host.example", address)


@pytest.mark.parametrize(
    ("address", "inner"),
    [
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("::10.1.2.3", "10.1.2.3"),
        ("64:ff9b::a01:203", "10.1.2.3"),
        ("2002:a01:203::5", "10.1.2.3"),
        ("::1", "::1"),
        ("2606:4700::1", "2606:4700::1"),
    ],
)
def test_unwrap(address, inner):
    assert unwrap(ip_address(address)) == ip_address(inner)


def test_a_zone_or_junk_is_no_way_around():
    assert not Egress().permits("h", "fe80::1%eth0")
    assert not Egress().permits("h", "::ffff:127.0.0.1%1")
    assert not Egress().permits("h", "localhost")
    assert not Egress().permits("h", "")


def test_a_network_is_let_through_whatever_the_name():
    egress = Egress(["10.1.0.0/16", "fd00::/8", "127.0.0.1"])
    assert egress.permits("any.example", "10.1.2.3")
    assert egress.permits("any.example", "::ffff:10.1.2.3")
    assert egress.permits("any.example", "fd12::1")
    assert egress.permits("any.example", "127.0.0.1")
    assert not egress.permits("any.example", "10.2.0.1")
    assert not egress.permits("any.example", "127.0.0.2")


def test_a_host_is_let_through_under_its_name_only_and_never_to_metadata():
    egress = Egress(["Git.Internal"])
    assert egress.permits("git.internal", "10.1.2.3")
    assert egress.permits("GIT.INTERNAL", "fd12::1")
    assert not egress.permits("evil.example", "10.1.2.3")
    for metadata in (
        "169.254.169.254",
        "168.63.129.16",
        "192.0.0.192",
        "fd00:ec2::254",
        "fe80::1",
        "::ffff:169.254.169.254",
    ):
        assert not egress.permits("git.internal", metadata)


@pytest.mark.parametrize(
    ("allow", "host", "permitted"),
    [
        ([], "localhost", False),
        ([], "127.0.0.1", False),
        (["localhost"], "localhost", True),
        (["localhost"], "127.0.0.1", False),
        (["127.0.0.0/8"], "127.0.0.1", True),
        (["127.0.0.0/8"], "localhost", True),
        (["::1"], "::1", True),
        (["10.0.0.0/8"], "10.0.0.1", False),
        (["git.internal"], "git.internal", False),
        ([], "example.com", False),
    ],
)
def test_plain_http_goes_only_to_this_machine_and_only_where_let_through(allow, host, permitted):
    assert Egress(allow).permits_plain(host) is permitted


@given(st.ip_addresses())
def test_every_address_gets_an_answer_and_wrapping_changes_none(address):
    if address.version == 4:
        assert is_public(address) == is_public(ip_address(f"::ffff:{address}"))
        assert is_public(address) == is_public(ip_address((0x0064FF9B << 96) | int(address)))
    else:
        is_public(address)
