"""No call reaches an address of the IANA special-purpose registries, however it is written or embedded."""

import csv
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest

from services.common.http.outgoing import Answer, OutgoingClient, Unreachable
from services.common.http.public_addresses import is_name, is_public

# Both registries, and the ranges for multicast, reserved and unassigned addresses, with the RFC of each row. The two blocks
# that stand for IPv4 addresses (::ffff:0:0/96 and 64:ff9b::/96) are tested by the addresses embedded in them.
REGISTRY = list(csv.DictReader(Path(__file__).with_name("iana_special_purpose.csv").read_text("utf-8").splitlines()))
PUBLIC = ["1.1.1.1", "93.184.215.14", "192.0.1.0", "198.20.0.0", "223.255.255.255"]
INNER = ["127.0.0.1", "10.0.0.7", "169.254.169.254", "172.16.0.1", "192.168.1.1", "100.64.0.1", "0.0.0.0", "224.0.0.1"]
# Start of the block, bits between the IPv4 address and the end, bits that are flipped, and whether the address is public
# if the one in it is.
EMBEDDINGS = {
    "mapped": ("::ffff:0:0", 0, 0, True),
    "NAT64": ("64:ff9b::", 0, 0, True),
    "ISATAP": ("2606:4700::5efe:0:0", 0, 0, True),
    "ISATAP, universal": ("2606:4700::200:5efe:0:0", 0, 0, True),
    "ISATAP, group": ("2606:4700::300:5efe:0:0", 0, 0, True),
    "compatible": ("::", 0, 0, False),
    "translated": ("::ffff:0:0:0", 0, 0, False),
    "local NAT64": ("64:ff9b:1::", 0, 0, False),
    "local NAT64, /48": ("64:ff9b:1::", 48, 0, False),
    "6to4": ("2002::1", 80, 0, False),
    "Teredo server": ("2001::a247:28f1", 64, 0, False),
    "Teredo client": ("2001:0:5db8:d70e::", 0, 0xFFFFFFFF, False),
    "ISATAP, link local": ("fe80::5efe:0:0", 0, 0, False),
}
each_embedding = pytest.mark.parametrize("embedding", EMBEDDINGS)


def embedded(embedding: str, inner: str) -> str:
    """Return the IPv6 address in which an IPv4 address is embedded."""
    start, shift, flipped, _ = EMBEDDINGS[embedding]
    return str(IPv6Address(int(IPv6Address(start)) | (int(IPv4Address(inner)) ^ flipped) << shift))


def ends_and_middle(block: str) -> list[str]:
    """Return the first, the middle and the last address of a block."""
    network = ip_network(block)
    return [str(network[place]) for place in (0, network.num_addresses // 2, -1)]


@pytest.mark.parametrize("row", REGISTRY, ids=[row["block"] for row in REGISTRY])
def test_address_of_a_special_block_is_refused(row: dict[str, str]) -> None:
    """Also in blocks that are globally reachable: routers nearby answer at these anycast addresses, and no partner."""
    assert [address for address in ends_and_middle(row["block"]) if is_public(address)] == []


@pytest.mark.parametrize("row", REGISTRY, ids=[row["block"] for row in REGISTRY])
def test_row_of_the_registry_has_name_and_rfc(row: dict[str, str]) -> None:
    assert str(ip_network(row["block"])) == row["block"]
    assert row["name"]
    assert row["rfc"].startswith("RFC ")
    assert row["globally_reachable"] in {"yes", "no"}


@pytest.mark.parametrize(
    "address", [*PUBLIC, "2606:4700:4700::1111", "2a00:1450::1", "2001:200::1", "2003::1", "2620::1"]
)
def test_public_address_is_accepted(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", ["172.15.255.255", "172.32.0.0", "100.63.255.255", "100.128.0.0", "192.0.1.255"])
def test_neighbour_of_a_special_block_is_accepted(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address", ["1fff:ffff::1", "4000::", "64:ff9a::1.1.1.1", "64:ff9b::1:1.1.1.1", "::fffe:1.1.1.1"]
)
def test_address_outside_of_global_unicast_is_refused(address: str) -> None:
    assert not is_public(address)


@each_embedding
@pytest.mark.parametrize("inner", INNER)
def test_inner_address_is_refused_in_each_embedding(embedding: str, inner: str) -> None:
    assert not is_public(embedded(embedding, inner))


@each_embedding
@pytest.mark.parametrize("inner", PUBLIC)
def test_public_address_in_a_tunnel_is_refused(embedding: str, inner: str) -> None:
    """An address that only stands for a public IPv4 address is accepted, as where a network translates all of them."""
    assert is_public(embedded(embedding, inner)) is EMBEDDINGS[embedding][3]


@each_embedding
def test_special_ipv4_block_is_refused_in_each_embedding(embedding: str) -> None:
    blocks = [row["block"] for row in REGISTRY if "." in row["block"]]
    addresses = [embedded(embedding, inner) for block in blocks for inner in ends_and_middle(block)]
    assert [address for address in addresses if is_public(address)] == []


@pytest.mark.parametrize("address", ["fe80::1%eth0", "2606:4700::1%1", "::1%lo"])
def test_address_with_a_zone_is_refused(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["", "agency.example", "010.0.0.1", "1.1.1", "0x1.1.1.1", "1.1.1.1 ", "[::1]", "::g"]
)
def test_malformed_address_is_no_address(address: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the standard library's own, for each kind of malformed address
        is_public(address)


LITERALS = [
    "127.0.0.1",
    "93.184.215.14",
    "2130706433",
    "0x7f000001",
    "0x7f.0.0.1",
    "0X7F.1",
    "127.0x1",
    "0177.0.0.1",
    "017700000001",
    "127.1",
    "127.0.1",
    "127.0.0.1.",
    "2130706433.",
    "0x",
    "0",
    "1.2.3.4.5",
    "999999999999",
    "agency.example.0x7f",
    "agency.127",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "[2606:4700::1111]",
    "[fe80::1%25eth0]",
    "[fe80::1%eth0]",
    "[64:ff9b::a9fe:a9fe]",
    "[v1.agency]",
    "[agency.example]",
]


@pytest.mark.parametrize("host", LITERALS)
@pytest.mark.parametrize("port", ["", ":443", ":8443"])
def test_literal_address_is_refused_in_each_notation(host: str, port: str) -> None:
    """Nothing is looked up or sent for a URL that was set before such URLs were refused."""
    looked_up: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        looked_up.append(host)
        return ["93.184.215.14"]

    client = OutgoingClient(resolve=resolve)
    assert not client.accepts(f"https://{host}{port}/notices")
    with pytest.raises(Unreachable):
        client.post(f"https://{host}{port}/notices", "hello", {})
    assert looked_up == []


@pytest.mark.parametrize(
    "host",
    [
        "agency.example",
        "AGENCY.Example",
        "agency.example.",
        "xn--bcher-kva.example",
        "XN--BCHER-KVA.example",
        "127.0.0.1.agency.example",
        "0x7f.example",
        "1e3",
        "a_b.example",
        "a.b-c.example",
    ],
)
def test_name_in_any_spelling_may_be_called(host: str) -> None:
    assert OutgoingClient().accepts(f"https://{host}/notices")
    assert OutgoingClient().accepts(f"https://{host}:8443/notices")


@pytest.mark.parametrize(
    "place",
    [
        "",
        ".",
        "..",
        ".agency.example",
        "agency..example",
        "agency.example..",
        "-agency.example",
        "agency-.example",
        f"{'a' * 64}.example",
        f"{'a.' * 130}example",
        "bücher.example",
        "agency。example",
        "\uff11\uff12\uff17.0.0.1",
        "127\uff0e0\uff0e0\uff0e1",
        "①②⑦.0.0.1",
        "%31%32%37.0.0.1",
        "127.0.0.1%00.example",
        "agency%2Eexample",
        "agency.example\\.inner.example",
        "agency.example,inner.example",
        "agency .example",
        "user@agency.example",
        "user:words@agency.example",
        "@agency.example",
        ":@agency.example",
        "127.0.0.1\\@agency.example",
        "agency.example:0",
        "agency.example:00",
        "agency.example:-1",
        "agency.example:+443",
        "agency.example:65536",
        "agency.example:4\uff143",
        "agency.example:443:443",
    ],
)
def test_malformed_host_user_or_port_is_refused(place: str) -> None:
    """Other notations of a name are refused rather than converted: two readers could convert them to two hosts."""
    assert not OutgoingClient().accepts(f"https://{place}/notices")


def test_only_https_may_be_called_beyond_this_machine() -> None:
    for client in (OutgoingClient(), OutgoingClient(to_loopback=True)):
        for scheme in ("http", "ftp", "file", "", "wss"):
            assert not client.accepts(f"{scheme}://agency.example/")
    assert OutgoingClient(to_loopback=True).accepts("http://localhost:8080/")
    assert not OutgoingClient(to_loopback=True).accepts("ftp://localhost:8080/")
    assert not OutgoingClient(to_loopback=True).accepts("http://user@localhost:8080/")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "2130706433", "127.1", "127.0.0.1."])
def test_only_exact_loopback_names_are_near(host: str) -> None:
    near = host in {"localhost", "127.0.0.1", "[::1]"}
    assert OutgoingClient(to_loopback=True).accepts(f"http://{host}/") is near


def test_length_of_a_name_is_limited() -> None:
    longest = f"{'a.' * 122}" + "a" * 9
    assert (len(longest), is_name(longest), is_name(f"{longest}a")) == (253, True, False)


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Return the list of calls that are made instead of sending: the pinned URL, and the host as it was named."""
    made: list[tuple[str, str]] = []

    async def exchange(_client: object, _method: str, place: object, pinned: str, *_: object) -> Answer:
        made.append((pinned, place.netloc))  # type: ignore[attr-defined]
        return Answer(202)

    monkeypatch.setattr(OutgoingClient, "_exchange", exchange)
    return made


@pytest.mark.parametrize(
    "bad",
    [
        "64:ff9b::a9fe:a9fe",
        "::127.0.0.1",
        "fec0::1",
        "240.0.0.1",
        "224.0.0.251",
        "ff02::1",
        "2002:7f00:1::1",
        "2606:4700::5efe:10.0.0.7",
        "192.88.99.1",
        "fe80::1%eth0",
        "no address",
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_one_bad_address_refuses_the_whole_answer(called: list[tuple[str, str]], bad: str, place: int) -> None:
    found = ["93.184.215.14", "2606:4700::1111"]
    found.insert(place, bad)
    with pytest.raises(Unreachable):
        OutgoingClient(resolve=lambda _host, _port: found).post("https://agency.example/", "hello", {})
    assert called == []


def test_address_that_was_checked_is_the_one_called(called: list[tuple[str, str]]) -> None:
    """A name that leads elsewhere at the next look-up is asked once only."""
    answers = [["2606:4700::1111", "93.184.215.14"], ["127.0.0.1"]]
    client = OutgoingClient(resolve=lambda _host, _port: answers.pop(0))
    assert client.post("https://AGENCY.example.:8443/a?b=c", "hello", {}) == Answer(202)
    assert called == [("https://[2606:4700::1111]:8443/a?b=c", "AGENCY.example.:8443")]
    assert len(answers) == 1


@pytest.mark.parametrize(
    "found", [["127.0.0.1", "10.0.0.7"], ["::ffff:127.0.0.1"], ["::127.0.0.1"], ["169.254.169.254"]], ids=str
)
def test_setting_for_loopback_opens_no_other_address(called: list[tuple[str, str]], found: list[str]) -> None:
    with pytest.raises(Unreachable):
        OutgoingClient(to_loopback=True, resolve=lambda _host, _port: found).post("https://agency.example/", "x", {})
    assert called == []
