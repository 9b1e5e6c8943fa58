"""Which addresses may be reached from here.

Owns: the table of refused networks, unwrapping of addresses that hide another one, and what an administrator lets
through. Does not own: resolving names and connecting (`outbound`).

Python's own `is_global` is not asked: it calls NAT64, 6to4, multicast and some cloud metadata addresses global.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

_REFUSED_4 = tuple(
    IPv4Network(network)
    for network in (
        "0.0.0.0/8",  # this host
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' private; Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's host agent
        "169.254.0.0/16",  # link-local; most clouds' metadata
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # former 6to4 relays
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
_UNICAST_6 = IPv6Network("2000::/3")
"""All that is assigned as global unicast. Loopback, ULA, link- and site-local, multicast lie outside."""

_REFUSED_6 = tuple(
    IPv6Network(network)
    for network in (
        "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "3ffe::/16",  # the former 6bone
        "3fff::/20",  # documentation
    )
)
_MAPPED = IPv6Network("::ffff:0:0/96")
_COMPATIBLE = IPv6Network("::/96")
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")
_NEVER_BY_NAME = (
    IPv4Network("0.0.0.0/8"),
    IPv4Network("169.254.0.0/16"),
    IPv4Network("168.63.129.16/32"),
    IPv4Network("192.0.0.0/24"),
    IPv4Network("224.0.0.0/3"),
    IPv6Network("fe80::/10"),
    IPv6Network("fd00:ec2::/32"),  # Amazon's metadata
    IPv6Network("ff00::/8"),
)
"""Not even an allowed name may resolve to these; an administrator who means it writes the network itself."""

_LOWEST_COMPATIBLE = 0x10000  # below lie `::`, `::1` and their like


def unwrap(address: Address) -> Address:
    """The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address; any other address as it is."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    if address in _SIX_TO_FOUR:
        return IPv4Address((number >> 80) & 0xFFFFFFFF)
    hidden = address in _MAPPED or address in _NAT64 or (address in _COMPATIBLE and number >= _LOWEST_COMPATIBLE)
    return IPv4Address(number & 0xFFFFFFFF) if hidden else address


def is_public(address: Address) -> bool:
    """Global unicast, also after unwrapping."""
    address = unwrap(address)
    if isinstance(address, IPv4Address):
        return not any(address in network for network in _REFUSED_4)
    return address in _UNICAST_6 and not any(address in network for network in _REFUSED_6)


class Egress:
    """What may be reached: the public internet, and the hosts and networks an administrator lets through."""

    def __init__(self, allow: Sequence[str] = ()) -> None:
        """`allow` holds host names, addresses and CIDR networks."""
        self._networks: list[IPv4Network | IPv6Network] = []
        self._hosts: set[str] = set()
        for entry in allow:
            try:
                self._networks.append(ip_network(entry.strip("[]"), strict=False))
            except ValueError:
                self._hosts.add(entry.casefold())

    def permits(self, host: str, address: str) -> bool:
        """Whether a connection to `host` may go to this address of it."""
        try:
            inner = unwrap(ip_address(address.partition("%")[0]))
        except ValueError:
            return False
        return is_public(inner) or self.lets_through(host, address)

    def lets_through(self, host: str, address: str) -> bool:
        """Whether an administrator has named this address, or the host that it is an address of."""
        wrapped = ip_address(address.partition("%")[0])
        inner = unwrap(wrapped)
        if any(found in network for network in self._networks for found in (wrapped, inner)):
            return True
        return host.casefold() in self._hosts and not any(inner in network for network in _NEVER_BY_NAME)

    def permits_plain(self, host: str) -> bool:
        """Whether `host` may be spoken to without TLS: this machine only, and only where it is let through."""
        if host.casefold() == "localhost":
            return "localhost" in self._hosts or self.permits(host, "127.0.0.1")
        try:
            address = ip_address(host.strip("[]"))
        except ValueError:
            return False
        return address.is_loopback and self.permits(host, str(address))
