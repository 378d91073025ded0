"""What stands on the page of a day: one function a section, each reads derived files and says what is missing."""

from hip3_platform.looks.sections.rotation import timeline

__all__ = ["timeline"]
