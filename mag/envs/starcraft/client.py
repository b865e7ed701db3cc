"""A small client for StarCraft II: it starts the game and speaks its protocol over a local websocket.

The messages are Blizzard's (`s2clientprotocol`, from the package `pys2clientprotocol`). Every failure of the game
raises `GameError`; the episode under way then breaks off.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from mag.envs import tether
from mag.envs.starcraft.install import Install
from mag.errors import UsageError

HOST = "127.0.0.1"
LAUNCHES = 3
"""Tries to start the game, as another program may take the port that was found free."""
START_SECONDS = 120.0
STEP_SECONDS = 60.0
QUIT_SECONDS = 2.0


class GameError(Exception):
    """The game crashed, did not answer in time or answered with an error."""


def protocol() -> Any:
    """The protocol's messages. Raises UsageError where their package is not installed."""
    try:
        from s2clientprotocol import sc2api_pb2
    except ImportError as error:
        raise UsageError(
            f"starcraft needs packages that are not installed ({error.name}): pip install 'models-as-agents[starcraft]'"
        ) from error
    return sc2api_pb2


class Game:
    """A running game and the connection to it; it ends with `close`, or with this process."""

    def __init__(
        self, install: Install, *, start_seconds: float = START_SECONDS, step_seconds: float = STEP_SECONDS
    ) -> None:
        """Start the game. Raises GameError where it does not answer within `start_seconds`."""
        self._protocol = protocol()
        self._install = install
        self._step_seconds = step_seconds
        self._folder = Path(tempfile.mkdtemp(prefix="mag-starcraft-"))
        self._process: Any = None
        self._socket: Any = None
        self._requests = 0
        self._connection = contextlib.ExitStack()
        try:
            self._launch_in_tries(start_seconds)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """The id of the game's process."""
        return int(self._process.pid)

    def request(self, name: str, message: Any = None, *, seconds: float | None = None) -> Any:
        """Send the request `name` (a field of the protocol's Request) and return the answer of that name.

        Raises GameError where the answer is an error, is missing after `seconds`, or is another request's.
        """
        self._requests += 1
        request = self._protocol.Request(id=self._requests)
        getattr(request, name).SetInParent()
        if message is not None:
            getattr(request, name).CopyFrom(message)
        response = self._exchange(name, request.SerializeToString(), seconds or self._step_seconds)
        if response.error:
            raise GameError(f"the game answered {name} with an error: {'; '.join(response.error)}")
        if response.id != self._requests or not response.HasField(name):
            raise GameError(f"the game answered {name} with something else")
        answer = getattr(response, name)
        if "error" in answer.DESCRIPTOR.fields_by_name and answer.HasField("error"):
            kind = answer.DESCRIPTOR.fields_by_name["error"].enum_type.values_by_number[answer.error].name
            details = f": {answer.error_details}" if answer.error_details else ""
            raise GameError(f"the game refused {name} ({kind}{details})")
        return answer

    def close(self) -> None:
        """Let the game quit, or end it."""
        if self._socket is not None:
            with contextlib.suppress(Exception):
                self._socket.send(self._protocol.Request(quit={}).SerializeToString())
        self._end(QUIT_SECONDS)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _exchange(self, name: str, request: bytes, seconds: float) -> Any:
        from websockets.exceptions import WebSocketException

        try:
            self._socket.send(request)
            answer = self._socket.recv(timeout=seconds)
            return self._protocol.Response.FromString(answer)
        except TimeoutError as error:
            raise GameError(f"the game did not answer {name} within {seconds:.0f} s") from error
        except (OSError, WebSocketException) as error:
            raise GameError(f"the game ended during {name}{self._last_output()}") from error
        except (ValueError, TypeError, self._decode_error()) as error:
            raise GameError(f"the game's answer to {name} cannot be read") from error

    def _decode_error(self) -> type[Exception]:
        from google.protobuf.message import DecodeError

        return DecodeError

    def _launch_in_tries(self, seconds: float) -> None:
        """Start the game within `seconds`, of which each of `LAUNCHES` tries has its share."""
        problem = ""
        for _ in range(LAUNCHES):
            try:
                return self._launch(time.monotonic() + seconds / LAUNCHES)
            except GameError as error:
                problem = str(error)
                self._end()
        raise GameError(f"{problem} ({LAUNCHES} tries)")

    def _launch(self, deadline: float) -> None:
        port = _free_port()
        root = self._install.root
        command = [str(self._install.program), "-listen", HOST, "-port", str(port), "-dataDir", f"{root}/"]
        command += ["-tempDir", f"{self._folder}/", "-headlessNoRender"]
        libraries = [os.environ.get("LD_LIBRARY_PATH", ""), f"{root}/Libs/"]
        surroundings = os.environ | {"LD_LIBRARY_PATH": os.pathsep.join(filter(None, libraries))}
        with (self._folder / "output.txt").open("wb") as output:
            self._process = tether.start(
                command, leads=False, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=surroundings, cwd=root
            )
        self._connect(port, deadline)
        self.request("ping", seconds=max(1.0, deadline - time.monotonic()))

    def _connect(self, port: int, deadline: float) -> None:
        """Wait until the game answers at its port."""
        from websockets.exceptions import WebSocketException
        from websockets.sync.client import connect

        address = f"ws://{HOST}:{port}/sc2api"
        options: dict[str, Any] = {"max_size": None, "compression": None, "ping_interval": None, "proxy": None}
        while True:
            left = deadline - time.monotonic()
            if self._process.poll() is not None:
                raise GameError(f"the game ended while it started{self._last_output()}")
            if left <= 0:
                raise GameError(f"the game did not start in time{self._last_output()}")
            try:
                opening = connect(address, open_timeout=min(left, 2.0), close_timeout=0.5, **options)
                self._socket = self._connection.enter_context(opening)
                return
            except (OSError, WebSocketException):
                time.sleep(min(0.1, max(left, 0.0)))

    def _end(self, patience: float = 0.0) -> None:
        if self._process is not None:
            tether.end(self._process, leads=False, patience=patience)
        with contextlib.suppress(Exception):
            self._connection.close()
        self._process = self._socket = None

    def _last_output(self) -> str:
        """How the game ended, and its last line of output."""
        code = self._process.poll() if self._process is not None else None
        if code is None and self._process is not None:
            with contextlib.suppress(Exception):
                code = self._process.wait(0.2)
        lines = (self._folder / "output.txt").read_text(errors="replace").strip().splitlines()
        told = [f"exit code {code}"] if code is not None else []
        told += [f"its last output: {lines[-1][:200]}"] if lines else []
        return f" ({', '.join(told)})" if told else ""


def _free_port() -> int:
    """A port on which no program listens."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
