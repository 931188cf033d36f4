"""Queries of publications, approvals and decisions of governance bodies."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from services.common.database import advisory_locks
from services.common.database.inserts import Row, insert_new
from services.reporting.models import approval, decision, frozen_file, publication, unfinished

LOCK = "fireweed:reporting:gate"
# Built once: every page and every file runs these queries.
_public = publication.c.state == "published"
STANDING = select(publication.c.id, publication.c.bundle).where(_public).order_by(publication.c.number)
PUBLISHED_FILE = (
    select(frozen_file.c.content)
    .join(publication, publication.c.id == frozen_file.c.publication)
    .where(_public, publication.c.id == bindparam("publication"), frozen_file.c.name == bindparam("file"))
)


def lock_publications(connection: Connection) -> None:
    """Lock publications until the transaction ends: nobody else drafts, approves, publishes or decides meanwhile."""
    advisory_locks.lock_until_commit(connection, LOCK)


def list_all(connection: Connection) -> Sequence[Any]:
    """Return every publication and draft, in order."""
    return connection.execute(select(publication).order_by(publication.c.number)).all()


def keep_draft(connection: Connection, row: Row, files: Mapping[str, bytes]) -> None:
    """Keep a draft in place of every other that is not published."""
    drafts = select(publication.c.id).where(publication.c.state != "published")
    connection.execute(delete(frozen_file).where(frozen_file.c.publication.in_(drafts)))
    connection.execute(delete(publication).where(publication.c.state != "published"))
    connection.execute(delete(unfinished))
    connection.execute(insert(publication), [row])
    connection.execute(
        insert(frozen_file), [{"publication": row["id"], "name": name, "content": b} for name, b in files.items()]
    )


def keep_unfinished(connection: Connection, row: Row) -> None:
    """Keep how far a build has come, in place of any other."""
    connection.execute(delete(unfinished))
    connection.execute(insert(unfinished), [row])


def find_unfinished(connection: Connection, begun: str) -> Any:
    """Return how far the build with this digest had come, or None."""
    return connection.execute(select(unfinished).where(unfinished.c.begun == begun)).one_or_none()


def keep_verdict(connection: Connection, draft: Any, state: str, verdict: Mapping[str, Any]) -> bool:
    """Keep the verdict of an audit; return False if another draft has taken its place since."""
    ours = (
        (publication.c.id == draft.id) & (publication.c.bundle == draft.bundle) & (publication.c.state != "published")
    )
    return connection.execute(update(publication).where(ours).values(state=state, verdict=verdict)).rowcount == 1


def freeze(connection: Connection, name: str, certificate: bytes, at: object) -> None:
    """Turn a draft into a publication for good, with its certificate."""
    connection.execute(insert(frozen_file), [{"publication": name, "name": "certificate.json", "content": certificate}])
    connection.execute(update(publication).where(publication.c.id == name).values(state="published", published_at=at))


def files(connection: Connection, name: str) -> dict[str, bytes]:
    """Return every file of a publication or draft."""
    query = select(frozen_file.c.name, frozen_file.c.content).where(frozen_file.c.publication == name)
    return {row.name: bytes(row.content) for row in connection.execute(query.order_by(frozen_file.c.name))}


def published_file(connection: Connection, name: str, file: str) -> bytes | None:
    """Return one file if it is published, else None."""
    return connection.scalar(PUBLISHED_FILE, {"publication": name, "file": file})


def standing(connection: Connection) -> list[tuple[str, str]]:
    """Return which publications are out, each with its digest, in order."""
    return [(row.id, row.bundle) for row in connection.execute(STANDING)]


def published(connection: Connection) -> Sequence[Any]:
    """Return the public facts of all publications, in order."""
    columns = (
        publication.c.id,
        publication.c.period,
        publication.c.head,
        publication.c.bundle,
        publication.c.published_at,
    )
    query = select(*columns).where(publication.c.state == "published").order_by(publication.c.number)
    return connection.execute(query).all()


def keep_approval(connection: Connection, row: Row) -> bool:
    """Keep a person's approval; return False if that role has given one already."""
    return bool(insert_new(connection, approval, [row], "role"))


def approvals(connection: Connection, name: str, bundle: str) -> Sequence[Any]:
    """Return the approvals of this digest."""
    query = select(approval).where(approval.c.publication == name, approval.c.bundle == bundle)
    return connection.execute(query.order_by(approval.c.role)).all()


def keep_decision(connection: Connection, row: Row) -> None:
    """Keep a decision of a governance body."""
    connection.execute(insert(decision), [row])


def decisions(connection: Connection, switch: str) -> Sequence[Any]:
    """Return the decisions about a switch, in order."""
    return connection.execute(select(decision).where(decision.c.switch == switch).order_by(decision.c.id)).all()
