"""A headless Chromium, driven by chromedriver's WebDriver protocol (W3C) over plain HTTP: nothing else is needed."""
import base64
import json
import subprocess
import time
import urllib.error
import urllib.request

KEYS = {"Tab": "\ue004", "Down": "\ue015", "Up": "\ue013", "Right": "\ue014", "Left": "\ue012", "Space": " ",
        "Enter": "\ue007", "Home": "\ue011", "End": "\ue010", "Escape": "\ue00c", "Backspace": "\ue003"}


class Browser:
    """One window. Errors of the page's console are kept: errors()."""

    def __init__(self, port=9515):
        self.driver = subprocess.Popen(["chromedriver", f"--port={port}", "--log-level=SEVERE"], stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
        self.base = f"http://127.0.0.1:{port}"
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
                     "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
        wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": {"args": arguments},
                                                   "goog:loggingPrefs": {"browser": "ALL"}}}}
        for attempt in range(150):
            try:
                answer = self._send("POST", "/session", wanted)
                break
            except (urllib.error.URLError, ConnectionError):
                if attempt == 149 or self.driver.poll() is not None:
                    raise
                time.sleep(0.2)
        self.session = f"/session/{answer['sessionId']}"

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        try:
            self._send("DELETE", self.session)
        finally:
            self.driver.terminate()
            self.driver.wait()

    def _send(self, method, path, body=None):
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(self.base + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise RuntimeError(json.load(error)["value"]["message"]) from None

    def open(self, path):
        self._send("POST", self.session + "/url", {"url": f"file://{path}"})

    def resize(self, width, height):
        """Of what the page has to itself, not of the window."""
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def colours(self, scheme):
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def devtools(self, command, **parameters):
        return self._send("POST", self.session + "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script, *arguments):
        """The value that a piece of JavaScript returns."""
        return self._send("POST", self.session + "/execute/sync", {"script": script, "args": list(arguments)})

    def press(self, *names):
        """Keys on the keyboard, to whatever has the focus."""
        actions = []
        for name in names:
            key = KEYS.get(name, name)
            actions += [{"type": "keyDown", "value": key}, {"type": "keyUp", "value": key}]
        self._send("POST", self.session + "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def errors(self):
        """What the console has said since the last call, and is no mere remark."""
        entries = self._send("POST", self.session + "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]

    def picture(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self._send("GET", self.session + "/screenshot")))
