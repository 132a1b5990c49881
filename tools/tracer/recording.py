"""The records of a trace, out of the RAM of a machine: ended or standing still.

Layout and numbers are those of asi/trace_abi.h, by way of the kernel's debug information (auditor.kernel).
"""
import re
from collections import namedtuple

from auditor.kernel import AuditorError
from auditor.post_mortem import translate

PAGE = 4096
SIZES = {1: 'B', 2: 'H', 4: 'I', 8: 'Q'}

Record = namedtuple('Record', 'time cpu index kind cause space thread process address value')


class Recording:
    """What the rings held: records of all CPUs by time, how many are lost, what the trace says of itself."""

    def __init__(self, kernel, ram):
        self.kernel, self.ram = kernel, ram
        self.numbers = kernel.layout.enumerators
        self.kinds = self.names('TRACE_', 'trace_kind')
        self.info = {name: ram.word(kernel.physical('trace_info') + kernel.layout.offset('trace_info', name))
                     for name in ('records', 'sites', 'ticks', 'begin')}
        if not self.info['records']:
            raise AuditorError('there is no trace in this memory: trace=on was not on the command line, or the machine '
                               'did not get so far')
        self.hz = ram.word(kernel.physical('tsc_hz'))
        self.cpus = ram.half(kernel.physical('cpu_count'))
        self.fields = self._fields()
        self.lost, self.written, self.unfinished = [0] * self.cpus, [0] * self.cpus, 0
        records = [record for cpu in range(self.cpus) for record in self._read_ring(cpu)]
        self.records = sorted(records, key=lambda record: (record.time, record.cpu, record.index))

    def names(self, prefix, last):
        """Number → name of an enumeration of asi/trace_abi.h or asi/abi.h: those between its braces."""
        source = self.enumerations()[last]
        return {self.numbers[name]: name[len(prefix):].lower().replace('_', '-') for name in source
                if name in self.numbers and name.startswith(prefix)}

    def enumerations(self):
        """Names in order, by enumeration: DWARF says the numbers, but readelf's lines not to which of them one belongs."""
        found = {}
        for header in ('asi/trace_abi.h', 'asi/abi.h'):
            with open(f'{self.kernel.source}/{header}', encoding='utf-8') as file:
                text = re.sub(r'/\*.*?\*/', ' ', file.read(), flags=re.S)
            for name, body in re.findall(r'enum (\w+) \{([^}]*)\}', text):
                found[name] = re.findall(r'(\w+)(?: *=[^,]*)?(?:,|\s*$)', body)
        return found

    def _fields(self):
        """(member, offset, bytes) of a record."""
        layout = self.kernel.layout
        members = sorted((offset, name) for (owner, name), offset in layout.offsets.items() if owner == 'trace_record')
        ends = [offset for offset, _ in members[1:]] + [layout.sizes['trace_record']]
        return [(name, offset, end - offset) for (offset, name), end in zip(members, ends)]

    def _address(self, virtual):
        root = self.ram.half(self.kernel.physical('kernel_process') + self.kernel.layout.offset('process', 'roots'))
        return translate(self.ram, root * PAGE, virtual)

    def ring(self, cpu, member):
        """A word of a CPU's ring."""
        layout = self.kernel.layout
        at = self.kernel.physical('trace_rings') + cpu * layout.sizes['trace_ring'] + layout.offset('trace_ring', member)
        return self.ram.word(at)

    def counted(self, cpu, counter, further=0):
        """What the CPU has counted since its first record; `further` bytes into the counter, if it is an array."""
        layout = self.kernel.layout
        offset = layout.offset('cpu_counters', counter) + further
        now = self.ram.word(self.kernel.physical('cpus') + cpu * PAGE + layout.offset('cpu', 'counters') + offset)
        before = self.ram.word(self.kernel.physical('trace_rings') + cpu * layout.sizes['trace_ring']
                               + layout.offset('trace_ring', 'before') + offset)
        return now - before

    def exits(self, cpu):
        """Likewise, by cause."""
        causes = len(self.names('ASI_CAUSE_', 'asi_cause'))
        return [self.counted(cpu, 'exits', 8 * cause) for cause in range(causes)]

    def _read_ring(self, cpu):
        size, room = self.kernel.layout.sizes['trace_record'], self.info['records']
        following, base = self.ring(cpu, 'next'), self.ring(cpu, 'records')
        self.written[cpu], self.lost[cpu] = following, max(0, following - room)
        pages = [self._address(base + offset) for offset in range(0, room * size, PAGE)]
        for index in range(self.lost[cpu], following):
            offset = index % room * size
            at = pages[offset // PAGE] + offset % PAGE
            value = {name: int.from_bytes(self.ram.bytes[at + start:at + start + length], 'little')
                     for name, start, length in self.fields}
            if value.pop('lap') != (index // room + 1) % 256:
                self.unfinished += 1
                continue
            yield Record(cpu=cpu, index=index, **value)

    def nanoseconds(self, record):
        """Since the trace began."""
        return (record.time - self.info['begin']) * 1_000_000_000 // self.hz


class Names:
    """Numbers in words: system calls, exceptions, causes, kernel addresses."""

    def __init__(self, recording):
        self.recording, self.kernel = recording, recording.kernel
        self.unknown = (1 << 32) - 1
        self.causes = recording.names('ASI_CAUSE_', 'asi_cause')
        self.views = recording.names('TRACE_', 'trace_view')
        self.switches = recording.names('TRACE_', 'trace_switch')
        self.flushes = recording.names('TRACE_', 'trace_flush')
        source = self.kernel.source
        with open(f'{source}/kernel/syscall_table.h', encoding='utf-8') as file:
            self.syscalls = {int(number): name for number, name in re.findall(r'\bX\((\d+), (\w+)\)', file.read())}
        with open(f'{source}/asi/abi.h', encoding='utf-8') as file:
            self.syscalls[int(re.search(r'#define SYS_ASI (\d+)', file.read())[1])] = 'asi'
        with open(f'{source}/arch/traps.c', encoding='utf-8') as file:
            self.vectors = {int(number): name for number, name in
                            re.findall(r'^    \[(\d+)\] = \{.*"([^"]+)"\},$', file.read(), re.M)}
        with open(f'{source}/arch/apic.h', encoding='utf-8') as file:
            vectors = re.findall(r'#define VECTOR_(TIMER|RESCHEDULE|SHOOTDOWN|STOP|SPURIOUS) +(\w+)', file.read())
        self.vectors.update({int(number, 0): name.lower() + ' interrupt' for name, number in vectors})

    def syscall(self, number):
        """A system call's name."""
        return 'unknown system call' if number == self.unknown else self.syscalls.get(number, f'system call {number}')

    def vector(self, number):
        """An exception's or interrupt's."""
        return self.vectors.get(number, f'device interrupt {number:#x}')

    def flush(self, bits):
        """The flushes in a record, in the order in which they are executed."""
        words = {'ibpb': 'IBPB', 'verw': 'VERW', 'cr3': 'CR3 write'}
        return [words[name] for name in words for bit, known in self.flushes.items() if known == name and bits & bit]

    def symbol(self, address):
        """A kernel instruction in words, or None."""
        text = self.kernel.where(address)
        return None if text.startswith('0x') else text
