"""Logs of the user's own, in many formats, turned into transitions as a task file says."""

from surefoot.data.logs.importing import Imported, import_log, transitions_of
from surefoot.data.logs.sources import open_log
from surefoot.data.logs.table import Log

__all__ = ["Imported", "Log", "import_log", "open_log", "transitions_of"]
