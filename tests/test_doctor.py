"""The text of the doctor's findings."""

from services.doctor import Finding


def test_failed_finding_says_fail_and_what_to_do_next() -> None:
    assert Finding("the bus answers", False, "start Kafka").as_text() == "FAIL  the bus answers\n      -> start Kafka"


def test_passed_finding_says_ok_and_gives_no_advice() -> None:
    assert Finding("the bus answers", True, "start Kafka").as_text() == "ok    the bus answers"
