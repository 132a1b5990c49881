"""The trace in the trace event format of Chrome and Perfetto (JSON; docs/trace.md names the specification).

A track for each thread has what it does, and is about, as spans that nest: system calls, exceptions, exits, copies, calls.
Two tracks for each CPU have who runs, and when it is in the unrestricted space. What takes no time is an instant.
"""
from collections import defaultdict

from tracer.events import Processes
from tracer.recording import Names

CPU_PROCESS = 0                                # no process with user code has this id
RUNNING, OUTSIDE = 1_000_000, 2_000_000        # tid of a CPU's tracks: these and its number; threads have less
SPANS = {'syscall', 'trap', 'exit', 'copy', 'call'}
INSTANTS = {'map': 'view mapped', 'reuse': 'view reused', 'unmap': 'view unmapped', 'revoke': 'views revoked',
            'enter': 'enter', 'receive': 'receive', 'reply': 'reply'}


class Tracks:
    """The events so far, and the spans that are open on each track."""

    def __init__(self):
        self.events, self.open = [], defaultdict(list)

    def add(self, phase, time, track, name, category, **more):
        """An event on a track, which is (pid, tid); time in nanoseconds."""
        event = {'name': name, 'cat': category, 'ph': phase, 'ts': time / 1000, 'pid': track[0], 'tid': track[1], **more}
        self.events.append(event)
        return event

    def begin(self, time, track, kind, name, **args):
        """Opens a span."""
        event = self.add('B', time, track, name, kind, args=args)
        self.open[track].append((kind, event))
        return event

    def end(self, time, track, kind, **args):
        """Closes the innermost span of that kind, with what is open in it; one that began before the trace is no span."""
        found = any(kind == open_kind for open_kind, _ in self.open[track])
        while found:
            open_kind, event = self.open[track].pop()
            found = open_kind != kind
            self.add('E', time, track, event['name'], open_kind, args={} if found else args)

    def end_all(self, time, track):
        """The thread ends, or the trace."""
        while self.open[track]:
            self.end(time, track, self.open[track][-1][0])


class Converter:
    """Goes over the records once, in order of time."""

    def __init__(self, recording):
        self.recording, self.names = recording, Names(recording)
        self.processes, self.tracks = Processes(), Tracks()
        self.process_of = {}          # thread → process
        self.runs = {}                # CPU → thread, as its track shows it
        self.calls, self.flows = {}, 0
        self.last = 0

    # --- Tracks ------------------------------------------------------------------------------------------------------

    def track(self, record):
        """The thread's; an idle thread is its CPU."""
        return (record.process, record.thread) if record.thread else (CPU_PROCESS, RUNNING + record.cpu)

    def _show_running(self, time, record):
        track = (CPU_PROCESS, RUNNING + record.cpu)
        if self.runs.get(record.cpu) == record.thread:
            return
        self.tracks.end_all(time, track)
        self.runs[record.cpu] = record.thread
        name = f'{self.processes[record.process]} ({record.thread})' if record.thread else 'idle'
        self.tracks.begin(time, track, 'running', name, thread=record.thread, process=record.process)

    def _show_space(self, time, record, kind):
        """By what the records say, so that switches between threads inside and outside are seen, too."""
        track = (CPU_PROCESS, OUTSIDE + record.cpu)
        is_out = record.space == 1 and kind != 'enter'
        if is_out == bool(self.tracks.open[track]):
            return
        if is_out:
            why = self.exit_args if kind == 'exit-end' else {}
            self.tracks.begin(time, track, 'space', 'unrestricted' + (f': {why["cause"]}' if why else ''), **why)
        else:
            self.tracks.end(time, track, 'space')

    exit_args = {}

    # --- Records -----------------------------------------------------------------------------------------------------

    def _span_name(self, kind, record):
        if kind == 'syscall':
            return self.names.syscall(record.value), {'number': record.value}
        if kind == 'trap':
            args = {'vector': record.cause, 'from': self.names.symbol(record.address) if record.address else 'user code'}
            return self.names.vector(record.cause), args
        if kind == 'exit':
            args = {'cause': self.names.causes[record.cause], 'address': f'{record.address:#x}',
                    'symbol': self.names.symbol(record.address)}
            if record.value:
                args['frame'] = f'{record.value << 12:#x}'
            self.exit_args = args
            return f'exit: {args["cause"]}', args
        if kind == 'copy':
            return 'copy from user' if record.cause else 'copy to user', {'bytes': record.value}
        return 'call', {'endpoint': f'{record.address:#x}', 'bytes': record.value, 'in registers': bool(record.cause)}

    def _instant(self, time, kind, record):
        args = {}
        if kind in ('map', 'reuse', 'unmap'):
            args = {'view': self.names.views[record.cause]}
            if record.address:
                args['frame'] = f'{record.address:#x}'
            if args['view'] == 'scratch':
                args['slot'] = record.value
        elif kind == 'revoke':
            args = {'object': f'{record.address:#x}', 'windows': record.value}
        elif kind in ('receive', 'reply'):
            args = {'call': record.address}
        self.tracks.add('i', time, self.track(record), INSTANTS[kind], kind, s='t', args=args)

    def _flow(self, time, track, number, phase):
        more = {'bp': 'e'} if phase == 'f' else {}
        self.tracks.add(phase, time, track, 'message', 'message', id=number, **more)

    def _message(self, time, kind, record):
        """Arrows: from a call to who receives it, from the reply to where the call ends."""
        token, track = record.address, self.track(record)
        if kind == 'receive' and token:
            self.calls.setdefault(token, {})['received'] = (time, track)
        elif kind == 'reply' and record.value == 0:
            self.calls.setdefault(token, {})['replied'] = (time, track)

    def _call_ends(self, time, record):
        told, track = self.calls.pop(record.address, {}), self.track(record)
        began = [event for kind, event in self.tracks.open[track] if kind == 'call']
        if not began or 'received' not in told:
            return
        self._flow(began[-1]['ts'] * 1000, track, self.flows, 's')
        self._flow(*told['received'], self.flows, 'f')
        if 'replied' in told:
            self._flow(*told['replied'], self.flows + 1, 's')
            self._flow(time, track, self.flows + 1, 'f')
        self.flows += 2

    def _take(self, record):
        kind, time = self.recording.kinds[record.kind], self.recording.nanoseconds(record)
        self.last = max(self.last, time)
        if kind == 'name':
            self.processes.note(record)
            return
        if record.thread:
            self.process_of[record.thread] = record.process
        if kind == 'switch' and self.names.switches[record.cause] == 'ends':
            self.tracks.end_all(time, (self.process_of.get(record.value), record.value))
        self._show_running(time, record)
        self._show_space(time, record, kind)
        if kind in SPANS:
            name, args = self._span_name(kind, record)
            self.tracks.begin(time, self.track(record), kind, name, **args)
        elif kind.endswith('-end'):
            args = {'bytes not copied': record.value} if kind == 'copy-end' and record.value else {}
            if kind == 'call-end':
                args = {'call': record.address, 'direct': 'not possible' if record.value == self.names.unknown else 'yes'} \
                    if record.cause else {'call': record.address, 'status': record.value}
                self._call_ends(time, record)
            self.tracks.end(time, self.track(record), kind[:-len('-end')], **args)
        elif kind == 'flush':
            for flush in self.names.flush(record.cause):
                self.tracks.add('i', time, (CPU_PROCESS, RUNNING + record.cpu), flush, 'flush', s='t', args={})
        elif kind in INSTANTS:
            self._instant(time, kind, record)
            self._message(time, kind, record)

    # --- The whole ---------------------------------------------------------------------------------------------------

    def _lost(self):
        for cpu, lost in enumerate(self.recording.lost):
            if lost:
                first = next((self.recording.nanoseconds(r) for r in self.recording.records if r.cpu == cpu), 0)
                self.tracks.add('i', first, (CPU_PROCESS, RUNNING + cpu), f'{lost} records lost before this', 'lost',
                                s='p', args={'lost': lost})

    def _metadata(self):
        def name(what, pid, tid, text):
            return {'name': what, 'ph': 'M', 'ts': 0, 'pid': pid, 'tid': tid, 'args': {'name': text}}

        events = [name('process_name', CPU_PROCESS, RUNNING, 'CPUs')]
        for cpu in range(self.recording.cpus):
            events += [name('thread_name', CPU_PROCESS, RUNNING + cpu, f'CPU {cpu}'),
                       name('thread_name', CPU_PROCESS, OUTSIDE + cpu, f'CPU {cpu}, unrestricted')]
        for process in sorted(set(self.process_of.values())):
            events.append(name('process_name', process, process, self.processes[process]))
        for thread, process in sorted(self.process_of.items()):
            events.append(name('thread_name', process, thread, self.processes[process]))
        return events

    def convert(self):
        """The JSON object."""
        for record in self.recording.records:
            self._take(record)
        for track in list(self.tracks.open):
            self.tracks.end_all(self.last, track)
        self._lost()
        events = sorted(self.tracks.events, key=lambda event: event['ts'])
        info = self.recording.info
        return {'traceEvents': self._metadata() + events, 'displayTimeUnit': 'ns',
                'otherData': {'kernel': 'Penumbra', 'records': sum(self.recording.written),
                              'lost': sum(self.recording.lost), 'unfinished': self.recording.unfinished,
                              'branches redirected': info['sites'], 'ticks of a record': info['ticks'],
                              'TSC Hz': self.recording.hz}}
