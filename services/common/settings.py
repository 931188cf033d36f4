"""The settings, read from environment variables into one typed, frozen object; no other module reads them."""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

NEAR = "http://127.0.0.1:8080"
ORIGIN_FILE = "origin"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Network = IPv4Network | IPv6Network


def _kept(given: Mapping[str, Any]) -> str:
    with suppress(LookupError, OSError, ValueError):
        return Path(given["data"], ORIGIN_FILE).read_text("utf-8") or NEAR
    return NEAR


class Settings(BaseSettings):
    """Everything an operator may set, each as `FIREWEED_<NAME>`; the defaults run an embedded hub."""

    model_config = SettingsConfigDict(env_prefix="FIREWEED_", frozen=True, hide_input_in_errors=True)

    data: Path = Field(default=Path("data"), description="Folder of the embedded hub: databases, local log and keys.")
    database_url: str = Field(
        default="sqlite:///{data}/{service}.sqlite",
        description="Where each service keeps its rows; `{service}` and `{data}` are filled in.",
    )
    kafka: str | None = Field(
        default=None, description="Kafka bootstrap servers `host:port,...`; unset: a local log in `data`."
    )
    kafka_session: float = Field(
        default=10, ge=1, description="Seconds of silence after which a worker's share of Kafka goes to another."
    )
    keys: Path | None = Field(
        default=None, description="Folder of secret keys, outside every database; unset: `data`/keys."
    )
    public_url: str = Field(default_factory=_kept, description="Origin at which partners and survivors reach this.")
    issuer: str | None = Field(default=None, description="Issuer of partner tokens; unset: `public_url`/intake.")
    token_keys_url: str | None = Field(
        default=None, description="Where token keys are read; unset: `issuer`/jwks.json."
    )
    consent_url: str | None = Field(default=None, description="Inner origin of the consent service, which intake asks.")
    ledger_origin: str | None = Field(
        default=None,
        description="Name of the ledger in its checkpoints, for good; unset: `public_url`/consent/v1/ledger.",
    )
    push_to_loopback: bool = Field(
        default=False, description="Whether notices and webhooks may go to this machine, unencrypted; for tests."
    )
    leave_to: str = Field(
        default="/my/today", description="Where *Leave now* leads: a neutral https:// page, or one of this hub's own."
    )
    time_zone: str = Field(
        default="America/Toronto", description="Time zone of the times that survivors read, by its IANA name."
    )
    trusted_proxies: str = Field(
        default="",
        description="Addresses or networks of proxies whose `X-Forwarded-For` is believed, between commas.",
    )
    refused_openings: int = Field(
        default=1000,
        ge=1,
        description="Refused openings that one agency may ask for at once, in each process; one comes back each second.",
    )
    limit_factor: float = Field(
        default=1.0, gt=0, description="Multiplies every limit on what one agency may do, in each process."
    )
    telemetry: str = Field(
        default="none", pattern="^(none|otlp|file:.+)$", description="`none`, `otlp`, or `file:PATH` for JSON lines."
    )
    relay_interval: float = Field(
        default=0.05, gt=0, description="Seconds between looks at an empty outbox, on SQLite."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(default="info", description="Least level logged.")

    @field_validator("database_url")
    @classmethod
    def _known_database(cls, url: str) -> str:
        try:
            known = make_url(url.format(service="service", data="data")).get_backend_name() in {"sqlite", "postgresql"}
        except (ArgumentError, ValueError, LookupError) as error:
            raise ValueError("must be a URL in which only {service} and {data} stand in braces") from error
        if not known:
            raise ValueError("must be sqlite:///... or postgresql://...")
        return url

    @field_validator("public_url", "issuer")
    @classmethod
    def _encrypted_unless_loopback(cls, url: str | None) -> str | None:
        # Tokens and clear parts travel to these; plain HTTP may only be spoken inside one machine.
        parts = urlsplit(url or "")
        if url is not None and parts.scheme != "https" and (parts.scheme != "http" or parts.hostname not in LOOPBACK):
            raise ValueError("must be https:// unless it names this machine (http://127.0.0.1)")
        return url

    @field_validator("public_url")
    @classmethod
    def _origin(cls, url: str) -> str:
        # A path or a slash would be in every URL that is built from it, and in no partner's proof.
        parts = urlsplit(url)
        if parts.path or parts.query or parts.fragment or "@" in parts.netloc:
            raise ValueError("must be an origin, such as https://hub.example, with nothing after it")
        return url

    @field_validator("ledger_origin")
    @classmethod
    def _name_of_a_key(cls, name: str | None) -> str | None:
        # It can never be changed.
        return key_name(name) if name else name

    @field_validator("leave_to")
    @classmethod
    def _neutral(cls, url: str) -> str:
        # It is sent in a header of each page, so it must be a URL and nothing else.
        if not re.fullmatch(r"/(?!/)[\w./-]*|https://[\w.-]+(:\d+)?(/[\w./%?=&+-]*)?", url):
            raise ValueError("must be https://... or a path of this hub such as /my/today")
        return url

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            return ZoneInfo(name).key
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError("must be the name of a time zone, such as America/Toronto") from error

    @field_validator("trusted_proxies")
    @classmethod
    def _not_everybody(cls, listed: str) -> str:
        # A trusted proxy can claim any address, and so avoid every rate limit.
        if any(network.prefixlen == 0 for network in _networks(listed)):
            raise ValueError("must not be everybody")
        return listed

    def database(self, service: str) -> str:
        """Return the SQLAlchemy URL of one service's database."""
        url = self.database_url.format(service=service, data=self.data)
        return url.replace("postgresql://", "postgresql+psycopg://", 1)

    @property
    def origin_file(self) -> Path:
        """Return the file with the last origin of an embedded hub, for commands without a setting for it."""
        return self.data / ORIGIN_FILE

    @property
    def keys_folder(self) -> Path:
        """Return the folder of secret keys."""
        return self.keys or self.data / "keys"

    @property
    def proxies(self) -> Sequence[Network]:
        """Return the networks of proxies whose `X-Forwarded-For` is trusted."""
        return _networks(self.trusted_proxies)

    @property
    def token_issuer(self) -> str:
        """Return the issuer of partner tokens, which partners' assertions must name as audience."""
        return self.issuer or f"{self.public_url}/intake"

    @property
    def ledger_name(self) -> str:
        """Return the name under which a new ledger signs: like a URL, but without the scheme."""
        return self.ledger_origin or f"{self.public_url.partition('://')[2]}/consent/v1/ledger"

    @property
    def token_keys(self) -> str:
        """Return the URL of the public keys that verify partner tokens."""
        return self.token_keys_url or f"{self.token_issuer}/jwks.json"


def key_name(name: str) -> str:
    """Return a signing name unchanged; raises `ValueError` for one that a verifier key cannot contain."""
    if not re.fullmatch(r"[!-*,-~]{1,200}", name):
        raise ValueError("must be like hub.example/ledger, without spaces or plus signs")
    return name


def _networks(listed: str) -> Sequence[Network]:
    return [ip_network(name.strip()) for name in listed.split(",") if name.strip()]
