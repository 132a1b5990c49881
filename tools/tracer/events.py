"""The compact list of events (docs/trace.md): what docs/map.html and other programs replay."""
from tracer.recording import Names

SPACES = ('restricted', 'unrestricted')


class Processes:
    """Names of processes as the records tell them, at the moment that is looked at."""

    def __init__(self):
        self.names, self.halves = {0: 'kernel'}, {}

    def note(self, record):
        """A record of kind name: eight bytes of it."""
        halves = self.halves.setdefault(record.process, [b'', b''])
        halves[record.cause // 8] = record.address.to_bytes(8, 'little')
        self.names[record.process] = b''.join(halves).split(b'\0')[0].decode(errors='replace')

    def __getitem__(self, process):
        return self.names.get(process, f'process {process}')


def name_of(names, kind, record):
    """What an event is called, by its kind."""
    if kind.startswith('syscall'):
        return names.syscall(record.value)
    if kind.startswith('trap'):
        return names.vector(record.cause)
    if kind.startswith('exit'):
        return names.causes[record.cause]
    if kind in ('map', 'reuse', 'unmap'):
        return names.views[record.cause]
    if kind == 'switch':
        return names.switches[record.cause]
    if kind == 'flush':
        return '+'.join(names.flush(record.cause))
    if kind.startswith('copy'):
        return 'from user' if record.cause else 'to user'
    if kind.startswith(('call', 'reply')):
        return 'direct' if record.cause else 'buffer'
    return kind


def event_list(recording):
    """The records as dictionaries {t, cpu, thread, process, kind, name, address, space, …}."""
    names, processes, events = Names(recording), Processes(), []
    for record in recording.records:
        kind = recording.kinds[record.kind]
        if kind == 'name':
            processes.note(record)
            continue
        event = {'t': recording.nanoseconds(record), 'cpu': record.cpu, 'thread': record.thread,
                 'process': record.process, 'kind': kind, 'name': name_of(names, kind, record),
                 'address': f'{record.address:#x}' if record.address else None, 'space': SPACES[record.space],
                 'program': processes[record.process]}
        if kind in ('exit', 'trap') and record.address:
            event['symbol'] = names.symbol(record.address)
        if record.value and not kind.startswith('syscall'):
            event['value'] = record.value
        events.append(event)
    return events
