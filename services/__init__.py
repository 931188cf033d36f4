"""The services of Fireweed, in the order in which an event passes through them.

`intake` takes events from partners, `consent` decides and opens, `referral` carries sealed envelopes and keeps the state of
referrals, `reporting` counts. `common` is shared code that imports none of them; `hub` runs them all in one process.
"""
