"""Makes a partner's key: keeps the private half in a new file, and prints the public half for the hub's operator.

    python examples/join.py KEY.json > public.json

The operator takes you in with `fireweed agency add --name NAME --sector SECTOR --jwks public.json` and tells you the
client id that it prints. The private half never leaves your machine.
"""

import argparse
import json
import os
import sys
from pathlib import Path

from services.client import new_key, public_jwks


def main() -> int:
    """Make the key; refuse to replace one."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("key", type=Path, help="a new file for the private half, readable by you only")
    path = parser.parse_args().key
    key = new_key()
    try:
        # Readable by its owner only, from the first moment on.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(f"{path} exists already; a key is never replaced.", file=sys.stderr)
        return 1
    except OSError as error:
        print(
            f"{path} cannot be written ({error.strerror}). Name a new file in a folder of yours.",
            file=sys.stderr,
        )
        return 1
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(key.as_dict(private=True), file)
    print(json.dumps(public_jwks(key)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
