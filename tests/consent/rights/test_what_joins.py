"""Two agencies, or an operator, find no value by which rows about one survivor belong together."""

from datetime import timedelta

from services.consent.handlers.notices import poll
from services.consent.handlers.rights import erasure
from services.consent.models import notice
from tests.support.consent import House
from tests.support.notice_receiver import catch_up

TIMES = ("made_at", "act_by", "acknowledge_by", "told_at", "acknowledged_at", "attested_at", "push_after")


def test_notices_about_the_erased_share_no_time(own_house: House) -> None:
    """Made in one act, they had one time to the microsecond: it told which agencies helped the same woman."""
    house = own_house
    agencies = [house.agency() for _ in range(2)]
    person = house.person(agencies[0])
    for agency in agencies:
        house.allow(person, agency)
    erasure.erase(house.context, person.subject)
    erasure.forget_erased(house.context)
    for agency in agencies:
        catch_up(house, agency)

    one, other = house.rows(notice)
    assert {one.id.version, other.id.version} == {4}
    for row in (one, other):
        assert {(at.hour, at.minute, at.second, at.microsecond) for name in TIMES if (at := getattr(row, name))} == {
            (0, 0, 0, 0)
        }


def test_attestation_after_erasure_keeps_a_day_only(own_house: House) -> None:
    house, agency = own_house, own_house.agency()
    person = house.person(agency)
    house.allow(person, agency)
    erasure.erase(house.context, person.subject)
    erasure.forget_erased(house.context)
    catch_up(house, agency)
    [kept] = house.rows(notice)
    house.clock.move(timedelta(minutes=7))
    poll.attest(house.context, agency.id, kept.id, "stopped")

    [kept] = house.rows(notice)
    at = kept.attested_at
    assert (kept.attested, at.hour, at.minute, at.second, at.microsecond) == ("stopped", 0, 0, 0, 0)
