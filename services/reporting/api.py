"""Serves publications over HTTP: their frozen bytes, and files that are made from those bytes alone."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic_core import to_json

from services.common.errors import not_found
from services.common.http.i18n import LANGUAGES
from services.reporting.pages.catalogue import Holdings, Releases, find
from services.reporting.pages.data_source import Live, Release
from services.reporting.pages.published_table import Table
from services.reporting.pages.responses import HoldingsDep, frozen
from services.reporting.pages.spreadsheet import workbook

routes = APIRouter(prefix="/reporting/v1", tags=["public"])
TABLE = re.compile(r"([a-z-]{1,40})\.([a-z.]{3,6})")
MEDIA = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "pdf": "application/pdf",
}


def _paper(release: Release, table: Table, *, language: str) -> bytes:
    # On first use: the library takes longer to load than all the rest of the service, and few processes make a PDF.
    from services.reporting.pages.pdf import document  # noqa: PLC0415

    return document(release, table, language=language)


MADE: Mapping[str, Callable[[Release, Table], bytes]] = {
    "xlsx": workbook,
    **{f"{language}.pdf": partial(_paper, language=language) for language in LANGUAGES},
}


@routes.get("/publications", response_model=dict[str, Any])
def publications(holdings: HoldingsDep) -> Response:
    """Return every publication, in order, with the digest that its certificate seals."""
    return Response(holdings.make(_list, holdings.releases()), media_type=MEDIA["json"])


@routes.get("/publications/{publication}/certificate.json", response_class=Response)
def certificate(holdings: HoldingsDep, request: Request, publication: str) -> Response:
    """Return the certificate: the publication's contents, who approved it, and how its audit went."""
    return frozen(request, holdings.file(find(holdings.releases(), publication), "certificate.json"), MEDIA["json"])


@routes.get("/publications/{publication}/tables/{file}", response_class=Response)
def table(holdings: HoldingsDep, request: Request, publication: str, file: str) -> Response:
    """Return one table, as `TABLE.json`, `TABLE.csv`, `TABLE.xlsx`, `TABLE.en.pdf` or `TABLE.fr.pdf`."""
    asked = TABLE.fullmatch(file)
    if not asked:
        raise not_found()
    name, kind = asked.groups()
    release = find(holdings.releases(), publication)
    if kind in {"json", "csv"}:
        return frozen(request, holdings.file(release, f"tables/{file}"), MEDIA[kind])
    if kind not in MADE or name not in release.tables:
        raise not_found()
    return frozen(request, holdings.make(_made, release, name, kind), MEDIA[kind.rpartition(".")[2]])


@routes.get("/capacity", response_model=dict[str, Any])
def capacity(holdings: HoldingsDep) -> Response:
    """Return live capacity by region and need, as JSON."""
    return Response(holdings.make_live(_capacity, holdings.live()), media_type=MEDIA["json"])


def _list(_holdings: Holdings, releases: Releases) -> bytes:
    return to_json({"publications": releases})


def _capacity(_holdings: Holdings, live: Live) -> bytes:
    return to_json({"capacity": [each._asdict() for each in live.free]})


def _made(holdings: Holdings, release: Release, name: str, kind: str) -> bytes:
    return MADE[kind](release, holdings.table(release, name))
