"""Looking at a running machine again and again, and what the looks came to. The rules are look.py's."""
import time

from auditor.look import Look
from auditor.machine import MachineEnded
from auditor.picture import TooEarly

TRIES = 200          # moments tried until one is outside the kernel
IDLE_LIMIT = 60      # idle looks in a row after which a boot is given up: it shows nothing new
PANIC = 255


class Sum:
    """What one workload's looks came to."""

    def __init__(self, title):
        self.title = title
        self.audits = self.idle = self.kernel_looks = self.unrestricted = self.never_outside = self.idle_boots = 0
        self.spaces = self.tables = self.leaves = self.free_frames = self.violations = 0
        self.seconds = 0.0
        self.ended_badly = 0

    def add(self, look, seconds, idle):
        """Counts one judged look. An idle one is judged like any, but is no audit."""
        self.audits += look.strict and not idle
        self.idle += idle
        self.kernel_looks += not look.strict
        self.unrestricted += any(cpu.cr3 >> 12 in look.unrestricted for cpu in look.cpus)
        self.spaces += len(look.roots)
        self.tables += look.tables
        self.leaves += look.leaves
        self.free_frames += look.free_frames
        self.violations += len(look.findings)
        self.seconds += seconds

    def __iadd__(self, other):
        for name, value in vars(other).items():
            if name != 'title':
                setattr(self, name, getattr(self, name) + value)
        return self

    def __str__(self):
        looks = self.audits + self.kernel_looks + self.idle
        return (f'{self.title}: {self.audits} audits, {self.kernel_looks} looks in the kernel '
                f'({self.unrestricted} found it unrestricted), {self.idle} idle looks; '
                f'{self.spaces} spaces, {self.tables} tables and {self.leaves} pages walked, '
                f'{self.free_frames} free frames read; {self.violations} violations; '
                f'{1000 * self.seconds / max(looks, 1):.0f} ms a look'
                + (f'; {self.never_outside} moments never left the kernel' if self.never_outside else '')
                + (f'; {self.idle_boots} boots given up, idle' if self.idle_boots else '')
                + (f'; {self.ended_badly} boots ended badly' if self.ended_badly else ''))


class Auditor:
    """Looks at machines, and says what it sees."""

    def __init__(self, kernel, rng):
        self.kernel, self.rng = kernel, rng
        self.told = set()
        self.must_pass = False  # the workload's own status counts, not only a panic
        self.seen = None     # the frame table's checksum at the last look outside the kernel
        self.idle_row = 0

    def take(self, machine, cpus):
        """The look that is judged."""
        return Look(self.kernel, machine.ram, cpus)

    def look(self, machine, total, cpus):
        """Judges the stopped machine."""
        start = time.monotonic()
        look = self.take(machine, cpus)
        for finding in look.judge():
            if finding in self.told or len(self.told) > 40:
                continue  # counted all the same
            self.told.add(finding)
            where = ', '.join(f'CPU {i} at {self.kernel.where(cpu.rip)}' if cpu.in_kernel else
                              f'CPU {i} ' + ('in user code' if cpu.ring == 3 else 'halted')
                              for i, cpu in enumerate(cpus))
            print(f'VIOLATION {total.title}: {finding} [{where}; mode {look.mode}]', flush=True)
        idle = look.strict and all(cpu.halted for cpu in cpus) and look.frames.checksum == self.seen
        if look.strict:
            self.seen, self.idle_row = look.frames.checksum, self.idle_row + 1 if idle else 0
        total.add(look, time.monotonic() - start, idle)
        return look

    def run(self, machine, total, wanted, pause):
        """Audits until there are `wanted`, or the machine has nothing more to show."""
        self.seen, self.idle_row = None, 0
        while total.audits < wanted and self.idle_row < IDLE_LIMIT:
            self.audit(machine, total, pause)
        if total.audits < wanted:
            total.idle_boots += 1
            print(f'IDLE {total.title}: {IDLE_LIMIT} looks in a row found nothing new; given up', flush=True)

    def audit(self, machine, total, pause, tries=TRIES):
        """Lets the machine run for a random while, then looks, until one look is outside the kernel."""
        for attempt in range(tries):
            time.sleep(self.rng.expovariate(1 / pause) if attempt == 0 else self.rng.uniform(0, 0.003))
            machine.stop()
            cpus = machine.cpus()
            outside = not any(cpu.in_kernel for cpu in cpus)
            if outside or attempt == 0:
                try:
                    self.look(machine, total, cpus)
                except TooEarly:
                    outside = False
            machine.cont()
            if outside:
                return
        total.never_outside += 1

    def workload(self, total, wanted, pause, start):
        """Audits `wanted` times, in as many boots as that takes. `start()` boots a machine."""
        boots = 0
        while total.audits < wanted and boots < wanted + 5:
            boots += 1
            machine = start()
            try:
                self.run(machine, total, wanted, pause)
            except MachineEnded:
                status = machine.status()
                if status == PANIC or (status and self.must_pass):
                    total.ended_badly += 1
                    print(f'PANIC {total.title}: status {status}, the log is {machine.log}', flush=True)
            finally:
                machine.end()
        print(f'audit: {total}', flush=True)
        return total
