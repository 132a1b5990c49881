"""What a machine is doing that stands still: each processor's registers in words, and the calls that led there."""
import time

from auditor.picture import LARGE, PAGE, PRESENT, frame_of

DEPTH = 24


def translate(ram, cr3, address):
    """The physical address by the tables that a processor has loaded, or None."""
    table = cr3 >> 12
    for level in (4, 3, 2, 1):
        if table >= ram.frames:
            return None
        entry = ram.word(table * PAGE + (address >> 9 * level & 0xff8))
        if not entry & PRESENT:
            return None
        table = frame_of(entry)
        if level > 1 and entry & LARGE:
            mask = (1 << 3 + 9 * level) - 1
            return (entry & 0x000ffffffffff000 & ~mask) | address & mask
    return (table * PAGE | address & PAGE - 1) if table < ram.frames else None


def calls(kernel, ram, cpu):
    """The kernel's functions on a processor's stack, by its frame pointers."""
    found, frame = [kernel.where(cpu.rip)], cpu.rbp
    if found[0].startswith('interrupt_stubs'):  # nothing is pushed yet but what the processor pushes
        at = translate(ram, cpu.cr3, cpu.rsp)
        found += [kernel.where(ram.word(at))] if at is not None else []
    while len(found) < DEPTH and frame >> 47 and frame % 8 == 0:
        at, after = translate(ram, cpu.cr3, frame), translate(ram, cpu.cr3, frame + 8)
        if at is None or after is None:
            break
        found.append(kernel.where(ram.word(after)))
        frame = ram.word(at)
    return found


def describe(kernel, machine, moments=4):
    """What the processors do at some moments of a running machine; it is left stopped."""
    lines = []
    for moment in range(moments):
        machine.stop()
        lines += [f'moment {moment}', *describe_moment(kernel, machine)]
        if moment + 1 < moments:
            machine.cont()
            time.sleep(0.2)
    return lines


def describe_moment(kernel, machine):
    """A line or two for each processor of a stopped machine."""
    lines = []
    for index, cpu in enumerate(machine.cpus()):
        state = 'halted' if cpu.halted else 'in user code' if cpu.ring == 3 else 'in the kernel'
        lines.append(f'CPU {index} {state}, rip {cpu.rip:#x}, cr3 {cpu.cr3:#x}, interrupts '
                     + ('on' if cpu.flags & 0x200 else 'off'))
        if cpu.ring != 3:
            lines.append('    ' + ' ← '.join(calls(kernel, machine.ram, cpu)))
    return lines
