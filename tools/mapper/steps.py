"""From a trace of one pread to the steps that the page replays: where each happens, and a sentence about it.

Of a pread's records (docs/trace.md) only those are steps that show how the kernel gets at a page that is not its own.
"""
from auditor.kernel import AuditorError
from tracer.events import SPACES

PAGE = 4096
PREAD = 17         # Linux' number of pread64
IBPB, VERW = 2, 4  # enum trace_flush
WINDOW = 0         # enum trace_view


class Steps:
    """Builds the steps of one pread, in order."""

    def __init__(self, kernel, buffer, stack, moments, frames):
        self.kernel, self.buffer, self.frames = kernel, buffer, frames  # of the file's pages: mode asi's trace tells them
        self.stack = stack
        self.moment, self.later = moments  # shown before the first window is mapped, and from then on
        self.copied, self.steps, self.start = 0, [], None

    # --- Places ------------------------------------------------------------------------------------------------------

    def code(self, symbol):
        """Where a function is."""
        return {'name': symbol, 'address': f'{self.kernel[symbol]:x}'}

    def window(self, frame):
        """Where a frame's window is."""
        return {'name': 'the view', 'address': f'{self.kernel.map.EPHMAP_BASE + frame * PAGE:x}'}

    def window_entry(self, frame):
        """Where the window's page-table entry is seen: PTWINDOW shows all entries in the order of their addresses."""
        address = self.kernel.map.EPHMAP_BASE + frame * PAGE
        entry = self.kernel.map.PTWINDOW_BASE + ((address & (1 << 48) - 1) >> 9)
        return {'name': 'its entry', 'address': f'{entry:x}'}

    def physmap(self, frame):
        """Where a frame is in the linear map of all RAM, which the unrestricted space alone has."""
        return {'name': 'the file\'s page', 'address': f'{self.kernel.map.PHYSMAP_BASE + frame * PAGE:x}'}

    def kernel_stack(self):
        """Where the thread's kernel stack is, in both spaces: the same address, other frames."""
        return {'name': 'the kernel stack', 'address': f'{self.stack:x}'}

    def target(self):
        """Where the copy goes."""
        return {'name': 'the buffer', 'address': f'{self.buffer + self.copied:x}'}

    # --- Steps -------------------------------------------------------------------------------------------------------

    def add(self, event, title, text, *places, space=None):
        """One step. The places come in the order of their weight: the map follows the first."""
        self.start = event.time if self.start is None else self.start
        self.steps.append({'title': title, 'text': text, 't': event.time - self.start, 'moment': self.moment,
                           'space': SPACES[event.space if space is None else space], 'places': list(places)})

    def entry(self, event):
        """The system call: no CR3 write, no flush."""
        self.add(event, 'entry', 'The program calls pread for two pages of a file. The kernel runs in the space that is loaded '
                 'already: no CR3 write, no flush, for nothing that is mapped here is a secret of anybody else.',
                 self.code('syscall_entry'), self.kernel_stack(),
                 {'name': 'the process\'s kernel objects', 'address': f'{self.kernel.map.LOCAL_BASE:x}'})

    def map(self, event):
        """A window is made."""
        frame = event.address // PAGE
        self.frames.append(frame)
        self.moment = self.later
        self.add(event, 'view mapped', f'The first page lies in frame {frame:#x}, SECRET, and this process has no view of it '
                 'yet. It has the file open, so it may have one: the entry is written through PTWINDOW, and recorded, so that '
                 'the last close takes it away. Nothing has to be flushed.',
                 self.window(frame), self.window_entry(frame), self.code('ephmap_map_window'))

    def reuse(self, event):
        """A window is there."""
        frame = event.address // PAGE
        self.frames.append(frame)
        self.add(event, 'view reused', f'The next page lies in frame {frame:#x}, which has a view from an earlier pread. To find '
                 'it is one look at one page-table entry, at an address that the frame\'s number gives.',
                 self.window(frame), self.window_entry(frame), self.code('object_read'))

    def copy(self, event):
        """To the buffer."""
        page = self.frames[min(self.copied // PAGE, len(self.frames) - 1)] if self.frames else 0
        if SPACES[event.space] == 'unrestricted':
            what, source = 'out of PHYSMAP, while every secret of the machine is mapped', self.physmap(page)
        else:
            what, source = 'out of the view', self.window(page)
        self.add(event, 'copy', f'{event.value:,} bytes go {what}, into page {self.copied // PAGE + 1} of the program\'s buffer.',
                 source, self.target(), self.code('copy_to_user_held'))
        self.copied += event.value

    def exit(self, event, after, flushes):
        """The other root is loaded."""
        paid = ', after an IBPB, for predictors may be trained by user code' if flushes & IBPB else ''
        place = self.physmap(event.value) if event.value else self.code('asi_leave')
        self.add(event, 'exit', 'The copy touches the page in PHYSMAP, which the restricted space has not: a page fault, and the '
                 f'kernel leaves. The other root is loaded{paid}; the stack goes on in other frames at the same addresses.',
                 {**place, 'space': 'unrestricted'}, {'name': self.kernel.where(event.address), 'address': f'{event.address:x}'},
                 self.code('transition_exit'), self.kernel_stack(), space=after.space)

    def enter(self, event, after, flushes):
        """The way back."""
        paid = ', and buffers in the CPU that may hold what was read are emptied (VERW)' if flushes & VERW else ''
        self.add(event, 'enter', f'User code runs with a restricted root only: it is loaded again{paid}.',
                 self.code('asi_prepare_return'), self.kernel_stack(), space=after.space)

    def back(self, event):
        """User code again."""
        self.copied = 0
        self.add(event, 'return', 'User code runs on, in the restricted space. What it asked for is in its buffer.',
                 self.target())

    # --- All of them -------------------------------------------------------------------------------------------------

    def build(self, records):
        """The steps of one pread's records, from its entry to the next call's: user code was back."""
        begun = None  # a copy whose first touch leaves the space
        for index, record in enumerate(records):
            rest = records[index + 1:]
            if record.kind == 'syscall' and rest:
                self.entry(record)
            elif record.kind == 'map' and record.cause == WINDOW:
                self.map(record)
            elif record.kind == 'reuse':
                self.reuse(record)
            elif record.kind == 'copy' and next_of(rest, 'exit', 'copy-end') == 'exit':
                begun = record
            elif record.kind == 'copy':
                self.copy(record)
            elif record.kind == 'exit':
                after = next(other for other in rest if other.kind == 'exit-end')
                self.exit(record, after, flushes_until(rest, 'exit-end'))
            elif record.kind == 'exit-end' and begun:
                self.copy(begun._replace(time=record.time, space=record.space))
                begun = None
            elif record.kind == 'enter':
                self.enter(record, rest[-1], flushes_until(rest))
            elif record.kind == 'syscall':
                self.back(record)
        return self.steps


def last_pread(recording, process):
    """The records of a process's last pread, from its entry to that of the call after it, kinds as words."""
    found = [record._replace(kind=recording.kinds[record.kind]) for record in recording.records if record.process == process]
    calls = [index for index, record in enumerate(found) if record.kind == 'syscall']
    for call, following in reversed(list(zip(calls, calls[1:]))):
        if found[call].value == PREAD:
            return found[call:following + 1]
    raise AuditorError('the trace has no pread')


def next_of(records, *kinds):
    """The first kind of these that comes."""
    return next((record.kind for record in records if record.kind in kinds), None)


def flushes_until(records, kind=None):
    """What is flushed before a record of this kind."""
    found = 0
    for record in records:
        if record.kind == kind:
            break
        if record.kind == 'flush':
            found |= record.cause
    return found
