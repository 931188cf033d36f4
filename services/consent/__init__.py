"""The consent service: what she allows, the keys that follow from it, every opening, and her ledger.

Only this service can open an envelope (promise P4), and only it decides whether one may be opened.
"""
