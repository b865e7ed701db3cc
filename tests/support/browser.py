"""A headless Chromium that opens pages from disk, spoken to through pipes in its DevTools protocol."""

import base64
import json
import os
import shutil
import subprocess
import time

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find():
    """Chromium's path: `$CHROMIUM`, or the first of its names on the path; None where there is none."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


class Browser:
    """One tab without network. `events` are all messages that were no answers: exceptions, requests, ..."""

    def __init__(self, profile):
        read, self._to = os.pipe()
        self._from, write = os.pipe()
        # Chromium reads commands from descriptor 3 and answers on 4.
        script = f'exec "$0" "$@" 3</dev/fd/{read} 4>/dev/fd/{write}'
        options = [
            "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1300,900",
            "--host-resolver-rules=MAP * ~NOTFOUND", f"--user-data-dir={profile}", "--remote-debugging-pipe",
        ]  # fmt: skip
        self._process = subprocess.Popen(
            ["/bin/sh", "-c", script, find(), *options],
            pass_fds=(read, write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read)
        os.close(write)
        self._rest, self._count, self._session, self.events = b"", 0, None, []
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self.do(f"{domain}.enable")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait(timeout=30)
        os.close(self._to)
        os.close(self._from)

    def do(self, method, **parameters):
        """The result of one command."""
        self._count += 1
        message = {"id": self._count, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._count:
            self.events.append(answer)
        assert "result" in answer, answer
        return answer["result"]

    def _next(self):
        while b"\0" not in self._rest:
            received = os.read(self._from, 1 << 16)
            assert received, "Chromium is gone"
            self._rest += received
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def open(self, url):
        """Load a page, to the end."""
        self.do("Page.navigate", url="about:blank")
        self.do("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")

    def evaluate(self, expression):
        """The value of JavaScript."""
        answer = self.do("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self, name):
        """What the element with that id says."""
        return self.evaluate(f"document.getElementById('{name}').textContent")

    def wait_for(self, condition, seconds=20):
        """Return once the JavaScript condition holds."""
        deadline = time.monotonic() + seconds
        while not self.evaluate(condition):
            assert time.monotonic() < deadline, f"not true in {seconds} s: {condition}"
            time.sleep(0.02)

    def press(self, key):
        """Press and release a key."""
        code = {" ": 32, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}.get(key, ord(key[0]))
        text = {"text": key} if len(key) == 1 else {}
        self.do("Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text)
        self.do("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def click(self, name, across=0.5):
        """Click the element with that id, at its middle or at another share of its width."""
        box = self.evaluate(f"document.getElementById('{name}').getBoundingClientRect().toJSON()")
        place = {"x": box["x"] + across * box["width"], "y": box["y"] + box["height"] / 2}
        for kind in ("mousePressed", "mouseReleased"):
            self.do("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def screenshot(self):
        """The page as a PNG."""
        return base64.b64decode(self.do("Page.captureScreenshot")["data"])

    def requests(self):
        """Every address that was asked for."""
        sent = [each for each in self.events if each.get("method") == "Network.requestWillBeSent"]
        return [each["params"]["request"]["url"] for each in sent]

    def exceptions(self):
        """What went wrong in the page's own program."""
        return [each for each in self.events if each.get("method") == "Runtime.exceptionThrown"]
