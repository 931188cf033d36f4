"""The rooms of Fireweed, in the order in which an event visits them.

`intake` is the front door, `consent` decides and opens, `referral` carries sealed boxes and runs a referral's life,
`reporting` counts. `common` is plumbing that knows none of them; `hub` runs them all in one process.
"""
