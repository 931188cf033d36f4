"""Decides which addresses a call to a partner may reach: public ones only, whatever they are embedded in.

It does not ask the standard library's `is_global`, whose registries are those of one release of Python.
"""

import re
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

# Everything in the IANA special-purpose registries, also the few blocks that are globally reachable: those are anycast
# services of routers and name servers, answered inside many networks, and nobody receives calls there.
_SPECIAL_IPV4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_GLOBAL_UNICAST = ip_network("2000::/3")
# 2001::/23 holds Teredo, benchmarking, ORCHID and others; 2002::/16 is 6to4. Both kinds of tunnel end where the IPv4
# addresses in them say, so they are refused whole. So is every address outside of global unicast, which covers
# IPv4-compatible addresses and the local translation prefix 64:ff9b:1::/48.
_SPECIAL_IPV6 = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20")))
# In these two the IPv4 address is the one that is reached: IPv4-mapped addresses, and NAT64 as DNS64 makes them.
_STANDS_FOR_IPV4 = tuple(map(ip_network, ("::ffff:0:0/96", "64:ff9b::/96")))
_ISATAP, _ISATAP_MASK = 0x00005EFE, 0xFCFFFFFF

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
MOST_OF_NAME = 253


def is_public(address: str) -> bool:
    """Tell whether an address and each IPv4 address embedded in it are public. Raises `ValueError` if it is malformed."""
    found = ip_address(address)
    if isinstance(found, IPv4Address):
        return _is_public_ipv4(found)
    if found.scope_id is not None:
        return False
    if any(found in block for block in _STANDS_FOR_IPV4):
        return _is_public_ipv4(_last_bits(found))
    if found not in _GLOBAL_UNICAST or any(found in block for block in _SPECIAL_IPV6):
        return False
    return not _is_isatap(found) or _is_public_ipv4(_last_bits(found))


def is_name(host: str) -> bool:
    """Tell whether a lower-case host is a DNS name in ASCII, and not an IP address in any notation.

    A name whose last label is a number is an IPv4 address to many resolvers: decimal, octal, hexadecimal or short
    (https://url.spec.whatwg.org/#ends-in-a-number-checker).
    """
    labels = host.removesuffix(".").split(".")
    well_formed = len(host) <= MOST_OF_NAME and all(_LABEL.fullmatch(label) for label in labels)
    return well_formed and not _NUMBER.fullmatch(labels[-1])


def _is_public_ipv4(address: IPv4Address) -> bool:
    return not any(address in block for block in _SPECIAL_IPV4)


def _last_bits(address: IPv6Address) -> IPv4Address:
    return IPv4Address(int(address) & 0xFFFFFFFF)


def _is_isatap(address: IPv6Address) -> bool:
    """Tell whether an interface identifier holds an IPv4 address (RFC 5214, section 6.1), with either value of its flags."""
    return (int(address) >> 32) & _ISATAP_MASK == _ISATAP
