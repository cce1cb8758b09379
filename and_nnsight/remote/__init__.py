"""Collect on a server (NDIF): jobs of clips go up, the reduction runs there, a few values a unit come home.

settings  where to, how much at once, how patient          payloads  a job's clips, in the smallest exact form
shapes    frames and units of sites, without weights       shipped  what runs on the server (travels as source)
server    one job over HTTP, versions, errors              jobs     many jobs, in order, retried
answers   what comes home, checked, as statistics          complaints  what a server says of a job that failed
"""

from .settings import LOCAL, Remote, RemoteRunError, as_settings

__all__ = ["LOCAL", "Remote", "RemoteRunError", "as_settings"]
