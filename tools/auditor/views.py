"""The kernel's own records, as far as rules need them: who has which object open, and whose user half is lent.

LOGICAL ACCESS is about handles, and only the kernel's GLOBAL lists say who has which. They are read by offset, with
none of the kernel's code; a process in them counts for the root that it names, under that root's owner, or not at all.
"""
LIMIT = 100000  # links followed before a list is called endless


class Process:
    """What struct process says."""

    def __init__(self, books, address):
        self.address = address
        self.id = books.half(address + books.offset('process', 'id'))
        roots = address + books.offset('process', 'roots')
        self.restricted = books.half(roots + books.offset('roots', 'restricted'))
        self.user_space = books.word(address + books.offset('process', 'user_space'))
        self.name = books.text(address + books.offset('process', 'name'), 16)


class Bookkeeping:
    """Reads GLOBAL memory of one look."""

    def __init__(self, look):
        self.look = look
        self.offset = look.kernel.layout.offset
        self.processes = {}  # restricted root's frame → Process
        for address in [look.kernel['kernel_process'], *self._listed()]:
            process = Process(self, address)
            self.processes[process.restricted] = process
        self._sets = {}    # object → {process address: (handles, frames)}
        self._counts = {}  # (object, process address) → physical address of the set's count

    # --- Bytes -------------------------------------------------------------------------------------------------------

    def _at(self, address):
        at = self.look.translate(self.look.any_root, address)
        return 0 if at is None else at

    def word(self, address):
        """64 bits at a kernel address."""
        return self.look.ram.word(self._at(address))

    def half(self, address):
        """32 bits."""
        return self.look.ram.half(self._at(address))

    def text(self, address, size):
        """A string in an array of `size` bytes, within a page."""
        at = self._at(address)
        return self.look.ram.bytes[at:at + size].split(b'\0')[0].decode(errors='replace')

    def _links(self, head):
        link = self.word(head)
        for _ in range(LIMIT):
            if link in (head, 0):
                return
            yield link
            link = self.word(link)

    def _listed(self):
        head = self.look.kernel['all_processes']
        return [link - self.offset('process', 'all_link') for link in self._links(head)]

    # --- Answers -----------------------------------------------------------------------------------------------------

    def name(self, root):
        """What a root's process is called, for people."""
        process = self.processes.get(root.frame)
        return f'({process.name})' if process and process.name else ''

    def family(self, root):
        """The processes that have the root's user half: itself, and those that a vfork lends it to."""
        process = self.processes.get(root.frame)
        if process is None:
            return {root.owner} | self._family_of_unlisted(root)
        if process.user_space == 0:
            return {root.owner}
        return {root.owner} | {other.id for other in self.processes.values() if other.user_space == process.user_space}

    def _family_of_unlisted(self, root):
        """A vfork child that is still being built is in no list, and no processor runs it: its user half tells."""
        look, half = self.look, self.look.map.USER_SLOTS
        mine = look.ram.table(root.frame)[:half]
        if not any(mine) or any(look.root_of(cpu) is root for cpu in look.cpus):
            return set()
        return {other.owner for other in look.roots.values() if look.ram.table(other.frame)[:half] == mine}

    def _views_of(self, object_address):
        """Process → (handles, frames recorded) for one object."""
        if object_address not in self._sets:
            found = {}
            for link in self._links(object_address + self.offset('memory_object', 'view_sets')):
                at = link - self.offset('object_view_set', 'object_link')
                process = self.word(at + self.offset('object_view_set', 'process'))
                found[process] = (self.half(at + self.offset('object_view_set', 'handles')), self._recorded(at))
                self._counts[object_address, process] = self._at(at + self.offset('object_view_set', 'count'))
            self._sets[object_address] = found
        return self._sets[object_address]

    def count_address(self, root, object_address):
        """Where the number of recorded windows is kept (for the selftest), or None."""
        process = self.processes.get(root.frame)
        self._views_of(object_address)
        return self._counts.get((object_address, process.address)) if process else None

    def _recorded(self, at):
        """The frames that a view set would revoke."""
        count = self.word(at + self.offset('object_view_set', 'count'))
        inline = at + self.offset('object_view_set', 'inline_frames')
        room = (self.offset('object_view_set', 'pages') - self.offset('object_view_set', 'inline_frames')) // 4
        frames = {self.half(inline + 4 * i) for i in range(min(count, room))}
        pages = self.word(at + self.offset('object_view_set', 'pages'))
        left = count - room
        while left > 0 and pages:
            page = self._at(self.word(pages))
            chunk = min(left, 1024)
            frames.update(memoryview(self.look.ram.bytes[page:page + 4 * chunk]).cast('I'))
            pages, left = pages + 8, left - chunk
        return frames

    def mapping_wrong(self, root, object_address):
        """Why a process may have no page of an object in its user half, or None: a pager never maps what it moves."""
        process = self.processes.get(root.frame)
        if process is None or not self.half(process.address + self.offset('process', 'moves_pages')) & 0xff:
            return None
        if not self.word(object_address + self.offset('memory_object', 'pager')):
            return None
        handles, _ = self._views_of(object_address).get(process.address, (0, ()))
        return None if handles else 'a page that the process moves, of a file that it has not open'

    def window_wrong(self, root, frame, object_address):
        """Why a process may have no window on the frame of an object, or None."""
        process = self.processes.get(root.frame)
        if process is None or process.id != root.owner:
            return 'LOGICAL ACCESS: a window in a space that no process owns'
        handles, recorded = self._views_of(object_address).get(process.address, (0, ()))
        if handles == 0:
            return 'LOGICAL ACCESS: a window on an object that the process has not open'
        return None if frame in recorded else 'LOGICAL ACCESS: a window that no close would revoke'
