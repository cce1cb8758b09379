"""What goes wrong on a server, in the real server's words, and for how many of the next jobs or requests."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

APOLOGY = "Please try again later. Sorry for the inconvenience."
RECONNECTING = "Service temporarily unavailable: compute backend is reconnecting. Please try again in a few minutes."
OUT_OF_MEMORY = """Traceback (most recent call last):
  File "client.py", line 1, in <module>
torch.OutOfMemoryError: CUDA out of memory. """
# What a job that `fail` stops says: one of these names, or any other text as it is.
FAILURES = {
    "out of memory": OUT_OF_MEMORY + "Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.11 GiB of which "
    "1.24 GiB is free. Including non-PyTorch memory, this process has 77.87 GiB memory in use. 38.00 GiB allowed; Of the "
    "allocated memory 36.90 GiB is allocated by PyTorch, and 112.00 MiB is reserved by PyTorch but unallocated. If "
    "reserved but unallocated memory is large try setting PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True to avoid "
    "fragmentation.\n",
    "out of budget": OUT_OF_MEMORY + "Allocation was preemptively rejected because it would exceed "
    "per_process_memory_fraction limit. Requested size: 2.00 GiB.\n",
    "timeout": "Your job exceeded the execution timeout of 60.0s.",
    "cancelled": "Your job was cancelled or preempted by the server.",
    "evicted": "Replica was evicted while processing your request. Sorry for the inconvenience. Please try again later.",
    "critical": f"Critical server error occurred. {APOLOGY}",
    "submitting": f"Error submitting request to model deployment. {APOLOGY}",
    "provisioning": f"Error provisioning model. {APOLOGY}",
    "starting": f"Error starting model. {APOLOGY}",
    "no room": "Could not deploy this model. CANT_ACCOMMODATE: placed 0 of 1 new replicas before the cluster ran out of room.",
    "no nodes": "Could not deploy this model. No GPU nodes available.",
}


@dataclass
class Settings:
    """How the server behaves. Counts say for how many of the next jobs or requests, and run down to zero."""

    api_keys: list[str] = field(default_factory=list)  # UUIDs; none: everybody may
    min_nnsight: str | None = None  # refuse older clients
    trusted: bool = True  # whether it says that it runs code beside the model, as it always does
    dtype: str = "float32"  # of the weights; a real server's is bfloat16
    deployable: list[str] | None = None  # repo ids; None: whatever can be loaded
    inline_max: int = 8 * 2**20  # bytes of a result that may come back on the websocket
    max_request: int | None = None  # bytes of a /request's body
    env: dict[str, str | None] = field(default_factory=dict)  # what /env says of "python" or a package; None: not there
    reconnecting: bool = False  # 503 wherever the real server asks for its backend first
    hold: bool = False  # jobs wait in the queue
    delay: float = 0.0  # seconds in the queue
    late: int = 0  # of the next jobs: nothing is said of them before they run
    # of the next jobs, in this order of precedence
    die_on: int = 0  # the process ends in the middle of the n-th of the next jobs
    forget: int = 0  # nothing is ever stored or said of them
    lose: int = 0  # they run for ever
    fail: int = 0
    fail_text: str = "out of memory"
    wrong_results: int = 0
    wrong_result: str = "truncated"  # or garbage, huge, other names, not a dict, no data, gone
    huge_bytes: int = 64 * 2**20
    cut_sockets: int = 0  # the websocket of the job is cut when it starts running
    # of the next requests and websockets whose path starts with `on`
    on: str = ""
    drop: int = 0  # the connection is cut before anything is done
    drop_answers: int = 0  # ... after it is done, before the answer
    unavailable: int = 0  # 503, for requests

    def change(self, changes: dict) -> None:
        """Set what `changes` names.

        Raises: KeyError on an unknown name.
        """
        if unknown := set(changes) - {known.name for known in fields(self)}:
            raise KeyError(f"no such settings: {sorted(unknown)}")
        for name, value in changes.items():
            setattr(self, name, value)

    def take(self, name: str) -> bool:
        """Whether the count `name` has one left; takes it."""
        left = getattr(self, name)
        setattr(self, name, max(left - 1, 0))
        return left > 0

    def fate(self) -> str:
        """What happens to the job that has just been accepted."""
        dies = self.die_on == 1
        self.die_on = max(self.die_on - 1, 0)
        if dies:
            return "die"
        return next((name for name in ("forget", "lose", "fail", "wrong_results") if self.take(name)), "run")
