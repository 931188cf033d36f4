"""Problems tell the caller what to change, and repeat no value that was sent."""

from services.common.errors import Fault, Problem, invalid, not_found, unavailable


def test_a_fault_has_no_empty_members() -> None:
    assert Fault("/a", "Wrong.").as_json() == {"member": "/a", "detail": "Wrong."}
    assert Fault("/a", "Wrong.", "right").as_json() == {"member": "/a", "detail": "Wrong.", "accepted": "right"}


def test_a_problem_is_a_document_of_rfc_9457() -> None:
    assert Problem(409, "conflict", "A title.").as_json() == {
        "type": "urn:fireweed:problem:conflict",
        "title": "A title.",
        "status": 409,
    }
    assert Problem(400, "a", "T.", [Fault("/a", "Wrong.")], extra={"error": "x"}).as_json() == {
        "type": "urn:fireweed:problem:a",
        "title": "T.",
        "status": 400,
        "error": "x",
        "errors": [{"member": "/a", "detail": "Wrong."}],
    }


def test_a_problem_in_a_log_is_its_status_and_code() -> None:
    assert str(Problem(400, "invalid", "Title.", [Fault("/a", "Wrong.")])) == "400 invalid"


def test_not_found_has_one_document() -> None:
    told = {"type": "urn:fireweed:problem:not-found", "title": "Not found.", "status": 404}
    assert (not_found().status, not_found().as_json(), not_found().headers) == (404, told, {})


def test_invalid_request_holds_its_faults() -> None:
    problem = invalid(Fault("/a", "Wrong."), Fault("/b", "Wrong."), status=415)
    assert problem.status == 415
    assert [fault.member for fault in problem.faults] == ["/a", "/b"]


def test_unavailable_says_when_to_try_again() -> None:
    assert unavailable("Down.").headers == {"Retry-After": "2"}
    assert unavailable("Down.", 30).headers == {"Retry-After": "30"}
