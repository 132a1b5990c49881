"""Both page-table trees of one process as a small structure: what docs/map.html draws.

Tables are stored once, by frame number, as runs of equal or consecutive entries, so that a shared table costs nothing
the second time. The page finds a frame's class in the frame table, which is stored as runs as well.
"""
from auditor.kernel import CLASSES
from auditor.picture import ENTRIES, LARGE, NO_EXECUTE, PRESENT, UNCACHED, frame_of

# Kept of an entry: rights and kind. Accessed and dirty are history, and cut runs apart.
FLAGS = 0xf9f
NX = 1 << 12

REGIONS = (('USER', None, 'the process\'s own memory'),
           ('EPHMAP', 'SLOT_EPHMAP', 'views of secret frames that this process may see'),
           ('LOCAL', 'SLOT_LOCAL', 'kernel objects of this process alone'),
           ('STACK', 'SLOT_STACK', 'kernel stacks: other frames in each of the two spaces'),
           ('PTWINDOW', 'SLOT_PTWINDOW', 'the restricted page tables themselves'),
           ('GLOBAL', 'SLOT_GLOBAL', 'kernel objects with no user data'),
           ('PHYSMAP', 'SLOT_PHYSMAP', 'all of RAM, linearly'),
           ('IMAGE', 'SLOT_IMAGE', 'kernel text, read-only data, plain data'))


def regions(place):
    """Slots of the PML4 by region: [name, first slot, last slot, what is in it]."""
    found = []
    for name, slot, text in REGIONS:
        first = 0 if slot is None else getattr(place, slot)
        last = place.USER_SLOTS - 1 if slot is None else place.SLOT_IMAGE - 1 if name == 'PHYSMAP' else first
        found.append([name, first, last, text])
    return found


SECTIONS = (('init', 'code and data that only the start needs'), ('text', 'kernel code'), ('rodata', 'constants'),
            ('entry_data', 'what entry code needs, by CPU'), ('data', 'plain data'))


def parts(kernel):
    """What a region is divided into: [start, end, name], addresses as text, for they do not fit a number of JavaScript."""
    place, gib = kernel.map, kernel.map.PAGE_DIRECTORY_SPAN
    found = [(place.EPHMAP_BASE, place.EPHMAP_SCRATCH_BASE, 'windows, each at its frame\'s number'),
             (place.EPHMAP_SCRATCH_BASE, place.EPHMAP_SCRATCH_BASE + gib, 'scratch slots, divided by CPU'),
             (place.STACK_BASE, place.STACK_BASE + gib, 'thread stacks'),
             (place.STACK_BASE + place.STACK_ALIAS_OFFSET, place.STACK_BASE + place.STACK_ALIAS_OFFSET + gib,
              'the restricted stacks again, for crossings to copy from'),
             (place.CPU_STACK_BASE, place.CPU_STACK_BASE + gib, 'stacks of CPUs: NMI, double fault, machine check'),
             (place.FRAME_TABLE_BASE, place.GLOBAL_HEAP_BASE, 'the frame table'),
             (place.GLOBAL_HEAP_BASE, place.GLOBAL_HEAP_END, 'the GLOBAL heap'),
             (place.DEVICE_BASE, place.DEVICE_END, 'registers of devices that the kernel itself uses')]
    found += [(kernel[f'{section}_start'], kernel[f'{section}_end'], name) for section, name in SECTIONS]
    return [[f'{start:x}', f'{end:x}', name] for start, end, name in found]


def runs_of(entries, level):
    """[index, count, frame, frames from one to the next, flags] for each run of present entries."""
    runs = []
    for index, entry in enumerate(entries):
        if not entry & PRESENT:
            continue
        frame, flags = frame_of(entry), entry & FLAGS | (NX if entry & NO_EXECUTE else 0)
        if level > 1 and entry & LARGE:
            frame &= ~((1 << 9 * (level - 1)) - 1)
        last = runs[-1] if runs else None
        if last and last[0] + last[1] == index and last[4] == flags:
            step = frame - last[2] if last[1] == 1 else last[3]
            if step >= 0 and frame == last[2] + step * last[1]:
                last[1], last[3] = last[1] + 1, step
                continue
        runs.append([index, 1, frame, 0, flags])
    return runs


class Tables:
    """Every table that some roots lead to: {frame: runs}."""

    def __init__(self, ram, roots):
        self.ram, self.runs, self._seen = ram, {}, set()
        for root in roots:
            self._add(root, 4)

    def _add(self, frame, level):
        """A PML4 is its own PDPT in PTWINDOW, so a frame may come at several levels; large pages are in no such table."""
        if (frame, level) in self._seen or frame >= self.ram.frames:
            return
        self._seen.add((frame, level))
        entries = self.ram.table(frame)
        self.runs.setdefault(frame, runs_of(entries, level))
        if level > 1:
            for entry in set(entries):
                if entry & PRESENT and not entry & LARGE:
                    self._add(frame_of(entry), level - 1)


def first_page(tables, root, slot):
    """The lowest address at which a slot of a root has a page."""
    address, frame = 0xffff << 48 | slot << 39, root
    for shift in (39, 30, 21, 12):
        runs = tables[frame] if shift != 39 else [run for run in tables[frame] if run[0] + run[1] > slot]
        index, _, frame, step, _ = runs[0]
        if shift == 39:
            frame += (slot - index) * step
        else:
            address |= index << shift
    return address


def frame_runs(picture, processes):
    """The frame table: [first frame, count, class, owner, object], objects counted from 1 as they come."""
    table, objects, runs = picture.frames, {}, []
    private = {picture.LOCAL, picture.USER}
    for frame in range(table.count):
        number = table.classes[frame]
        owner = table.owners[frame] if number in private else 0
        thing = table.objects[frame] if number == picture.SECRET else 0
        what = [number, owner, objects.setdefault(thing, len(objects) + 1) if thing else 0]
        if runs and runs[-1][2:] == what:
            runs[-1][1] += 1
        else:
            runs.append([frame, 1, *what])
    names = {process.id: process.name for process in processes if process.name}
    return runs, names


class Content:
    """What the page gets: the first moment whole, of later ones what is different."""

    def __init__(self, kernel):
        self.kernel, place = kernel, kernel.map
        self.data = {'regions': regions(place), 'parts': parts(kernel), 'moments': [], 'replays': [],
                     'classes': [kernel.classes[number] for number in range(len(CLASSES))],
                     'image': f'{place.IMAGE_BASE:x}', 'textEnd': f'{kernel["text_end"]:x}',
                     'functions': [[address - place.IMAGE_BASE, name] for address, name in kernel.functions]}
        self._tables, self._frames = {}, []
        self.stack = None  # where the reader's kernel stack is

    def add(self, picture, books, process):
        """One moment: the mode, tables that are not as in the first, frames likewise."""
        unrestricted = [frame for frame, root in picture.unrestricted.items() if root.frame == process.restricted]
        tables = Tables(picture.ram, [process.restricted, *unrestricted]).runs
        frames, names = frame_runs(picture, books.processes.values())
        moment = {'mode': picture.mode, 'tables': {f'{frame}': runs for frame, runs in tables.items()
                                                   if runs != self._tables.get(frame)}}
        if frames != self._frames:
            moment['frames'] = frames
        if not self._tables:
            self._tables, self._frames = tables, frames
            moment.update(restricted=process.restricted, unrestricted=unrestricted[0])
            self.data.update(reader=process.id, names=names)
            self.stack = first_page(tables, process.restricted, self.kernel.map.SLOT_STACK)
        self.data['moments'].append(moment)

    def replay(self, mode, steps):
        """What was done between two moments."""
        self.data['replays'].append({'mode': mode, 'steps': steps})


# --- Read again, by none of the page's script ------------------------------------------------------------------------

def leaves(tables, frame, level, slot=None):
    """(slot, first frame, pages) of everything mapped below a table; what is reached twice at one level comes once."""
    seen, todo = set(), [(frame, level, slot)]
    while todo:
        frame, level, slot = here = todo.pop()
        if here in seen:
            continue
        seen.add(here)
        for index, count, first, step, flags in tables.get(f'{frame}', []):
            for i in range(count):
                below, inside = first + i * step, index + i if level == 4 else slot
                if level == 1 or flags & LARGE:
                    yield inside, below, ENTRIES ** (level - 1), flags
                else:
                    todo.append((below, level - 1, inside))


def surface(data):
    """For each moment, by space: the set of (region, class) of what is mapped, but DIRTY, which comes and goes."""
    first = data['moments'][0]
    result = []
    for moment in data['moments']:
        tables = {**first['tables'], **moment['tables']}
        frames = frame_list(moment.get('frames', first['frames']))
        result.append({space: {(region_of(data, slot), class_of(data, frames, frame, flags))
                               for slot, start, count, flags in leaves(tables, first[space], 4)
                               for frame in range(start, start + count)} - {('PHYSMAP', 'DIRTY')}
                       for space in ('restricted', 'unrestricted')})
    return result


def frame_list(runs):
    """(class, owner, object) by frame number."""
    return [what for _, count, *what in runs for what in [what] * count]


def region_of(data, slot):
    """The name of the region that a slot of the PML4 belongs to."""
    return next((name for name, first, last, _ in data['regions'] if first <= slot <= last), f'slot {slot}')


def class_of(data, frames, frame, flags):
    """A frame's class in words, with whether it is the reader's where that matters."""
    number, owner, thing = frames[frame] if frame < len(frames) else (data['classes'].index('RESERVED'), 0, 0)
    name = data['classes'][number]
    if name == 'RESERVED' and flags & UNCACHED == UNCACHED:
        return 'device'
    if name == 'LOCAL':
        return 'own LOCAL' if owner == data['reader'] else 'LOCAL of others'
    return f'{name} of an object' if name == 'SECRET' and thing else name


assert ENTRIES == 512
