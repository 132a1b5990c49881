"""A guest seen from outside: its RAM as a file that is mapped here, its processors by QMP.

A machine is either started here (through tools/run, which knows QEMU's command line) or somebody else's, by the paths
of its QMP socket and RAM file. Only what was started here is ended here.
"""
import json
import mmap
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from auditor.kernel import AuditorError

BELOW_HOLE = 0xb0000000 - 1  # so much RAM q35 has in one piece from 0; of more, all but 2 GiB begins at 4 GiB
PAGE = 4096


class MachineEnded(Exception):
    """The guest has powered off."""


class Cpu:
    """What `info registers` says of one processor."""

    def __init__(self, text):
        self.cr3 = int(re.search(r'CR3=([0-9a-f]+)', text)[1], 16) & 0x000ffffffffff000
        self.rip = int(re.search(r'[RE]IP=([0-9a-f]+)', text)[1], 16)
        self.ring = int(re.search(r'CPL=(\d)', text)[1])
        self.halted = int(re.search(r'HLT=(\d)', text)[1]) == 1
        self.started = int(re.search(r'CR0=([0-9a-f]+)', text)[1], 16) >> 31 == 1  # before paging there is no space
        self.rbp = int((re.search(r'RBP=([0-9a-f]+)', text) or '00')[1], 16)
        self.rsp = int((re.search(r'RSP=([0-9a-f]+)', text) or '00')[1], 16)
        self.flags = int((re.search(r'RFL=([0-9a-f]+)', text) or '00')[1], 16)

    @property
    def in_kernel(self):
        """Kernel code is running, and may be in the middle of anything."""
        return self.ring != 3 and not self.halted and self.started


class Qmp:
    """The monitor's socket: one command at a time."""

    def __init__(self, path, deadline):
        self.socket = socket.socket(socket.AF_UNIX)
        while True:
            try:
                self.socket.connect(path)
                break
            except OSError:
                if time.monotonic() > deadline:
                    raise AuditorError(f'no QMP at {path}') from None
                time.sleep(0.01)
        self.socket.settimeout(60)
        self.stream = self.socket.makefile('rw', encoding='utf-8')
        self._line()
        self.command('qmp_capabilities')

    def _line(self):
        line = self.stream.readline()
        if not line:
            raise MachineEnded
        return json.loads(line)

    def command(self, name, **arguments):
        """Carries it out and returns its result. MachineEnded when the guest went away meanwhile."""
        try:
            self.stream.write(json.dumps({'execute': name, 'arguments': arguments}) + '\n')
            self.stream.flush()
            while True:
                answer = self._line()
                if 'return' in answer:
                    return answer['return']
                if 'error' in answer:
                    raise AuditorError(f'QMP {name}: {answer["error"]["desc"]}')
        except (BrokenPipeError, ConnectionResetError):
            raise MachineEnded from None

    def close(self):
        """Ends the connection."""
        try:
            self.stream.close()
        except OSError:
            pass
        self.socket.close()


class Ram:
    """Guest-physical memory. `words[i]` is the 64-bit word at physical address 8 i."""

    def __init__(self, path):
        with open(path, 'r+b') as file:
            self.bytes = mmap.mmap(file.fileno(), 0)
        self.frames = len(self.bytes) // PAGE
        self.words = memoryview(self.bytes).cast('Q')

    def table(self, frame):
        """The 512 entries of a page table."""
        return self.words[frame * 512:frame * 512 + 512].tolist()

    def word(self, address):
        """A 64-bit word at a physical address."""
        return self.words[address >> 3]

    def half(self, address):
        """A 32-bit word at a physical address."""
        return int.from_bytes(self.bytes[address:address + 4], 'little')

    def close(self):
        """Gives the mapping back."""
        self.words.release()
        self.bytes.close()


class Machine:
    """One guest, stopped or running."""

    def __init__(self, qmp_path, ram_path, wait=20):
        self.qmp = Qmp(qmp_path, time.monotonic() + wait)
        self.ram = Ram(ram_path)

    def stop(self):
        """Stops the processors; RAM and registers are one consistent picture from here to cont()."""
        self.qmp.command('stop')

    def cont(self):
        """Lets them run on."""
        self.qmp.command('cont')

    def nmi(self):
        """An NMI for every processor."""
        self.qmp.command('inject-nmi')

    def registers(self):
        """Of all processors, as QEMU prints them."""
        return self.qmp.command('human-monitor-command', **{'command-line': 'info registers -a'})

    def cpus(self):
        """The processors' registers, in order of their numbers."""
        text = self.registers()
        return [Cpu(part) for part in re.split(r'CPU#\d+', text)[1:]]

    def close(self):
        """Leaves the guest alone from here on."""
        self.ram.close()
        self.qmp.close()


class StartedMachine(Machine):
    """A guest started for this audit."""

    def __init__(self, source, build, cmdline, memory, log, smp):  # pylint: disable=too-many-arguments
        self.directory = tempfile.mkdtemp(prefix='penumbra-audit.')
        self.process = None
        self.log = log
        try:
            size = memory_bytes(memory)
            ram_path = os.path.join(self._ram_directory(size), f'ram.{os.path.basename(self.directory)}')
            self.ram_path = ram_path
            qmp_path = f'{self.directory}/qmp'
            environment = dict(os.environ, CMDLINE=cmdline, MEM=memory, SMP=smp, INTERACTIVE='0', QEMU_ARGS=' '.join([
                '-machine', 'memory-backend=ram',
                '-object', f'memory-backend-file,id=ram,size={memory},mem-path={ram_path},share=on',
                '-qmp', f'unix:{qmp_path},server=on,wait=on', os.environ.get('QEMU_ARGS', '')]))
            environment.setdefault('TIMEOUT', '900')
            with open(log, 'wb') as output:
                self.process = subprocess.Popen(
                    [f'{source}/tools/run', '--kernel', f'{build}/penumbra.elf', '--archive', f'{build}/archive.cpio'],
                    stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment,
                    start_new_session=True)
            super().__init__(qmp_path, ram_path)
        except BaseException:
            self.end()
            raise

    def _ram_directory(self, size):
        """Memory, where there is enough; else the disk."""
        shared = '/dev/shm'
        try:
            usage = os.statvfs(shared)
            if usage.f_bavail * usage.f_frsize > 2 * size:
                return shared
        except OSError:
            pass
        return self.directory

    def status(self):
        """Waits for the guest's end, which has begun, and returns its exit status (tools/run)."""
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            return None

    def end(self):
        """Ends the guest, if it runs, and forgets its memory."""
        if hasattr(self, 'qmp'):
            self.close()
        if self.process is not None and self.process.poll() is None:
            for number in (signal.SIGTERM, signal.SIGKILL):
                try:
                    os.killpg(self.process.pid, number)  # a session of its own: tools/run and its QEMU, nobody else
                    self.process.wait(timeout=5)
                    break
                except (subprocess.TimeoutExpired, ProcessLookupError):
                    continue
        if os.path.exists(getattr(self, 'ram_path', '')):
            os.unlink(self.ram_path)
        shutil.rmtree(self.directory, ignore_errors=True)


def memory_bytes(text):
    """QEMU's notation of a size, MiB without a unit. Only what lies in one piece can be audited."""
    match = re.fullmatch(r'(\d+)([MG]?)', text)
    if not match:
        raise AuditorError(f'MEM={text}: a number with M or G, please')
    size = int(match[1]) << (30 if match[2] == 'G' else 20)
    if size > BELOW_HOLE:
        raise AuditorError(f'MEM={text}: as much as that does not lie in one piece in the file')
    return size
