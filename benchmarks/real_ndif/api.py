"""ndif's API on loopback, with a table of keys in place of its Postgres database: `python api.py PORT`."""
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false

from __future__ import annotations

import os
import sys
import uuid
from typing import Any

import anyio._backends._asyncio
import anyio.abc  # noqa: F401  # before nnsight, which hangs `save` on every object
import uvicorn

KEYS = {os.environ[f"REAL_NDIF_{kind}_KEY"]: kind.lower() for kind in ("TRUSTED", "SANDBOXED")}


async def rows_of(cls: Any, query: str, key: uuid.UUID) -> list[dict[str, str | None]]:
    """What the database would say of a key: a row for each of its tags, none for an unknown key."""
    kind = KEYS.get(str(key))
    if kind is None:
        return []
    return [{"user_id": "1", "email": f"{kind}@localhost", "user_tag": "trusted" if kind == "trusted" else None}]


def main() -> None:
    """Serve until ended."""
    from ndif.common.providers.postgres import PostgresProvider

    PostgresProvider.enabled = classmethod(lambda cls: True)
    PostgresProvider.fetch = classmethod(rows_of)
    uvicorn.run("ndif.services.api.app:app", host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
