"""The programs that are migrated are data: flytekit is not installed here."""

from __future__ import annotations

collect_ignore_glob = ["before/*", "after/*"]
