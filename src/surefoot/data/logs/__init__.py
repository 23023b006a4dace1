"""Logs of the user's own, in many formats, turned into transitions as a task file says."""

from surefoot.data.logs.importing import Imported, from_frame, import_log
from surefoot.data.logs.sources import open_log
from surefoot.data.logs.table import Log

__all__ = ["Imported", "Log", "from_frame", "import_log", "open_log"]
