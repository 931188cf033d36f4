"""Each route by which an agency acts or reads names the question that is asked before it does."""

import re

import pytest

from services.consent.speaking import Act
from tests.architecture.test_routes import INVENTORY, TOKEN
from tests.architecture.tree import modules, text

NOBODY = "names no survivor"
OWN = "acts on the agency's own rows, and shows nothing that it was not sent"
DECIDE = "`decide`, for the very grant that the envelope names"
TELLS_HER = "records for her eyes what a law compelled: refusing it would keep it from her, and it opens nothing"
QUESTIONS: dict[str, Act | str] = {
    "POST /consent/access/v1/evaluation": Act.READ_OWN_ACCESS,
    "POST /consent/access/v1/evaluations": Act.READ_OWN_ACCESS,
    "POST /consent/v1/age-bands": Act.STATE_AGE,
    "POST /consent/v1/compelled-disclosures": TELLS_HER,
    "POST /consent/v1/consent-requests": Act.ASK_CONSENT,
    "GET /consent/v1/corrections": OWN,
    "POST /consent/v1/corrections/{correction}": OWN,
    "POST /consent/v1/ledger/cosignatures": NOBODY,
    "POST /consent/v1/links": NOBODY,
    "POST /consent/v1/notices/poll": OWN,
    "PUT /consent/v1/notices/push": NOBODY,
    "DELETE /consent/v1/notices/push": NOBODY,
    "POST /consent/v1/notices/{jti}/attestation": OWN,
    "POST /consent/v1/openings": DECIDE,
    "POST /consent/v1/revocations": Act.STOP_EVERYTHING,
    "GET /consent/v1/second-looks": Act.GIVE_SECOND_LOOK,
    "POST /consent/v1/second-looks/{name}": Act.GIVE_SECOND_LOOK,
    "POST /consent/v1/slips": NOBODY,
    "POST /consent/v1/subjects": NOBODY,
    "GET /intake/v1/agencies": NOBODY,
    "GET /intake/v1/events/{event_id}": OWN,
    "POST /intake/v1/events": Act.POST_REFERRAL,
    "GET /referral/v1/inbox": Act.FOLLOW_REFERRAL,
    "GET /referral/v1/feed": Act.FOLLOW_REFERRAL,
    "GET /referral/v1/offers": NOBODY,
    "GET /referral/v1/offers/{offer}": NOBODY,
    "GET /referral/v1/referrals": Act.FOLLOW_REFERRAL,
    "PUT /referral/v1/webhook": NOBODY,
    "GET /referral/v1/webhook": OWN,
    "DELETE /referral/v1/webhook": NOBODY,
    "POST /referral/v1/webhook/test": NOBODY,
    "POST /referral/v1/webhook/replay": OWN,
    "GET /referral/v1/referrals/{referral}": Act.FOLLOW_REFERRAL,
}


def test_every_route_of_an_agency_names_its_question() -> None:
    assert sorted(QUESTIONS) == sorted(name for name, gate in INVENTORY.items() if gate == TOKEN)


@pytest.mark.parametrize("act", list(Act))
def test_every_act_is_asked_about_by_a_handler(act: Act) -> None:
    handlers = [name for name in modules("services/consent/handlers") if re.search(rf"\bAct\.{act.name}\b", text(name))]
    assert handlers
