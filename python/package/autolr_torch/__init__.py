"""Learning rates that set themselves, for PyTorch. See `Robust`, `AutoLR` and `find`."""

from ._core import version as _version
from .autolr import AutoLR
from .finding import Found, find
from .robust import Robust
from .scheduler import Scheduler
from .search import Trial

__version__ = _version()

__all__ = ["AutoLR", "Found", "Robust", "Scheduler", "Trial", "find"]
