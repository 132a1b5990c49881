"""The proof that the auditor can fail: each plant must be seen, and nothing once it is taken away."""
import time

from auditor.look import Look
from auditor.machine import MachineEnded
from auditor.picture import TooEarly
from auditor.plants import PLANTS, Planter

MOMENTS = 60  # of one boot


class Tally:
    """What became of each plant."""

    def __init__(self):
        self.caught = {name: 0 for name, _, _, _ in PLANTS}
        self.said = {}
        self.missed = []
        self.left = 0


def try_plant(machine, cpus, kernel, tally, one, rng):
    """Plants, looks, takes it away again."""
    name, words, function, _ = one
    look = Look(kernel, machine.ram, cpus)
    planter = Planter(look, rng)
    writes = planter.root and function(planter)
    if not writes:
        return
    before = [(at, machine.ram.word(at)) for at, _ in writes]
    try:
        for at, value in writes:
            machine.ram.words[at >> 3] = value
        findings = Look(kernel, machine.ram, cpus).judge()
    finally:
        for at, value in before:
            machine.ram.words[at >> 3] = value
    match = [finding for finding in findings if words in finding]
    if match:
        tally.caught[name] += 1
        tally.said.setdefault(name, match[0])
    else:
        tally.missed.append(f'{name}: ' + (f'seen as {findings[0]}' if findings else 'not seen'))


def one_boot(start, kernel, rng, tally, boot_mode):
    """Random moments of one guest, until each plant for it was tried twice at least."""
    mine = [one for one in PLANTS if one[3] == boot_mode]
    machine = start(f'run=bench mode={boot_mode} bench.modes={boot_mode} bench.scale=4')
    try:
        for _ in range(MOMENTS):
            for _ in range(400):
                time.sleep(rng.uniform(0, 0.02))
                machine.stop()
                cpus = machine.cpus()
                if any(cpu.ring == 3 for cpu in cpus) and not any(cpu.in_kernel for cpu in cpus):
                    break
                machine.cont()
            else:
                return
            try:
                if Look(kernel, machine.ram, cpus).judge():
                    tally.left += 1
                for one in mine:
                    if tally.caught[one[0]] < 2:
                        try_plant(machine, cpus, kernel, tally, one, rng)
                if Look(kernel, machine.ram, cpus).judge():
                    tally.left += 1
            except TooEarly:
                pass
            machine.cont()
            if all(tally.caught[one[0]] >= 2 for one in mine) or tally.missed:
                return
            time.sleep(rng.expovariate(10))
    except MachineEnded:
        pass
    finally:
        machine.end()


def selftest(kernel, rng, start):
    """Plants each violation at two moments at least. Exit status."""
    tally = Tally()
    for boot_mode in sorted({one[3] for one in PLANTS}):
        for _ in range(3):  # a benchmark may end before all have had their moment
            if any(tally.caught[one[0]] < 2 for one in PLANTS if one[3] == boot_mode):
                one_boot(start, kernel, rng, tally, boot_mode)
    for name, times in tally.caught.items():
        print(f'{"caught" if times else "NEVER CAUGHT"} {times} times: {name} → {tally.said.get(name, "")}')
    for text in tally.missed:
        print(f'MISSED {text}')
    caught = sum(times > 0 for times in tally.caught.values())
    print(f'audit: selftest: {caught} of {len(PLANTS)} violations caught, {sum(tally.caught.values())} times; '
          f'{len(tally.missed)} missed; {tally.left} looks without a plant found something')
    return 0 if caught == len(PLANTS) and not tally.missed and not tally.left else 1
