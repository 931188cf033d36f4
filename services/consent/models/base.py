"""The metadata that every table of the consent service belongs to, with the tables that every service has."""

from sqlalchemy import MetaData

from services.common.roster import Roster, define_roster
from services.common.service_tables import define_plumbing

metadata = MetaData()

plumbing = define_plumbing(metadata)
roster = Roster(define_roster(metadata))
