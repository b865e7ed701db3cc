"""The program of a process that plays a host environment: `python -m mag.play.worker SOCKET`.

It makes the environment that the first frame names, answers requests until its socket closes, and closes the
environment whatever happens. A frame is a kind (one byte), a length and a payload.

| request | payload | answer |
|---|---|---|
| MAKE | JSON with `name`, `content` and `nearest_first` | READY |
| RESET | the seed | SHOWN, a record (`mag.envs.host`) |
| STEP | the joint action, int32 | SHOWN |
| - | | REFUSED or BROKEN with a sentence in place of any answer; then the process ends |

JAX is not imported here, so `Array` in annotations stands for NumPy's array. (An environment may import JAX, which then
runs on the CPU.)
"""

import contextlib
import json
import socket
import struct
import sys
import traceback
from typing import Any, NoReturn

import jaxtyping
import numpy as np

MAKE, RESET, STEP = b"M", b"R", b"S"
READY, SHOWN, REFUSED, BROKEN = b"r", b"s", b"u", b"x"
_HEADER = struct.Struct("<cI")
MOST_BYTES = 2**30


class Channel:
    """Frames over a socket; raises EOFError where the other side is gone."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Send one frame."""
        try:
            self._socket.sendall(_HEADER.pack(kind, len(payload)) + payload)
        except OSError as error:
            raise EOFError from error

    def receive(self) -> tuple[bytes, bytes]:
        """Wait for one frame."""
        kind, length = _HEADER.unpack(self._read(_HEADER.size))
        if length > MOST_BYTES:
            raise EOFError
        return kind, self._read(length)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _read(self, length: int) -> bytes:
        parts = bytearray()
        while len(parts) < length:
            try:
                part = self._socket.recv(length - len(parts))
            except OSError as error:
                raise EOFError from error
            if not part:
                raise EOFError
            parts += part
        return bytes(parts)


class Stage:
    """An environment whose time steps are checked against its contract before they are sent."""

    def __init__(self, name: str, content: dict[str, Any] | None, *, nearest_first: bool) -> None:
        from mag import envs

        made: Any = envs.make(name, content, nearest_first=nearest_first)
        self.env = made
        self.spec = made.spec
        self._time = 0
        promised = envs.spec(name, content, nearest_first=nearest_first)
        if self.spec != promised:
            raise self._wrong(f"has another spec than its family tells: {self.spec}, and told is {promised}")

    def reset(self, payload: bytes) -> bytes:
        """Begin an episode."""
        record = self._as_record(self.env.reset(int.from_bytes(payload, "little")))
        self._time = 0
        if not record["first"] or record["terminated"] or record["truncated"]:
            raise self._wrong("shows, after a reset, a time step that is not `first` or that ends the episode")
        return bytes(record.tobytes())

    def step(self, payload: bytes) -> bytes:
        """Play a joint action."""
        record = self._as_record(self.env.step(np.frombuffer(payload, np.int32).copy()))
        self._time += 1
        if record["first"]:
            raise self._wrong("shows a time step that is `first` after an action")
        over = record["terminated"] or record["truncated"]
        if self._time >= self.spec.episode_limit and not over:
            raise self._wrong(f"goes on after its episode_limit of {self._time} steps; it has to be `truncated` there")
        return bytes(record.tobytes())

    def _as_record(self, shown: Any) -> np.ndarray:
        from mag.envs.host import record_of

        return record_of(self.spec, shown)

    def _wrong(self, what: str) -> Exception:
        from mag.envs.host import ContractError

        return ContractError(f"{self.spec.name} {what}")


def serve(channel: Channel) -> None:
    """Answer requests until there are no more."""
    _, payload = channel.receive()
    stage = Stage(**json.loads(payload))
    try:
        channel.send(READY)
        while True:
            kind, payload = channel.receive()
            channel.send(SHOWN, stage.reset(payload) if kind == RESET else stage.step(payload))
    finally:
        with contextlib.suppress(Exception):
            stage.env.close()


def main(descriptor: int) -> NoReturn:
    """Answer requests on the socket with this file descriptor."""
    jaxtyping.Array = jaxtyping.PRNGKeyArray = np.ndarray  # type: ignore[misc, assignment]
    from mag.envs.host import ContractError
    from mag.errors import UsageError

    channel = Channel(socket.socket(fileno=descriptor))
    with contextlib.suppress(EOFError):
        try:
            serve(channel)
        except (UsageError, ContractError) as error:
            channel.send(REFUSED, str(error).encode())
        except EOFError:
            pass
        except Exception as error:
            traceback.print_exc()
            lines = str(error).strip().splitlines() or [""]
            channel.send(BROKEN, f"{type(error).__name__}: {lines[0][:300]}".encode())
    sys.exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
