"""RESIDUE from outside: bytes that are one program's secret, and who else could reach them.

They are looked for in all of RAM. A frame in which they are must be mapped in the restricted space of no process but those
of the program that has them. (For what one of these has of another, the programs ask the kernel: tests/user/residue.c.)
"""
from auditor.auditor import Auditor
from auditor.look import Look
from auditor.picture import PAGE


class CanaryLook(Look):
    """A look that knows in which frames the canary is."""

    def __init__(self, kernel, ram, cpus, canary, holder):
        super().__init__(kernel, ram, cpus, surface=True)
        self.holder = f'({holder})'
        self.places = {}  # frame → offset of the first occurrence
        at = ram.bytes.find(canary)
        while at != -1:
            self.places.setdefault(at // PAGE, at % PAGE)
            at = ram.bytes.find(canary, at + 1)

    def _note_surface(self, root, slot, frame):
        if frame in self.places and self.books.name(root) != self.holder:
            self._violation('RESIDUE', f'the canary, at byte {self.places[frame]:#x}', root, None, frame)


class CanaryAuditor(Auditor):
    """Looks for one canary."""

    def __init__(self, kernel, rng, canary, holder):
        super().__init__(kernel, rng)
        self.canary, self.holder = canary, holder
        self.looks_with = 0  # looks at which it was in RAM

    def take(self, machine, cpus):
        look = CanaryLook(self.kernel, machine.ram, cpus, self.canary, self.holder)
        self.looks_with += bool(look.places)
        return look
