"""Violations to be planted from outside, in the RAM of a stopped guest.

A plant is a few words of RAM with what to write there; it returns None when this moment has nothing to make it of.
"""
from auditor.picture import ADDRESS, DEVICE, LARGE, NO_EXECUTE, PAGE, PRESENT, UNCACHED, USER, WRITE, frame_of

PLANTS = []  # (name, words that a finding must have, function, modes of the boot)
KERNEL_DATA = PRESENT | WRITE | NO_EXECUTE


def plant(name, words, boot_mode='asi'):
    """Registers a function of the planter that returns [(physical address, 64-bit value)…] or None."""
    def register(function):
        PLANTS.append((name, words, function, boot_mode))
        return function
    return register


class Planter:
    """What plants are made of, at one stopped moment."""

    def __init__(self, look, rng):
        self.look, self.map, self.ram, self.kernel, self.rng = look, look.map, look.ram, look.kernel, rng
        programs = [root for root in look.roots.values() if self.user_leaves(root)]
        self.root = rng.choice(programs) if programs else None
        others = [root for root in look.roots.values() if root is not self.root and root.owner != 0]
        self.other = rng.choice(others) if others else None

    # --- Finding entries and frames ----------------------------------------------------------------------------------

    def entry(self, root, address, level=1):
        """The physical address of the entry that maps an address at a level, or None when a table above is absent."""
        table = root.frame
        for upper in range(4, level, -1):
            word = self.ram.word(table * PAGE + (address >> 9 * upper & 0xff8))
            if not word & PRESENT:
                return None
            table = frame_of(word)
        return table * PAGE + (address >> 9 * level & 0xff8)

    def absent(self, root, base, pages=512):
        """An absent last-level entry behind `base`, whose table exists: (its physical address, the address it maps)."""
        for number in range(pages - 1, -1, -1):
            at = self.entry(root, base + number * PAGE)
            if at is not None and not self.ram.word(at) & PRESENT:
                return at, base + number * PAGE
        return None, None

    def user_leaves(self, root):
        """(physical address of the entry, entry) for each page of the user half."""
        found = []

        def below(frame, level, top):
            for index, entry in enumerate(self.ram.table(frame)[:top]):
                if entry & PRESENT and level == 1:
                    found.append((frame * PAGE + index * 8, entry))
                elif entry & PRESENT:
                    below(frame_of(entry), level - 1, 512)
        below(root.frame, 4, self.map.USER_SLOTS)
        return found

    def frame(self, cls, owner=None, with_object=None):
        """A random frame of a class (and owner, and with or without an object), or None."""
        table, number = self.look.frames, self.kernel.class_number(cls)
        choice = [i for i in range(1, table.count) if table.classes[i] == number
                  and (owner is None or table.owners[i] == owner)
                  and (with_object is None or bool(table.objects[i]) == with_object)]
        return self.rng.choice(choice) if choice else None

    def windows(self):
        """(root, physical address of the entry, frame) of every EPHMAP window."""
        found = []
        for root in self.look.roots.values():
            for frame in range(1, self.look.frames.count):
                if self.look.frames.objects[frame]:
                    at = self.entry(root, self.map.EPHMAP_BASE + frame * PAGE)
                    if at is not None and frame_of(self.ram.word(at)) == frame and self.ram.word(at) & PRESENT:
                        found.append((root, at, frame))
        return found

    def in_region(self, base, frame, flags=KERNEL_DATA):
        """One more page in a region of the chosen process."""
        at, _ = self.absent(self.root, base)
        return None if at is None or frame is None else [(at, frame << 12 | flags)]

    def user_cpu(self):
        """A processor that runs user code, or None."""
        return next((cpu for cpu in self.look.cpus if cpu.ring == 3), None)

    def frame_entry(self, frame, offset):
        """The physical address of a word of a frame's table entry."""
        return self.look.translate(self.look.any_root, self.map.FRAME_TABLE_BASE + frame * 24 + offset)


# --- REACH -----------------------------------------------------------------------------------------------------------

@plant('a secret frame in LOCAL', 'REACH: not LOCAL')
def _(p):
    return p.in_region(p.map.LOCAL_BASE, p.frame('SECRET'))


@plant('a free frame in LOCAL', 'REACH: not LOCAL')
def _(p):
    return p.in_region(p.map.LOCAL_BASE, p.frame('FREE'))


@plant('another process\'s LOCAL frame in LOCAL', 'REACH: not LOCAL')
def _(p):
    return p.other and p.in_region(p.map.LOCAL_BASE, p.frame('LOCAL', p.other.owner))


@plant('a 2 MiB page in LOCAL', 'REACH: not LOCAL')
def _(p):
    at = p.entry(p.root, p.map.LOCAL_BASE + 8 * p.map.PAGE_TABLE_SPAN, 2)
    return at and [(at, p.frame('SECRET') << 12 & ~0x1fffff | KERNEL_DATA | LARGE)]


@plant('a user page of another process in LOCAL', 'REACH: not LOCAL')
def _(p):
    return p.in_region(p.map.LOCAL_BASE, p.frame('USER'))


@plant('a stack frame of unrestricted code in STACK', 'REACH: a stack frame of unrestricted code')
def _(p):
    for frame, root in p.look.unrestricted.items():
        if root is p.root:
            pdpt = p.ram.word(frame * PAGE + p.map.SLOT_STACK * 8)
            stacks = list(p.look._leaves_below(p.ram.word(pdpt & ADDRESS), 2))  # pylint: disable=protected-access
            return p.in_region(p.map.STACK_BASE, stacks[0]) if stacks else None
    return None


@plant('a secret frame in GLOBAL', 'REACH: not GLOBAL')
def _(p):
    return p.in_region(p.map.GLOBAL_HEAP_BASE, p.frame('SECRET'))


@plant('RAM among the devices', 'REACH: RAM or cached')
def _(p):
    return p.in_region(p.map.DEVICE_BASE, p.frame('SECRET'), KERNEL_DATA | UNCACHED)


@plant('.secret in IMAGE', 'REACH: not GLOBAL')
def _(p):
    at = p.entry(p.root, p.kernel['data_start'])
    frame = p.frame('SECRET', with_object=False)
    return at and frame and [(at, frame << 12 | KERNEL_DATA)]


@plant('PHYSMAP in the restricted root', 'REACH: a slot that the restricted space has not')
def _(p):
    for frame, root in p.look.unrestricted.items():
        if root is p.root:
            at = p.map.SLOT_PHYSMAP * 8
            return [(root.frame * PAGE + at, p.ram.word(frame * PAGE + at))]
    return None


@plant('another process\'s LOCAL tables', 'REACH: a page table of somebody else')
def _(p):
    at = p.map.SLOT_LOCAL * 8
    return p.other and [(p.root.frame * PAGE + at, p.ram.word(p.other.frame * PAGE + at))]


@plant('another process\'s user tables', 'REACH: a page table of somebody else')
def _(p):
    if not p.other or p.other.owner in p.root.family:
        return None
    half = p.ram.table(p.other.frame)[:p.map.USER_SLOTS]
    tables = [(slot, entry) for slot, entry in enumerate(half) if entry & PRESENT]
    return tables and [(p.root.frame * PAGE + tables[0][0] * 8, tables[0][1])]


@plant('the window on page tables open to user code', 'REACH: page tables open to user code')
def _(p):
    at = p.root.frame * PAGE + p.map.SLOT_PTWINDOW * 8
    return [(at, p.ram.word(at) | USER)]


@plant('LOCAL open to user code', 'REACH: kernel half open to user code')
def _(p):
    places = [p.entry(p.root, p.map.LOCAL_BASE, level) for level in (4, 3, 2, 1)]
    return [(at, p.ram.word(at) | USER) for at in places]


@plant('a page writable and executable', 'REACH: writable and executable')
def _(p):
    at = p.entry(p.root, p.map.LOCAL_BASE)
    return [(at, p.ram.word(at) & ~NO_EXECUTE)]


@plant('kernel data executable', 'REACH: executable outside')
def _(p):
    at = p.entry(p.root, p.kernel['data_start'])
    return [(at, p.ram.word(at) & ~NO_EXECUTE & ~WRITE)]


@plant('a kernel page in the user half', 'REACH: neither USER nor')
def _(p):
    at, _ = p.rng.choice(p.user_leaves(p.root))
    return [(at, p.frame('GLOBAL') << 12 | PRESENT | USER | NO_EXECUTE)]


@plant('RAM as a device in the user half', 'REACH: RAM or cached')
def _(p):
    at, _ = p.rng.choice(p.user_leaves(p.root))
    return [(at, p.frame('SECRET') << 12 | PRESENT | USER | UNCACHED | NO_EXECUTE | DEVICE)]


@plant('the I/O APIC in the user half', 'REACH: the APICs')
def _(p):
    at, _ = p.rng.choice(p.user_leaves(p.root))
    return [(at, 0xfec00000 | PRESENT | USER | UNCACHED | NO_EXECUTE | DEVICE)]


@plant('a pipe\'s page in the user half', 'REACH: neither USER nor')
def _(p):
    at, _ = p.rng.choice(p.user_leaves(p.root))
    frame = p.frame('SECRET', with_object=False)
    return frame and [(at, frame << 12 | PRESENT | USER | NO_EXECUTE)]


@plant('another process\'s user page in the user half', 'references')
def _(p):
    at, _ = p.rng.choice(p.user_leaves(p.root))
    theirs = [frame_of(entry) for _, entry in p.user_leaves(p.other)] if p.other else []
    return theirs and p.other.owner not in p.root.family and [(at, theirs[0] << 12 | PRESENT | USER | NO_EXECUTE)]


@plant('a file\'s page in the user half', 'references')
def _(p):
    at, _ = p.rng.choice(p.user_leaves(p.root))
    frames = [i for i in range(p.look.frames.count) if p.look.frames.objects[i] and p.look.frames.refs[i] == 1]
    return frames and [(at, frames[0] << 12 | PRESENT | USER | NO_EXECUTE)]


@plant('a shared user page writable', 'REACH: writable in')
def _(p):
    leaves = [(at, entry) for at, entry in p.user_leaves(p.root)
              if p.look.frames.classes[frame_of(entry)] == p.look.USER and p.look.frames.refs[frame_of(entry)] == 1]
    if len(leaves) < 2:
        return None
    (_, first), (at, _) = leaves[0], leaves[1]
    count = p.frame_entry(frame_of(first), 0)
    return [(at, first | WRITE | NO_EXECUTE), (count, p.ram.word(count) + (1 << 32))]  # the references agree


@plant('the roots differ', 'differs in the unrestricted root')
def _(p):
    for frame, root in p.look.unrestricted.items():
        if root is p.root:
            return [(frame * PAGE + p.map.SLOT_LOCAL * 8, 0)]
    return None


# --- LOGICAL ACCESS --------------------------------------------------------------------------------------------------

@plant('a window on a file that is not open', 'LOGICAL ACCESS: a window on an object that the process has not open')
def _(p):
    have = {(root.frame, frame) for root, _, frame in p.windows()}
    for frame in range(1, p.look.frames.count):
        cls, known = p.look.frames.classes[frame], p.look.frames.objects[frame]
        if cls == p.look.SECRET and known and (p.root.frame, frame) not in have and \
                'has not open' in (p.look.books.window_wrong(p.root, frame, known) or ''):
            at = p.entry(p.root, p.map.EPHMAP_BASE + frame * PAGE)
            return at and [(at, frame << 12 | KERNEL_DATA)]
    return None


@plant('a page that the process moves in its user half', 'a page that the process moves, of a file that it has not open')
def _(p):
    process = p.look.books.processes.get(p.root.frame)
    at, _ = p.rng.choice(p.user_leaves(p.root))
    for frame in range(1, p.look.frames.count):
        known = p.look.frames.objects[frame]
        if process and known and p.look.frames.classes[frame] == p.look.SECRET and \
                'not open' in (p.look.books.window_wrong(p.root, frame, known) or ''):
            pager = p.look.translate(p.look.any_root, known + p.kernel.layout.offset('memory_object', 'pager'))
            moves = p.look.translate(p.look.any_root, process.address + p.kernel.layout.offset('process', 'moves_pages'))
            word = moves & ~7
            return [(at, frame << 12 | PRESENT | USER | NO_EXECUTE), (pager, known),
                    (word, p.ram.word(word) | 1 << 8 * (moves & 7))]
    return None


@plant('a window that is not recorded', 'LOGICAL ACCESS: a window that no close would revoke')
def _(p):
    for root, _, frame in p.windows():
        at = p.look.books.count_address(root, p.look.frames.objects[frame])
        if at:
            return [(at, 0)]
    return None


@plant('a window at another frame\'s address', 'LOGICAL ACCESS: a window at another frame')
def _(p):
    for _, at, frame in p.windows():
        neighbour = at ^ 8
        if not p.ram.word(neighbour) & PRESENT:
            return [(neighbour, frame << 12 | KERNEL_DATA)]
    return None


@plant('a window on a pipe\'s page', 'LOGICAL ACCESS: a window on no page of an object')
def _(p):
    frame = p.frame('SECRET', with_object=False)
    at = frame and p.entry(p.root, p.map.EPHMAP_BASE + frame * PAGE)
    return at and [(at, frame << 12 | KERNEL_DATA)]


@plant('the empty window tables writable', 'REACH: a page table of somebody else')
def _(p):
    for slot in range(512):
        at = p.entry(p.root, p.map.EPHMAP_BASE + slot * p.map.PAGE_DIRECTORY_SPAN, 3)
        table = frame_of(p.ram.word(at))
        if p.ram.word(at) & PRESENT and p.look.frames.classes[table] == p.look.GLOBAL:
            return [(at, p.ram.word(at) | WRITE)]
    return None


@plant('a scratch view that nobody holds', 'REACH: a scratch view that nobody holds')
def _(p):
    return p.in_region(p.map.EPHMAP_SCRATCH_BASE, p.frame('USER'))


# --- CLEAN -----------------------------------------------------------------------------------------------------------

@plant('a byte at the start of a free frame', 'CLEAN: a free frame is not zero at byte 0x0')
def _(p):
    return [(p.frame('FREE') * PAGE, 1)]


@plant('a byte at the end of a free frame', 'CLEAN: a free frame is not zero at byte 0xfff')
def _(p):
    return [(p.frame('FREE') * PAGE + PAGE - 8, 0x80 << 56)]


@plant('a user frame called free', 'CLEAN: a free frame is not zero')
def _(p):
    dirty = [frame_of(entry) for _, entry in p.user_leaves(p.root) if any(p.ram.table(frame_of(entry)))]
    at = dirty and p.frame_entry(dirty[0], 0)
    return at and [(at, p.ram.word(at) & ~0xff | p.look.FREE)]


# --- GATE ------------------------------------------------------------------------------------------------------------

@plant('user code with the unrestricted root', 'runs user code with an unrestricted root', 'none')
def _(p):
    if p.look.mode != 'none' or p.user_cpu() is None:
        return None
    at = p.kernel.physical('asi_mode')  # the guest runs in mode none: what is right there is wrong in asi
    number = next(value for value, name in p.kernel.modes.items() if name == 'asi')
    word = p.ram.word(at & ~7)
    shift = 8 * (at & 7)
    return [(at & ~7, word & ~(0xffffffff << shift) | number << shift)]


@plant('user code with a root that is none', 'runs user code with no restricted root')
def _(p):
    cpu = p.user_cpu()
    if cpu is None:
        return None
    at = p.frame_entry(cpu.cr3 >> 12, 0)
    return [(at, p.ram.word(at) & ~0xff | p.look.GLOBAL)]


@plant('an instruction that writes CR3', 'GATE: CR3 is written outside')
def _(p):
    at = (p.kernel.physical('transition_text_end') + 15) & ~7
    return [(at, p.ram.word(at) & ~0xffffff | 0xd8220f)]
