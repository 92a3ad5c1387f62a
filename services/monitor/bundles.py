"""Bundles as the monitor reads them; the code is shared with the rollout controller."""

from shared.runtime.bundles import Fetch, bundle_reader

__all__ = ["Fetch", "bundle_reader"]
