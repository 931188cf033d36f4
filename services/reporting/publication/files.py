"""The bytes of a publication: tables as JSON and CSV, and the certificate that names and seals them."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from services.auditor import published
from services.auditor.published import HIDDEN, NONE, Key, Publication
from services.reporting.publication.primary_suppression import ratio

Files = Mapping[str, bytes]


def tables(publication: Publication) -> dict[str, bytes]:
    """Return every table as bytes, by file name; their order is that of the plan, whatever the numbers are."""
    plan, made = published.plan(publication.plan), {}
    for table in plan["tables"]:
        if table["id"] in publication.tables:
            rows = [[*key, _sign(publication, table["id"], key)] for key in published.product(table["cells"])]
            columns = [*table["cells"], "value"]
            document = {
                **{name: getattr(publication, name) for name in ("period", "plan", "rules")},
                "publication": publication.id,
                "table": table["id"],
                "columns": columns,
                "rows": rows,
                "ratios": list(_ratios(publication, plan, table)),
            }
            made[f"tables/{table['id']}.json"] = as_bytes(document)
            made[f"tables/{table['id']}.csv"] = _csv([columns, *rows])
    return made


def head(publication: Publication, files: Files) -> dict[str, Any]:
    """Return what the auditor must know beside the tables."""
    return {
        **{name: getattr(publication, name) for name in ("id", "number", "period", "plan", "rules", "revises")},
        "drift": dict(publication.drift),
        "certain": sorted(list(claim) for claim in publication.certain),
        "files": sorted(name for name in files if name.endswith(".json")),
    }


def certificate(publication: Mapping[str, Any], files: Files, **more: object) -> bytes:
    """Return the certificate: the head, the digest of each file and of all of them, and further facts."""
    hashes = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
    return as_bytes({"publication": publication, "files": hashes, "bundle": digest(publication, files), **more})


def digest(publication: Mapping[str, Any], files: Files) -> str:
    """Return one digest for everything that an approval is about."""
    hashes = {name: sha256(content).hexdigest() for name, content in sorted(files.items())}
    return sha256(as_bytes([publication, hashes])).hexdigest()


def as_bytes(document: object) -> bytes:
    """Return a document as bytes, always equal for an equal document."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, indent=1).encode() + b"\n"


def _sign(publication: Publication, table: str, key: Key) -> int | str:
    if (table, key) in publication.empty:
        return NONE
    value = publication.tables[table][key]
    return HIDDEN if value is None else value


def _ratios(publication: Publication, plan: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for wanted in plan["ratios"]:
        if table["id"] in wanted["tables"]:
            for cell in _others(table["cells"], wanted):
                part, whole = (_values(publication, table, cell, wanted, side) for side in ("numerator", "denominator"))
                percent = ratio(part, whole, published.rules(publication.rules))
                yield {
                    "indicator": wanted["indicator"],
                    "cell": cell,
                    "percent": HIDDEN if percent is None else percent,
                }


def _others(cells: Mapping[str, Sequence[str]], wanted: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield every cell along the dimensions that a ratio does not sum over."""
    only = wanted.get("only", {})
    lists = {
        name: [code for code in codes if code in only.get(name, codes)]
        for name, codes in cells.items()
        if name != wanted["over"]
    }
    yield from (dict(zip(lists, key, strict=True)) for key in published.product(lists))


def _values(
    publication: Publication, table: Mapping[str, Any], cell: Mapping[str, str], wanted: Mapping[str, Any], side: str
) -> list[int | None]:
    found = publication.tables[table["id"]]
    codes = [{**cell, wanted["over"]: code} for code in wanted[side]]
    return [found[tuple(one[name] for name in table["cells"])] for one in codes]


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(rows)
    return text.getvalue().encode()
