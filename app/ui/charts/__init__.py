"""Charts over time: the only room that imports pyqtgraph. Imported late: it costs most of a second."""

from app.ui.charts.ruler import TimeEvent
from app.ui.charts.stack import Trace, Track, TrackStack

__all__ = ["TimeEvent", "Trace", "Track", "TrackStack"]
