"""The warehouse as a Dagster resource: typed fields, manifests, and where things lie."""

from pathlib import Path

import dagster as dg

from hip3_platform.analytics.landing import Landing, read_landing
from streaming.contracts.paths import checked_name


class WarehouseResource(dg.ConfigurableResource[None]):
    """Folder of one warehouse and the one venue this code location judges."""

    root: str
    venue: str

    @property
    def path(self) -> Path:
        """Folder of the warehouse."""
        return Path(self.root)

    @property
    def checked_venue(self) -> str:
        """Name of the venue; raises ValueError for what may not be part of a path."""
        return checked_name(self.venue)

    def landing(self) -> Landing:
        """Return what has landed so far (manifest lines only)."""
        return read_landing(self.path, self.checked_venue)

    @property
    def docs_folder(self) -> Path:
        """Home of the Great Expectations project and its Data Docs."""
        return self.path / "expectations" / f"venue={self.checked_venue}"
