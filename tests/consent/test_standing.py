"""The doctor sees when lines are not signed and keys do not rotate."""

from datetime import timedelta

from sqlalchemy import update

from services.checks import look_over
from services.consent.handlers import rotation, tree
from services.consent.handlers.standing import LATE, ROTATION_LATE, Standing, standing
from services.consent.models import ledger_tile
from tests.support.consent import House

WELL = Standing(ledger_is_signed=True, keys_are_young=True)


def test_a_ledger_that_nobody_signs_is_seen_after_a_minute(own_house: House) -> None:
    own_house.person()
    assert standing(own_house.room) == WELL
    own_house.clock.move(LATE + timedelta(seconds=1))
    assert not standing(own_house.room).ledger_is_signed
    tree.publish(own_house.room)
    assert standing(own_house.room) == WELL

    with own_house.room.database.transaction() as connection:
        connection.execute(update(ledger_tile).values(hashes=bytes(32)))
    own_house.person()
    tree.integrate(own_house.room)
    own_house.clock.move(LATE + timedelta(seconds=1))
    assert not standing(own_house.room).ledger_is_signed


def test_keys_that_do_not_rotate_are_seen_after_a_day(own_house: House) -> None:
    own_house.person()
    tree.publish(own_house.room)
    rotation.rotate_if_due(own_house.room)
    own_house.clock.move(ROTATION_LATE + timedelta(seconds=1))

    assert not standing(own_house.room).keys_are_young
    rotation.rotate_if_due(own_house.room)
    tree.publish(own_house.room)
    assert standing(own_house.room) == WELL


def test_the_doctor_tells_both(own_house: House) -> None:
    own_house.person()
    told = {item.what: item.well for item in look_over(own_house.service.settings, ["consent"])}

    # The line is of a day in the test's past, and nobody has signed it.
    assert told["every line of the ledger is in a signed tree"] is False
    assert told["the key-encryption key is young"] is True
