"""The survivor's room: what she allows, the keys that follow from it, every opening, and her ledger.

The only service that can open an envelope (promise P4), and the only authority on whether it may.
"""
