"""Whether a thousand times more survivors make a decision, an opening or a revocation slower."""

from datetime import timedelta

import psycopg

from bench.consent import allowed, context
from bench.decisions import timed
from bench.report import Figure, middle
from bench.world import World
from services.consent.handlers.disclosures.evaluations import Question, evaluate
from services.consent.handlers.disclosures.openings import begin_opening
from services.consent.handlers.grants import grants
from services.consent.handlers.grants.grants import Wish
from tests.support.people import PARTS

FEW, MANY = 1_000, 1_000_000
FLAT = 2.0
COUNT = 150
SUBJECTS = """INSERT INTO subject (id, state, epoch, language, created_at)
SELECT gen_random_uuid(), 'active', 1, 'en', now() FROM generate_series(1, %s)"""
# Everybody who was just made; they have no grant yet.
GRANTS = """INSERT INTO consent_grant (id, subject_id, agency, purpose, categories, valid_from, valid_until, notice_version,
  notice_sha256, language, epoch, agency_epoch, public_key)
SELECT gen_random_uuid(), s.id, %s, 'referral', '["summary"]', now(), now() + interval '30 days', '1', '', 'en', 1, 1,
  decode(md5(s.id::text) || md5(s.id::text), 'hex')
FROM subject s WHERE NOT EXISTS (SELECT FROM consent_grant g WHERE g.subject_id = s.id)"""
KEYS = """INSERT INTO grant_key (grant_id, subject_id, key_encryption_key, wrapped)
SELECT g.id, g.subject_id, 1, g.public_key FROM consent_grant g
WHERE NOT EXISTS (SELECT FROM grant_key k WHERE k.grant_id = g.id)"""
LINKS = """INSERT INTO link (agency, ppid, subject_id) SELECT %s, md5(s.id::text), s.id FROM subject s
ON CONFLICT DO NOTHING"""


def figures(world: World) -> list[Figure]:
    """Return medians among many survivors beside medians among few, in one run."""
    _populate(world, FEW)
    few = _medians(world)
    _populate(world, MANY - FEW)
    many = _medians(world)
    return [
        Figure(f"{name}, among {MANY:,}", many[name], "ms", f"among {FEW:,}", few[name], ceiling=FLAT * few[name])
        for name in few
    ]


def _populate(world: World, count: int) -> None:
    url = world.hub.settings.database("consent").replace("+psycopg", "")
    agency = world.recipient.client_id
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(SUBJECTS, [count])
        connection.execute(GRANTS, [agency])
        connection.execute(KEYS)
        connection.execute(LINKS, [agency])
        connection.execute("VACUUM ANALYZE")


def _medians(world: World) -> dict[str, float]:
    with context(world) as made:
        agency, until = world.recipient.client_id, made.clock.now() + timedelta(hours=1)
        [(person, envelope)] = allowed(made, world, 1)
        asked = [Question(person.ppid, "referral", frozenset({"summary"}))]
        days = iter(range(2, 100_000))

        def revoke() -> None:
            wish = Wish(agency, "referral", sorted(PARTS), next(days) % 88 + 2)
            grants.revoke_grant(made, person.subject, grants.give_grant(made, person.subject, wish))

        return {
            "decision with a strong read, p50": middle(timed(lambda: evaluate(made, agency, asked, until), COUNT)),
            "opening in the process, p50": middle(
                timed(lambda: begin_opening(made, agency, envelope).finish("delivered"), COUNT)
            ),
            "granting and revoking, p50": middle(timed(revoke, COUNT)),
        }
