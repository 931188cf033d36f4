"""Settings have the documented defaults, and wrong ones are refused before anything starts."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from services.common.settings import NEAR, Settings


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"FIREWEED_{name.upper()}", raising=False)


def test_every_setting_says_what_it_is_for() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


def test_the_defaults_are_an_embedded_hub_on_this_machine() -> None:
    settings = Settings()
    assert settings.kafka is None
    assert settings.database("intake") == "sqlite:///data/intake.sqlite"
    assert settings.public_url.startswith("http://127.0.0.1:")
    assert settings.telemetry == "none"


def test_public_url_defaults_to_the_last_origin_of_the_data(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path)
    assert (settings.origin_file, settings.public_url) == (tmp_path / "origin", NEAR)
    settings.origin_file.write_text("http://127.0.0.1:9000")
    assert Settings(data=tmp_path).token_issuer == "http://127.0.0.1:9000/intake"
    assert "public_url" not in Settings(data=tmp_path).model_fields_set
    assert Settings(data=tmp_path, public_url="https://hub.example").public_url == "https://hub.example"


@pytest.mark.parametrize("kept", [b"", b"\xff"])
def test_unreadable_origin_file_is_ignored(tmp_path: Path, kept: bytes) -> None:
    (tmp_path / "origin").write_bytes(kept)
    assert Settings(data=tmp_path).public_url == NEAR


def test_origin_from_the_file_is_validated(tmp_path: Path) -> None:
    (tmp_path / "origin").write_text("http://elsewhere.example")
    with pytest.raises(ValidationError):
        Settings(data=tmp_path)


def test_environment_variables_are_read_with_their_prefix_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREWEED_KAFKA", "broker:9092")
    monkeypatch.setenv("LOG_LEVEL", "debug")
    assert (Settings().kafka, Settings().log_level) == ("broker:9092", "info")


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        Settings().kafka = "other:9092"


@pytest.mark.parametrize(
    "url",
    [
        "https://hub.example",
        "https://hub.example:8443",
        "http://127.0.0.1",
        "http://127.0.0.1:8080",
        "http://localhost:8080",
        "http://[::1]:8080",
    ],
)
def test_public_url_is_https_or_on_this_machine(url: str) -> None:
    assert Settings(public_url=url).public_url == url


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example",
        "HTTP://hub.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example:8080",
        "http://127.0.0.1@evil.example",
        "http://localhost@evil.example",
        "http://0.0.0.0:8080",
        "http://10.0.0.1",
        "ftp://127.0.0.1",
        "//hub.example",
        "hub.example",
        "",
    ],
)
@pytest.mark.parametrize("name", ["public_url", "issuer"])
def test_plain_http_is_refused_anywhere_else(name: str, url: str) -> None:
    with pytest.raises(ValidationError, match="must be https://"):
        Settings(**{name: url})  # type: ignore[arg-type]


@pytest.mark.parametrize("rest", ["/", "/hub", "?a=1", "#a"])
def test_a_public_url_is_an_origin_and_nothing_more(rest: str) -> None:
    with pytest.raises(ValidationError, match="must be an origin"):
        Settings(public_url=f"https://hub.example{rest}")


def test_a_refusal_does_not_repeat_the_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FIREWEED_LOG_LEVEL", "canary-secret")
    with pytest.raises(ValidationError) as caught:
        Settings()
    assert "canary-secret" not in str(caught.value)


@pytest.mark.parametrize("interval", [0, -1])
def test_relay_interval_is_positive(interval: float) -> None:
    with pytest.raises(ValidationError):
        Settings(relay_interval=interval)


def test_each_service_has_a_database_of_its_own() -> None:
    settings = Settings(database_url="postgresql://fireweed_{service}@db/fireweed_{service}")
    assert settings.database("consent") == "postgresql+psycopg://fireweed_consent@db/fireweed_consent"
    assert Settings(data=Path("elsewhere")).database("consent") == "sqlite:///elsewhere/consent.sqlite"


@pytest.mark.parametrize(
    "url",
    ["", "hub", "mysql://db/hub", "postgresql://db:port/hub", "postgresql://db/{name}", "postgresql://db/{", "{}"],
)
def test_unknown_database_url_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must be"):
        Settings(database_url=url)


@pytest.mark.parametrize("target", ["", "OTLP", "console", "file:"])
def test_telemetry_accepts_only_known_targets(target: str) -> None:
    with pytest.raises(ValidationError):
        Settings(telemetry=target)


def test_unset_values_follow_from_set_ones() -> None:
    settings = Settings(public_url="https://hub.example", data=Path("elsewhere"))
    assert settings.token_issuer == "https://hub.example/intake"
    assert settings.token_keys == "https://hub.example/intake/jwks.json"
    assert settings.keys_folder == Path("elsewhere/keys")


def test_set_values_take_precedence_over_derived_ones() -> None:
    settings = Settings(issuer="https://a.example/i", token_keys_url="http://inner/k", keys=Path("keys"))
    assert settings.token_issuer == "https://a.example/i"
    assert settings.token_keys == "http://inner/k"
    assert settings.keys_folder == Path("keys")
    assert Settings(issuer="https://a.example/i").token_keys == "https://a.example/i/jwks.json"


def test_time_zone_is_that_of_a_place() -> None:
    assert Settings().time_zone == "America/Toronto"
    assert Settings(time_zone="America/St_Johns").time_zone == "America/St_Johns"


@pytest.mark.parametrize("name", ["", "Toronto", "Eastern Time", "../../etc/passwd", "/etc/localtime", "a\0b"])
def test_unknown_time_zone_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="must be the name of a time zone"):
        Settings(time_zone=name)


def test_no_proxy_is_trusted_unless_it_is_named() -> None:
    assert list(Settings().proxies) == []
    assert [str(one) for one in Settings(trusted_proxies="10.0.0.7, 2001:db8::/64").proxies] == [
        "10.0.0.7/32",
        "2001:db8::/64",
    ]


@pytest.mark.parametrize("listed", ["0.0.0.0/0", "10.0.0.7, ::/0", "proxy", "10.0.0.7/8"])
def test_trusted_proxies_never_include_every_address(listed: str) -> None:
    with pytest.raises(ValidationError):
        Settings(trusted_proxies=listed)


@pytest.mark.parametrize("name", ["Our ledger", "hub.example/a+b", "hub\n", "é", "h" * 201])
def test_ledger_name_that_cannot_be_verified_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="without spaces or plus signs"):
        Settings(ledger_origin=name)


@pytest.mark.parametrize("name", [None, "", "hub.example/ledger-2", "[::1]:8080/consent/v1/ledger"])
def test_ledger_name_is_the_set_one_or_that_of_the_hub(name: str | None) -> None:
    assert Settings(ledger_origin=name).ledger_name == (name or "127.0.0.1:8080/consent/v1/ledger")
