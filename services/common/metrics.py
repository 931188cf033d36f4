"""Every metric that the hub reports about itself; labels come from closed lists and are never an id."""

from opentelemetry import metrics

_meter = metrics.get_meter("fireweed")

accepted = _meter.create_counter("fireweed.events.accepted", description="Events taken in, by outcome.")
relayed = _meter.create_counter("fireweed.outbox.relayed", description="Outbox rows the bus acknowledged, by service.")
consumed = _meter.create_counter("fireweed.events.consumed", description="Events handled, by service.")
parked = _meter.create_counter("fireweed.events.parked", description="Events set aside for a person, by service.")
openings = _meter.create_counter("fireweed.openings", description="Openings, by outcome.")
revocations = _meter.create_counter("fireweed.revocations", description="Acts that took a permission away, by kind.")
outbox_age = _meter.create_gauge(
    "fireweed.outbox.age", unit="s", description="Age of the oldest waiting row, by service: the health of the hub."
)
request_seconds = _meter.create_histogram(
    "fireweed.http.request", unit="s", description="Time to answer, by route template, method and status."
)
