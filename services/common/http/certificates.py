"""The certificate authorities that servers are checked against, read once: reading them takes longer than a request."""

import ssl
from functools import cache

import httpx2


@cache
def of_the_library() -> ssl.SSLContext:
    """Return those that come with the HTTP library, or that the environment names."""
    return httpx2.create_ssl_context()


@cache
def of_the_system() -> ssl.SSLContext:
    """Return those of this machine."""
    return ssl.create_default_context()
