"""The machine that is looked at: boots the reader (reader.c) and stops it where it stops itself.

The clock counts instructions (ICOUNT=1): the same kernel gives the same page tables in every run.
"""
import os
import shutil
import subprocess
import time

from auditor.kernel import AuditorError, Kernel, read_symbols
from auditor.machine import PAGE, MachineEnded, StartedMachine
from auditor.picture import Picture, TooEarly
from auditor.views import Bookkeeping

MEMORY = '128M'
PRICES = 'cost:4500,500,200'  # of IBPB, VERW and CR3 write, as in README.md
LIMIT = 120  # seconds until a stop
DATA = '/reader.data'


class Guest:
    """The reader in its machine; a context manager, which ends what it started."""

    def __init__(self, source, build):
        self.store = f'{build}/map'
        self._prepare(source, build)
        self.kernel = Kernel(source, f'{build}/penumbra.elf')
        symbols = read_symbols(f'{self.store}/root/bin/reader')
        self.mailbox, self.buffer = symbols['mailbox'], symbols['buffer']
        self.log = f'{self.store}/boot.log'
        os.environ['ICOUNT'] = '1'  # for tools/run
        self.machine = StartedMachine(source, self.store, f'run=prog mode=asi flush={PRICES} trace=on', MEMORY, self.log, '1')
        self.stops = 0

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.machine.end()

    def _prepare(self, source, build):
        """An archive with the reader and a file for it, and the kernel beside it."""
        root = f'{self.store}/root'
        shutil.rmtree(self.store, ignore_errors=True)
        for directory in ('bin', 'etc/penumbra'):
            os.makedirs(f'{root}/{directory}')
        subprocess.run(['musl-gcc', '-std=c17', '-D_GNU_SOURCE', '-O2', '-static', '-no-pie', '-I.', '-Wall', '-Wextra',
                        '-Werror', 'tools/mapper/reader.c', f'{build}/user/lib.a', '-o', f'{root}/bin/reader'], cwd=source,
                       check=True)
        with open(f'{root}/etc/penumbra/argv', 'w', encoding='utf-8') as file:
            file.write(f'/bin/reader\n{DATA}\n')
        with open(root + DATA, 'wb') as file:
            file.write(b'a page of a file, which nobody has to see who has not opened it\n' * (64 * PAGE // 64))
        subprocess.run(['tools/mkarchive', f'{self.store}/archive.cpio', f'{build}/root', f'{build}/busybox', 'user/root',
                        root], cwd=source, check=True)
        os.symlink(os.path.abspath(f'{build}/penumbra.elf'), f'{self.store}/penumbra.elf')

    def _mailbox(self, picture, process):
        at = picture.translate(process.restricted, self.mailbox)
        return None if at is None else at >> 3

    def next_stop(self):
        """Lets the reader run to where it stops itself next; the machine stands still, and is looked at."""
        self.stops += 1
        deadline = time.monotonic() + LIMIT
        try:
            while time.monotonic() < deadline:
                time.sleep(0.05)
                self.machine.stop()
                found = self._at_stop()
                if found:
                    return found
                self.machine.cont()
        except MachineEnded:
            raise AuditorError(f'the machine ended before the reader came to stop {self.stops}: see {self.log}') from None
        raise AuditorError(f'the reader did not come to stop {self.stops} in {LIMIT} s: see {self.log}')

    def _at_stop(self):
        """(picture, its processes, the reader) when the reader waits at the stop, running."""
        try:
            picture = Picture(self.kernel, self.machine.ram, self.machine.cpus())
        except TooEarly:
            return None
        books = Bookkeeping(picture)
        for process in books.processes.values():
            if process.name == 'reader' and picture.cpus[0].ring == 3 and picture.root_of(picture.cpus[0]) is \
                    picture.roots.get(process.restricted):
                at = self._mailbox(picture, process)
                if at is not None and self.machine.ram.words[at] == self.stops:
                    self._leave = at + 1
                    return picture, books, process
        return None

    def go_on(self):
        """Lets the reader leave its stop."""
        self.machine.ram.words[self._leave] = self.stops
        self.machine.cont()

    def finish(self):
        """Lets it come to its end, which must be a good one."""
        status = self.machine.status()
        if status != 0:
            raise AuditorError(f'the reader ended with status {status}: see {self.log}')
