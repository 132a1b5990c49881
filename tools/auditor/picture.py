"""A stopped machine as the auditor sees it: the frame table, all restricted roots, whose they are.

A root is found by its shape, not by any list of the kernel's: a LOCAL frame whose slot PTWINDOW leads back to itself.
"""
import zlib
from array import array
from collections import Counter

from auditor.kernel import CLASSES

PRESENT, WRITE, USER, UNCACHED, LARGE, NO_EXECUTE = 1, 2, 4, 0x18, 0x80, 1 << 63
DEVICE = 1 << 11  # software: a page of device registers in a user half
ADDRESS = 0x000ffffffffff000
PAGE = 4096
ENTRIES = 512


def frame_of(entry):
    """The frame that an entry leads to."""
    return (entry & ADDRESS) >> 12


class TooEarly(Exception):
    """The kernel has not made its first root yet."""


class FrameTable:
    """mm/frame.h's table as arrays by frame number."""

    def __init__(self, data):
        self.count = len(data) // 24
        self.checksum = zlib.crc32(data)
        self.classes = data[0::24]
        halves = array('I', data)
        self.refs, self.owners = halves[1::6], halves[2::6]
        self.objects = array('Q', data)[2::3]


class Root:
    """A restricted root: whose it is, and what the walk found mapped in it."""

    def __init__(self, frame, owner):
        self.frame, self.owner = frame, owner
        self.family = {owner}    # processes that have the same user half: a vfork's
        self.mapped = Counter()  # (region, class) → pages, when a surface is wanted
        self.tables = set()      # likewise, frames of page tables


class Picture:
    """What is where. Class numbers are attributes by name: self.FREE, self.LOCAL, …"""

    def __init__(self, kernel, ram, cpus):
        self.kernel, self.map, self.ram, self.cpus = kernel, kernel.map, ram, cpus
        for name in CLASSES:
            setattr(self, name, kernel.class_number(name))
        self.mode = kernel.modes.get(ram.half(kernel.physical('asi_mode')), '?')
        self._find_frame_table()
        self._find_roots()

    def translate(self, root, address):
        """The physical address that a root gives to a virtual one, or None."""
        table = root
        for level in (4, 3, 2, 1):
            entry = self.ram.word(table * PAGE + (address >> 9 * level & 0xff8))
            if not entry & PRESENT or frame_of(entry) >= self.ram.frames:
                return None
            table = frame_of(entry)
            if level > 1 and entry & LARGE:
                mask = (1 << 3 + 9 * level) - 1
                return entry & ADDRESS & ~mask | address & mask
        return table * PAGE | address & PAGE - 1

    def _self_references(self):
        """Frames whose slot PTWINDOW leads back to themselves: what a restricted root looks like."""
        slot = self.map.SLOT_PTWINDOW
        return [frame for frame, entry in enumerate(self.ram.words[slot::ENTRIES].tolist())
                if entry & PRESENT and frame_of(entry) == frame]

    def _read_frame_table(self, root):
        count = self.ram.half(self.kernel.physical('table_size'))
        if not 0 < count <= self.ram.frames:
            return None
        pages = []
        for offset in range(0, count * 24, PAGE):
            at = self.translate(root, self.map.FRAME_TABLE_BASE + offset)
            if at is None:
                return None
            pages.append(self.ram.bytes[at:at + PAGE])
        return FrameTable(b''.join(pages)[:count * 24])

    def _find_frame_table(self):
        """Through any root that itself is LOCAL by the table it leads to. A user page cannot pass for one."""
        self._candidates = self._self_references()
        for candidate in self._candidates:
            table = self._read_frame_table(candidate)
            if table and candidate < table.count and table.classes[candidate] == self.LOCAL:
                self.frames, self.any_root = table, candidate
                return
        raise TooEarly

    def _find_roots(self):
        frames = self.frames
        self.roots = {frame: Root(frame, frames.owners[frame]) for frame in self._candidates
                      if frame < frames.count and frames.classes[frame] == self.LOCAL}
        slot = self.map.SLOT_PTWINDOW
        self.unrestricted = {}  # PML4s that lead to a restricted root by PTWINDOW, and are not that root
        for frame, entry in enumerate(self.ram.words[slot::ENTRIES].tolist()[:frames.count]):
            target = frame_of(entry)
            if entry & PRESENT and target in self.roots and target != frame and frames.classes[frame] == self.LOCAL \
                    and frames.owners[frame] == self.roots[target].owner:
                self.unrestricted[frame] = self.roots[target]

    def root_of(self, cpu):
        """The restricted root of the process whose tables the processor has loaded, or None."""
        frame = cpu.cr3 >> 12
        return self.roots.get(frame) or self.unrestricted.get(frame)
