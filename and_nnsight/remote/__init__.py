"""Collect on a server (NDIF): jobs of clips go up, the reduction runs there, a few values a unit come home.

settings  where to, how much at once, how patient          payloads   a job's clips, in the smallest exact form
shapes    frames and units of sites, without weights       on_server  what runs on the server (travels as source)
server    one job over HTTP, what is installed there       jobs       many jobs, in order, retried
answers   what comes home, checked, as statistics          errors     what a server's error means
versions  which servers fit this client                    encoders   dictionaries on their way up, with every job
"""

from .settings import LOCAL, Remote, RemoteRunError, as_settings

__all__ = ["LOCAL", "Remote", "RemoteRunError", "as_settings"]
