"""One look at a stopped machine: all restricted roots are walked, REACH, CLEAN and GATE are judged.

The rules are written in the head of tools/audit. `Look.findings` has a line for each violation.
"""
import re
from collections import Counter

from auditor.picture import (ADDRESS, DEVICE, LARGE, NO_EXECUTE, PAGE, PRESENT, UNCACHED, USER, WRITE, Picture,
                             frame_of)
from auditor.views import Bookkeeping

MAY_EXECUTE = NO_EXECUTE  # in a set of rights the bit has the opposite meaning
ZEROS = bytes(64 * PAGE)
MOV_CR3 = re.compile(rb'\x0f\x22[\x18-\x1f\x58-\x5f\x98-\x9f\xd8-\xdf]', re.S)  # the CPU ignores ModRM's mod field


def rights_of(entry):
    """What one entry leaves of W, U and X."""
    return entry & (WRITE | USER) | ~entry & MAY_EXECUTE


class Look(Picture):
    """Everything that one stopped moment shows."""

    def __init__(self, kernel, ram, cpus, surface=False):
        super().__init__(kernel, ram, cpus)
        self.want_surface = surface
        self.findings = []
        self.leaves = self.tables = self.free_frames = 0
        self.strict = not any(cpu.in_kernel for cpu in cpus)
        self.books = Bookkeeping(self)
        for root in self.roots.values():
            root.family = self.books.family(root)
        self._empty = {}                 # table frame → whether nothing is present in it
        self._settled = set()            # shared tables that have been walked without a process in the rules
        self._user_mappings = Counter()  # frame → user entries
        self._writable = Counter()       # likewise, writable ones
        self._places = {}                # likewise, where: (process, address)
        self._counted = set()            # user tables whose entries are counted
        self._mapped_frames = set()      # frames of LOCAL and STACK
        self._allowed_scratch = self._scratch_allowance()

    def judge(self):
        """Applies every rule; returns the findings."""
        for root in self.roots.values():
            self._walk_root(root)
        self._judge_references()
        self._judge_other_stacks()
        self._judge_clean()
        self._judge_gate()
        return self.findings

    def _scratch_allowance(self):
        """Root frame → scratch addresses that may be in use: the slots of a processor that runs kernel code in it."""
        size = self.map.EPHMAP_SCRATCH_SLOTS * PAGE
        allowance = {}
        for index, cpu in enumerate(self.cpus):
            root = self.root_of(cpu)
            if cpu.in_kernel and root:
                start = self.map.EPHMAP_SCRATCH_BASE + index * size
                allowance.setdefault(root.frame, []).append((start, start + size))
        return allowance

    # --- Words -------------------------------------------------------------------------------------------------------

    def class_name(self, frame):
        """A frame's class and owner, for people."""
        if frame >= self.frames.count:
            return 'no RAM'
        name = self.kernel.classes.get(self.frames.classes[frame], '?')
        return f'{name}({self.frames.owners[frame]})' if name in ('LOCAL', 'USER') else name

    def _violation(self, invariant, what, root=None, address=None, frame=None):
        text = f'{invariant}: {what}'
        if root is not None:
            text += f': process {root.owner} {self.books.name(root)}'
        if address is not None:
            text += f', address {address:#x}'
        if frame is not None:
            text += f', frame {frame:#x} of class {self.class_name(frame)}'
        self.findings.append(text)

    # --- REACH: tables -----------------------------------------------------------------------------------------------

    def _walk_root(self, root):
        entries = self.ram.table(root.frame)
        place = self.map
        known = {place.SLOT_EPHMAP, place.SLOT_LOCAL, place.SLOT_STACK, place.SLOT_GLOBAL, place.SLOT_IMAGE}
        self.tables += 1
        root.tables.add(root.frame)
        for slot, entry in enumerate(entries):
            if not entry & PRESENT:
                continue
            base = slot << 39 if slot < self.map.USER_SLOTS else 0xffff << 48 | slot << 39
            if slot == self.map.SLOT_PTWINDOW:
                if entry & USER:
                    self._violation('REACH', 'page tables open to user code', root, base, frame_of(entry))
            elif slot >= self.map.USER_SLOTS and slot not in known:
                self._violation('REACH', 'a slot that the restricted space has not', root, base, frame_of(entry))
            else:
                self._walk(root, slot, 3, base, entry, rights_of(entry))
        if self.strict:
            self._compare_with_unrestricted(root, entries)

    def _compare_with_unrestricted(self, root, entries):
        """The two roots differ in STACK and PHYSMAP only."""
        physmap = range(self.map.SLOT_PHYSMAP, self.map.SLOT_IMAGE)
        for frame, owner in self.unrestricted.items():
            if owner is not root:
                continue
            for slot, (mine, other) in enumerate(zip(entries, self.ram.table(frame))):
                if mine & (ADDRESS | PRESENT) != other & (ADDRESS | PRESENT) and slot != self.map.SLOT_STACK \
                        and slot not in physmap:
                    self._violation('REACH', f'slot {slot} differs in the unrestricted root', root, None, frame)

    def _is_empty(self, frame):
        if frame not in self._empty:
            self._empty[frame] = self.ram.bytes[frame * PAGE:frame * PAGE + PAGE] == ZEROS[:PAGE]
        return self._empty[frame]

    def _table_allowed(self, root, slot, base, entry):
        frame, frames = frame_of(entry), self.frames
        if frame >= frames.count:
            return False
        cls, owner = frames.classes[frame], frames.owners[frame]
        if slot < self.map.USER_SLOTS:
            return cls == self.LOCAL and owner in root.family
        if slot in (self.map.SLOT_GLOBAL, self.map.SLOT_IMAGE):
            return cls == self.GLOBAL
        if cls == self.LOCAL:
            return owner == root.owner
        if cls != self.GLOBAL:
            return False
        if slot == self.map.SLOT_EPHMAP:  # one empty table for all: nobody may write it
            return not entry & WRITE
        return slot == self.map.SLOT_STACK and base >= self.map.CPU_STACK_BASE

    def _walk(self, root, slot, level, base, upper, rights):
        """`upper` is the entry that leads to a table of `level`; `rights` what the levels above leave of W, U and X."""
        frame = frame_of(upper)
        if not self._table_allowed(root, slot, base, upper):
            self._violation('REACH', 'a page table of somebody else', root, base, frame)
            return
        if self.want_surface:
            root.tables.add(frame)  # PTWINDOW shows it
        if self._is_empty(frame):
            return
        shared = slot in (self.map.SLOT_GLOBAL, self.map.SLOT_IMAGE) and not self.want_surface
        if shared and (frame, base, rights) in self._settled:
            return
        if shared:
            self._settled.add((frame, base, rights))
        self.tables += 1
        count = slot < self.map.USER_SLOTS and (frame, base) not in self._counted
        if count:
            self._counted.add((frame, base))
        shift = 3 + 9 * level
        previous = None  # an EPHMAP directory has one entry 512 times
        for index, entry in enumerate(self.ram.table(frame)):
            if not entry & PRESENT or (entry == previous and level > 1 and self._is_empty(frame_of(entry))):
                continue
            previous = entry
            below = rights & rights_of(entry)
            if level == 1 or entry & LARGE:
                self._leaf(root, slot, base + (index << shift), entry, below, 1 << shift - 12, count)
            else:
                self._walk(root, slot, level - 1, base + (index << shift), entry, below)

    # --- REACH: leaves -----------------------------------------------------------------------------------------------

    def _leaf(self, root, slot, address, entry, rights, pages, count):
        first = frame_of(entry) & ~(pages - 1)
        self.leaves += 1
        if slot >= self.map.USER_SLOTS:
            if rights & WRITE and rights & MAY_EXECUTE:
                self._violation('REACH', 'writable and executable', root, address, first)
            if rights & USER:
                self._violation('REACH', 'kernel half open to user code', root, address, first)
            if rights & MAY_EXECUTE and not self.kernel['text_start'] <= address < self.kernel['text_end']:
                self._violation('REACH', 'executable outside the kernel\'s text', root, address, first)
        for frame in range(first, first + pages):
            wrong = self._leaf_wrong(root, slot, address + (frame - first) * PAGE, frame, entry)
            if wrong:
                self._violation('REACH', wrong, root, address + (frame - first) * PAGE, frame)
                break
            if count and not entry & DEVICE:
                self._user_mappings[frame] += 1
                self._places.setdefault(frame, []).append((root.owner, address + (frame - first) * PAGE))
                if rights & WRITE:
                    self._writable[frame] += 1
            if self.want_surface:
                self._note_surface(root, slot, frame)
        if slot in (self.map.SLOT_LOCAL, self.map.SLOT_STACK):
            self._mapped_frames.add(first)

    def _leaf_wrong(self, root, slot, address, frame, entry):
        """Why the process may not have the frame mapped there, or None: design.md, section 2."""
        frames, place = self.frames, self.map
        known = frame < frames.count
        cls = frames.classes[frame] if known else None
        if slot < place.USER_SLOTS and entry & DEVICE:
            return self._device_wrong(frame, entry, known, cls)
        if slot < place.USER_SLOTS:
            if cls == self.SECRET and frames.objects[frame]:
                return self.books.mapping_wrong(root, frames.objects[frame])
            return None if cls == self.USER else 'neither USER nor a page of an object'
        if slot == place.SLOT_EPHMAP:
            return self._view_wrong(root, address, frame, cls)
        if slot in (place.SLOT_LOCAL, place.SLOT_STACK):
            if cls == self.LOCAL and frames.owners[frame] == root.owner:
                return None
            if slot == place.SLOT_STACK and address >= place.CPU_STACK_BASE and cls == self.GLOBAL:
                return None
            return 'not LOCAL to the process'
        if slot == place.SLOT_GLOBAL and place.DEVICE_BASE <= address < place.DEVICE_END:
            if entry & UNCACHED == UNCACHED and (not known or cls == self.RESERVED):
                return None
            return 'RAM or cached, where devices are mapped'
        return None if cls == self.GLOBAL else 'not GLOBAL'

    def _device_wrong(self, frame, entry, known, cls):
        """A driver's registers: uncached, no RAM, and not what interrupts come and go by."""
        if entry & UNCACHED != UNCACHED or (known and cls != self.RESERVED):
            return 'RAM or cached, as a device in a user half'
        return 'the APICs in a user half' if frame * PAGE in range(0xfec00000, 0xfef00000) else None

    def _view_wrong(self, root, address, frame, cls):
        if address >= self.map.EPHMAP_SCRATCH_BASE:
            if not any(start <= address < end for start, end in self._allowed_scratch.get(root.frame, ())):
                return 'a scratch view that nobody holds'
            return None if cls in (self.USER, self.SECRET, self.LOCAL) else 'a scratch view of what needs none'
        if cls != self.SECRET or not self.frames.objects[frame]:
            return 'LOGICAL ACCESS: a window on no page of an object'
        if address != self.map.EPHMAP_BASE + frame * PAGE:
            return 'LOGICAL ACCESS: a window at another frame\'s address'
        return self.books.window_wrong(root, frame, self.frames.objects[frame])

    # --- REACH: what needs all walks ---------------------------------------------------------------------------------

    def _judge_references(self):
        """Each entry of a user half has a reference; a USER frame with several entries is writable by none of them."""
        frames = self.frames
        for frame, mapped in self._user_mappings.items():
            secret = frames.classes[frame] == self.SECRET
            if mapped > frames.refs[frame] - (1 if secret else 0):
                self._violation('REACH', f'{mapped} user entries, {frames.refs[frame]} references{self._where(frame)}',
                                frame=frame)
            cut_off = frames.owners[frame] == 0  # of a file, by truncation: on its way out of all mappings (mm/vm_everywhere.c)
            if mapped > 1 and not secret and not cut_off and self._writable[frame]:
                self._violation('REACH', f'writable in {self._writable[frame]} of {mapped} user entries'
                                f'{self._where(frame)}', frame=frame)

    def _where(self, frame):
        return ''.join(f', process {owner} at {address:#x}' for owner, address in self._places[frame][:4])

    def _judge_other_stacks(self):
        """The stacks of unrestricted code: LOCAL by class, but in no restricted space (RESIDUE)."""
        for frame, root in self.unrestricted.items():
            pdpt = self.ram.word(frame * PAGE + self.map.SLOT_STACK * 8)
            if not pdpt & PRESENT:
                continue
            directory = self.ram.word((pdpt & ADDRESS))  # the first GiB: threads
            for stack in self._leaves_below(directory, 2):
                if stack in self._mapped_frames:
                    self._violation('REACH', 'a stack frame of unrestricted code is mapped', root, None, stack)

    def _leaves_below(self, upper, level):
        if not upper & PRESENT or frame_of(upper) >= self.ram.frames or self._is_empty(frame_of(upper)):
            return
        for entry in self.ram.table(frame_of(upper)):
            if entry & PRESENT and level == 1:
                yield frame_of(entry)
            elif entry & PRESENT:
                yield from self._leaves_below(entry, level - 1)

    def _note_surface(self, root, slot, frame):
        names = {getattr(self.map, 'SLOT_' + name): name for name in ('EPHMAP', 'LOCAL', 'STACK', 'GLOBAL', 'IMAGE')}
        cls = self.kernel.classes[self.frames.classes[frame]] if frame < self.frames.count else 'RESERVED'
        root.mapped[names.get(slot, 'USER'), 'device' if cls == 'RESERVED' else cls] += 1

    # --- CLEAN -------------------------------------------------------------------------------------------------------

    def _judge_clean(self):
        """Runs of free frames, compared with zeros a piece at a time."""
        classes, piece = self.frames.classes, len(ZEROS) // PAGE
        for run in re.finditer(re.escape(bytes([self.FREE])) + b'+', classes):
            for first in range(run.start(), run.end(), piece):
                last = min(first + piece, run.end())
                if first == 0:
                    continue
                self.free_frames += last - first
                if self.ram.bytes[first * PAGE:last * PAGE] != ZEROS[:(last - first) * PAGE]:
                    self._name_dirty(first, last)

    def _name_dirty(self, first, last):
        for frame in range(first, last):
            data = self.ram.bytes[frame * PAGE:frame * PAGE + PAGE]
            if data != ZEROS[:PAGE]:
                offset = next(i for i, byte in enumerate(data) if byte)
                self._violation('CLEAN', f'a free frame is not zero at byte {offset:#x}', frame=frame)

    # --- GATE --------------------------------------------------------------------------------------------------------

    def _judge_gate(self):
        isolated = self.mode in ('naive', 'asi')
        for index, cpu in enumerate(self.cpus):
            frame = cpu.cr3 >> 12
            if not cpu.started:
                continue  # waits for the boot CPU's call, or is on its way through real mode
            if cpu.ring == 3 and isolated and frame not in self.roots:
                what = 'an unrestricted root' if frame in self.unrestricted else 'no restricted root'
                self._violation('GATE', f'CPU {index} runs user code with {what} in mode {self.mode}', frame=frame)
            elif not self.root_of(cpu) and (frame >= self.frames.count or
                                            self.frames.classes[frame] not in (self.LOCAL, self.GLOBAL)):
                self._violation('GATE', f'CPU {index} has a root that nobody made', frame=frame)
        start, end = self.kernel['text_start'], self.kernel['text_end']
        base = self.map.IMAGE_BASE
        allowed = [(self.kernel[part + '_start'], self.kernel[part + '_end'])
                   for part in ('entry_text', 'transition_text')]
        for match in MOV_CR3.finditer(self.ram.bytes, start - base, end - base):
            address = match.start() + base
            if not any(low <= address < high for low, high in allowed):
                self._violation('GATE', f'CR3 is written outside the transitions, at {self.kernel.where(address)}')

