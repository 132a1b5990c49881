"""A machine with a screen that nobody sees: it is booted by GRUB, typed to on its keyboard or its serial port, and what
is on its screen is read back, character by character, by the glyphs of the font that it was drawn with."""
import importlib.machinery
import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

HOME = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SECONDS = 60
UNKNOWN = "\ufffd"
FONT = "/usr/share/grub/unicode.pf2"

# QEMU's names of keys.
NAMES = {" ": "spc", "\n": "ret", "-": "minus", ".": "dot", "/": "slash", ";": "semicolon", "'": "apostrophe",
         "=": "equal", ",": "comma", "\\": "backslash", "[": "bracket_left", "]": "bracket_right", "`": "grave_accent",
         "\033": "esc", "\t": "tab", "\x7f": "backspace"}
SHIFTED = dict(zip('!@#$%^&*()_+{}|:"~<>?', "1234567890-=[]\\;'`,./"))


def load_font():
    loader = importlib.machinery.SourceFileLoader("mkfont", os.path.join(HOME, "tools", "mkfont"))
    mkfont = importlib.util.module_from_spec(importlib.util.spec_from_loader("mkfont", loader))
    loader.exec_module(mkfont)
    glyphs = mkfont.read_font(FONT, mkfont.CONSOLE)
    return {bytes(rows): chr(code) for code, rows in reversed(glyphs.items())}, mkfont.WIDTH, mkfont.HEIGHT


class Picture:
    """A screendump (PPM): its pixels, and the text in it."""

    FONT, WIDTH, HEIGHT = load_font()
    READ = {}  # lines that were read already, by their pixels

    def __init__(self, data):
        magic, size, _, self.pixels = data.split(b"\n", 3)
        assert magic == b"P6"
        self.width, self.height = map(int, size.split())
        self.columns, self.lines = self.width // self.WIDTH, self.height // self.HEIGHT

    def row(self, column, line, y):
        """The pixels of a row of a cell."""
        at = 3 * ((line * self.HEIGHT + y) * self.width + column * self.WIDTH)
        part = self.pixels[at : at + 3 * self.WIDTH]
        return [part[i : i + 3] for i in range(0, 3 * self.WIDTH, 3)]

    def colours(self, column, line):
        """Those of a cell, most pixels first: its paper, and its ink unless it is blank."""
        pixels = [pixel for y in range(self.HEIGHT) for pixel in self.row(column, line, y)]
        return sorted(set(pixels), key=pixels.count, reverse=True)

    def character(self, column, line):
        colours = self.colours(column, line)
        if len(colours) == 1:
            return " "
        rows = bytes(sum((pixel == colours[1]) << (7 - x) for x, pixel in enumerate(self.row(column, line, y)))
                     for y in range(self.HEIGHT))
        return self.FONT.get(rows) or self.FONT.get(bytes(row ^ 0xFF for row in rows)) or UNKNOWN

    def text(self, line):
        bytes_of_line = 3 * self.width * self.HEIGHT
        pixels = self.pixels[line * bytes_of_line : (line + 1) * bytes_of_line]
        if pixels not in self.READ:
            self.READ[pixels] = "".join(self.character(column, line) for column in range(self.columns)).rstrip()
        return self.READ[pixels]

    def texts(self):
        """All lines; the last is the status line."""
        return [self.text(line) for line in range(self.lines)]


class Machine:
    def __init__(self, build, words, more="", **environment):
        self.directory = tempfile.TemporaryDirectory()
        monitor = self.directory.name + "/monitor"
        more = more.replace("DIRECTORY", self.directory.name)
        environment = {**os.environ, "GUI": "none", "INTERACTIVE": "1", "CMDLINE": words,
                       "QEMU_ARGS": f"-qmp unix:{monitor},server=on,wait=off {more}", **environment}
        self.log = open(self.directory.name + "/log", "wb+")
        self.process = subprocess.Popen([HOME + "/tools/run", "--iso", build + "/penumbra.iso"], env=environment,
                                        stdin=subprocess.PIPE, stdout=self.log, stderr=self.log, start_new_session=True)
        end = time.monotonic() + SECONDS
        self.socket = socket.socket(socket.AF_UNIX)
        while self.socket.connect_ex(monitor) != 0:
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"gui: QEMU did not start: {self.serial()[-200:]}")
            time.sleep(0.1)
        self.stream = self.socket.makefile("rw")
        self.stream.readline()
        self.command("qmp_capabilities")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait()
        self.log.close()
        self.directory.cleanup()

    def command(self, name, **arguments):
        self.stream.write(json.dumps({"execute": name, "arguments": arguments}) + "\n")
        self.stream.flush()
        while True:
            answer = json.loads(self.stream.readline())
            if "error" in answer:
                raise SystemExit(f"gui: {name}: {answer['error']['desc']}")
            if "return" in answer:
                return

    def press(self, *names):
        """Keys pressed together."""
        keys = [{"type": "qcode", "data": name} for name in names]
        self.command("send-key", keys=keys, **{"hold-time": 5})
        time.sleep(0.025)

    def type(self, text):
        for character in text:
            plain = SHIFTED.get(character, character.lower())
            shift = ["shift"] if plain != character else []
            self.press(*shift, NAMES.get(plain, plain))

    def send(self, text):
        """By the serial port."""
        self.process.stdin.write(text.encode())
        self.process.stdin.flush()

    def serial(self):
        """What has come out of the serial port."""
        return os.pread(self.log.fileno(), 1 << 24, 0).decode("utf-8", "replace").replace("\r", "")

    def wait_for_serial(self, pattern):
        end = time.monotonic() + SECONDS
        while not re.search(pattern, self.serial()):
            if time.monotonic() > end or self.process.poll() is not None:
                raise SystemExit(f"gui: no {pattern!r} on the serial port")
            time.sleep(0.2)

    def look(self):
        path = self.directory.name + "/screen.ppm"
        self.command("screendump", filename=path)
        with open(path, "rb") as file:
            return Picture(file.read())

    def save(self, path):
        self.command("screendump", filename=os.path.abspath(path), format="png")

    def wait(self, pattern, where=None):
        """Until the screen has it, in line `where` if that is given; returns the picture."""
        end = time.monotonic() + SECONDS
        texts = []
        while time.monotonic() < end and self.process.poll() is None:
            picture = self.look()
            texts = picture.texts()
            if re.search(pattern, "\n".join(texts) if where is None else texts[where], re.MULTILINE):
                return picture
            time.sleep(0.2)
        raise SystemExit(f"gui: no {pattern!r} on the screen, but {[text for text in texts if text][-8:]}")

    def call(self, address, text, until):
        """
        By QEMU's debugger the kernel calls a function that does not return with a text, whatever it was doing, and stops
        at the address `until`. Returns what the screen shows then.
        """
        rdi, rsp, rip = 5, 7, 16  # in the packet with all registers, eight bytes each

        def packet(data):
            debugger.sendall(f"${data}#{sum(data.encode()) % 256:02x}".encode())
            answer = b""
            while not (found := re.search(rb"\$([^$]*)#..$", answer)):
                answer += debugger.recv(65536)
            debugger.sendall(b"+")
            return found[1].decode()

        with socket.socket(socket.AF_UNIX) as debugger:
            debugger.connect(self.directory.name + "/debugger")
            time.sleep(0.5)  # it says by itself that the machine stands still
            debugger.recv(65536)
            registers = bytearray.fromhex(packet("g"))
            stack = int.from_bytes(registers[8 * rsp : 8 * rsp + 8], "little") & ~0xF
            packet(f"M{stack - 256:x},{len(text) + 1:x}:{text.encode().hex()}00")
            for number, value in ((rdi, stack - 256), (rsp, stack - 264), (rip, address)):
                registers[8 * number : 8 * number + 8] = value.to_bytes(8, "little")
            packet("G" + registers.hex())
            packet(f"Z1,{until:x},1")
            packet("c")
            return self.look()

    def wait_for_end(self):
        return self.process.wait(SECONDS)
